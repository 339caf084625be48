//! Who is signed in, as a sealed token in a cookie: no table of sessions anywhere.
//!
//! Every server of a volume has the same key, so a token is good on each of them and after a restart. The seal
//! covers the stamp of the user's password without carrying it: a removed user or a changed password ends every
//! session at once. Signing out forgets the cookie; a token stolen before lasts while it is used, a week at most.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A session ends when nothing was looked at for so long.
pub(super) const IDLE: Duration = Duration::from_secs(8 * 3600);
/// A session ends so long after signing in, whatever was done.
const ABSOLUTE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A token is replaced when it is older than this, not for every page.
const RENEW_AFTER: Duration = Duration::from_secs(10 * 60);

/// How long a page says what was just done.
const NOTICE: Duration = Duration::from_secs(3 * 60);
/// Longest sealed notice looked at.
const MAX_NOTICE: usize = 2000;

const VERSION: u8 = 1;
/// Version, time of sign-in, expiry, identifier.
const HEAD: usize = 1 + 8 + 8 + 16;
/// Length of a seal, and of the token of a form, in bytes.
pub(super) const SEAL: usize = 32;
const MAX_USER: usize = 255;

/// Makes and checks tokens with the key that all servers of a volume share.
pub(super) struct Sealer {
    key: [u8; 32],
}

/// Someone who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The name signed in with.
    pub(super) user: String,
    id: [u8; 16],
    /// Seconds since 1970.
    started: u64,
    /// Seconds since 1970.
    expires: u64,
}

impl Session {
    /// A session that begins now.
    pub(super) fn start(user: &str, now: SystemTime) -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let started = seconds(now);
        Ok(Self { user: user.to_owned(), id, started, expires: started + IDLE.as_secs() })
    }

    /// The same session used now; `None` while the token it came from is young enough.
    pub(super) fn renewed(&self, now: SystemTime) -> Option<Self> {
        let expires = (seconds(now) + IDLE.as_secs()).min(self.started + ABSOLUTE.as_secs());
        (expires >= self.expires + RENEW_AFTER.as_secs()).then(|| Self { expires, ..self.clone() })
    }

    fn head(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.started.to_be_bytes());
        bytes.extend(self.expires.to_be_bytes());
        bytes.extend(self.id);
        bytes.extend(self.user.as_bytes());
        bytes
    }
}

impl Sealer {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The token of a session, given the stamp of its user's password.
    pub(super) fn seal(&self, session: &Session, stamp: &[u8; 32]) -> String {
        let mut bytes = session.head();
        let seal = self.mac(b"session", &[&bytes, stamp]);
        bytes.extend(seal);
        BASE64.encode(bytes)
    }

    /// The session of a token; `None` when it was not sealed by us, has ended, or its user's password is another.
    ///
    /// `stamp_of` gives the stamp of a user's password, `None` for an unknown user.
    pub(super) fn open(
        &self,
        token: &str,
        now: SystemTime,
        stamp_of: impl FnOnce(&str) -> Option<[u8; 32]>,
    ) -> Option<(Session, [u8; 32])> {
        if token.len() > (HEAD + MAX_USER + SEAL) * 4 / 3 + 4 {
            return None;
        }
        let bytes = BASE64.decode(token).ok()?;
        let (payload, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        let (head, user) = payload.split_at_checked(HEAD)?;
        let user = std::str::from_utf8(user).ok()?;
        if head[0] != VERSION {
            return None;
        }
        // The stamp is looked up by a name nobody has vouched for yet; it is used for nothing but the check.
        let stamp = stamp_of(user)?;
        if !bool::from(self.mac(b"session", &[payload, &stamp]).as_slice().ct_eq(seal)) {
            return None;
        }
        let session = Session {
            user: user.to_owned(),
            started: u64::from_be_bytes(head[1..9].try_into().ok()?),
            expires: u64::from_be_bytes(head[9..17].try_into().ok()?),
            id: head[17..].try_into().ok()?,
        };
        let end = session.expires.min(session.started.saturating_add(ABSOLUTE.as_secs()));
        (seconds(now) < end).then_some((session, stamp))
    }

    /// The hidden field of every form that a session posts.
    pub(super) fn form_token(&self, session: &Session) -> String {
        BASE64.encode(self.mac(b"form", &[&session.id]))
    }

    /// The hidden field of the sign-in form, where there is no session yet: it goes with a random cookie.
    pub(super) fn sign_in_token(&self, cookie: &str) -> String {
        BASE64.encode(self.mac(b"sign-in form", &[cookie.as_bytes()]))
    }

    /// A sentence of ours that a redirect carries to the page after it: for a few minutes, for who has `form_token`,
    /// and on the page `path` alone.
    pub(super) fn seal_notice(&self, text: &str, form_token: &str, path: &str, now: SystemTime) -> String {
        let mut bytes = (seconds(now) + NOTICE.as_secs()).to_be_bytes().to_vec();
        bytes.extend(text.as_bytes());
        let seal = self.mac(b"notice", &[form_token.as_bytes(), &[0], path.as_bytes(), &[0], &bytes]);
        bytes.extend(seal);
        BASE64.encode(bytes)
    }

    /// The sentence; `None` when it is not ours, not for this one and this page, or old.
    pub(super) fn open_notice(
        &self,
        sealed: &str,
        form_token: &str,
        path: &str,
        now: SystemTime,
    ) -> Option<String> {
        if sealed.is_empty() || sealed.len() > MAX_NOTICE || form_token.is_empty() {
            return None;
        }
        let bytes = BASE64.decode(sealed).ok()?;
        let (payload, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        let expected = self.mac(b"notice", &[form_token.as_bytes(), &[0], path.as_bytes(), &[0], payload]);
        let (expires, text) = payload.split_first_chunk()?;
        let is_good =
            bool::from(expected.as_slice().ct_eq(seal)) && seconds(now) < u64::from_be_bytes(*expires);
        if is_good { String::from_utf8(text.to_vec()).ok() } else { None }
    }

    fn mac(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; SEAL] {
        // A key is as long as a block, a shorter one is filled up with zeros (RFC 2104, section 2).
        let mut key = [0; 64];
        key[..32].copy_from_slice(&self.key);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        // The purpose keeps a token of one kind from passing for another.
        mac.update(b"pakhuis ");
        mac.update(purpose);
        mac.update(&[0]);
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// 16 random bytes as text, for the sign-in form's cookie.
pub(super) fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64.encode(bytes))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const STAMP: [u8; 32] = [7; 32];

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn sealer() -> Sealer {
        Sealer::new([1; 32])
    }

    fn token() -> String {
        sealer().seal(&Session::start("ana", now()).unwrap(), &STAMP)
    }

    fn opened(token: &str, at: SystemTime) -> Option<Session> {
        sealer().open(token, at, |user| (user == "ana").then_some(STAMP)).map(|(session, _)| session)
    }

    #[test]
    fn a_token_is_good_on_every_server_with_the_key() {
        assert_eq!(opened(&token(), now()).unwrap().user, "ana");
        assert_eq!(Sealer::new([2; 32]).open(&token(), now(), |_| Some(STAMP)), None);
    }

    #[test]
    fn the_seal_is_hmac_with_the_key_as_it_is() {
        let mut mac = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
        mac.update(b"pakhuis sign-in form\0cookie");
        let expected = BASE64.encode(mac.finalize().into_bytes());
        assert_eq!(sealer().sign_in_token("cookie"), expected);
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed_or_left_out() {
        let bytes = BASE64.decode(token()).unwrap();
        for at in 0..bytes.len() {
            for flip in [1, 0x80] {
                let mut forged = bytes.clone();
                forged[at] ^= flip;
                let opened = sealer().open(&BASE64.encode(forged), now(), |_| Some(STAMP));
                assert_eq!(opened, None, "byte {at} changed by {flip}");
            }
            assert_eq!(opened(&BASE64.encode(&bytes[..at]), now()), None, "cut at {at}");
        }
        for garbage in ["", "v1", "!!!", &"A".repeat(100), &"A".repeat(100_000)] {
            assert_eq!(opened(garbage, now()), None);
        }
    }

    #[test]
    fn a_token_of_one_user_does_not_become_anothers() {
        let mut bytes = BASE64.decode(token()).unwrap();
        bytes[HEAD..HEAD + 3].copy_from_slice(b"bob");
        assert_eq!(sealer().open(&BASE64.encode(bytes), now(), |_| Some(STAMP)), None);
    }

    #[test]
    fn a_removed_user_or_another_password_ends_it() {
        assert_eq!(sealer().open(&token(), now(), |_| None), None);
        assert_eq!(sealer().open(&token(), now(), |_| Some([8; 32])), None);
    }

    #[test]
    fn it_ends_when_unused_and_after_a_week_of_use() {
        assert!(opened(&token(), now() + IDLE - Duration::from_secs(1)).is_some());
        assert_eq!(opened(&token(), now() + IDLE), None);
        let (mut at, mut last) = (now(), token());
        while let Some(session) = opened(&last, at) {
            if let Some(renewed) = session.renewed(at) {
                last = sealer().seal(&renewed, &STAMP);
            }
            at += Duration::from_secs(3600);
        }
        assert_eq!(at, now() + ABSOLUTE);
    }

    #[test]
    fn a_young_token_is_kept() {
        let session = Session::start("ana", now()).unwrap();
        assert_eq!(session.renewed(now() + Duration::from_secs(599)), None);
        assert!(session.renewed(now() + Duration::from_secs(600)).is_some());
    }

    #[test]
    fn form_tokens_belong_to_their_session_and_form() {
        let one = Session::start("ana", now()).unwrap();
        let other = Session::start("ana", now()).unwrap();
        assert_ne!(sealer().form_token(&one), sealer().form_token(&other));
        assert_eq!(sealer().form_token(&one), sealer().form_token(&one.renewed(now() + IDLE).unwrap()));
        let cookie = random_text().unwrap();
        assert_ne!(sealer().sign_in_token(&cookie), sealer().sign_in_token(&random_text().unwrap()));
    }

    #[test]
    fn a_notice_is_for_one_visitor_one_page_and_a_few_minutes() {
        let sealed = sealer().seal_notice("1 tag taken off.", "token", "/ui/r/app", now());
        let open = |sealed: &str, token, path, at| sealer().open_notice(sealed, token, path, at);
        assert_eq!(open(&sealed, "token", "/ui/r/app", now()).as_deref(), Some("1 tag taken off."));
        assert_eq!(open(&sealed, "another", "/ui/r/app", now()), None);
        assert_eq!(open(&sealed, "token", "/ui/r/other", now()), None);
        assert_eq!(open(&sealed, "token", "/ui/r/app", now() + NOTICE), None);
        assert_eq!(Sealer::new([2; 32]).open_notice(&sealed, "token", "/ui/r/app", now()), None);
        for garbage in ["", "repository", &sealed[1..], &"A".repeat(100_000)] {
            assert_eq!(open(garbage, "token", "/ui/r/app", now()), None);
        }
    }
}
