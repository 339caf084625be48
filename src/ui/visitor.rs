//! Who asks for a page, found from their cookie, and what every page shows of that.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::SystemTime,
};

use askama::Template;
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{
    Ui, address, assets, form_token,
    response::{self, Failure},
    session::{self, Session},
    theme::Theme,
};
use crate::{
    auth::{Access, Decision, Identity, RemoteAddress},
    oci::RepositoryName,
    registry::{Action, JournalEntry},
};

/// What every page shows around its content.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Name of the one who is signed in.
    pub(super) user: Option<String>,
    /// What every form that is posted brings along, masked.
    pub(super) form_token: String,
    /// Whether to lead to what administrators see.
    pub(super) is_admin: bool,
    /// This server as clients write it.
    pub(super) host: String,
    /// Whether to offer signing in.
    pub(super) can_sign_in: bool,
    /// Whether the browser's connection is in the clear.
    pub(super) in_the_clear: bool,
    /// Light or dark, when that was chosen.
    pub(super) theme: Theme,
    /// This page, to come back to.
    pub(super) here: String,
    /// Its path.
    pub(super) path: String,
    /// The style sheet, script and icon.
    pub(super) assets: assets::Addresses,
}

impl Frame {
    /// The token for one form.
    pub(super) fn masked_token(&self) -> String {
        form_token::masked(&self.form_token)
    }
}

/// Anybody: signed in or not.
pub(super) struct Visitor {
    /// What to show around a page.
    pub(super) frame: Frame,
    /// Where the request came from.
    pub(super) remote: RemoteAddress,
    /// Who is signed in.
    pub(super) session: Option<Session>,
    renewal: Option<HeaderValue>,
}

impl FromRequestParts<Arc<Ui>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, ui: &Arc<Ui>) -> Result<Self, Infallible> {
        let now = SystemTime::now();
        let stamp_of = |user: &str| ui.authenticator.session_stamp(user);
        let opened = cookies(&parts.headers, session_cookie(ui.config.secure))
            .find_map(|token| ui.sealer.open(token, now, stamp_of));
        let renewal = opened.as_ref().and_then(|(session, stamp)| {
            session.renewed(now).and_then(|renewed| ui.session_cookie(&renewed, stamp))
        });
        let session = opened.map(|(session, _)| session);
        let host = address::host(
            ui.config.external_host.as_deref(),
            &parts.uri,
            &parts.headers,
            ui.config.listen_port,
        );
        let requires_sign_in = ui.authenticator.requires_sign_in();
        let identity = match &session {
            Some(session) => session.user.parse().ok().map(Identity::User),
            None => (!requires_sign_in).then_some(Identity::Anonymous),
        };
        let is_admin = identity.as_ref().is_some_and(|identity| {
            ui.policy.authorize(identity, Access::Administer, None) == Decision::Allow
        });
        let (form_token, browser) = ui.form_token(session.as_ref(), &parts.headers);
        let frame = Frame {
            user: session.as_ref().map(|session| session.user.clone()),
            form_token,
            is_admin,
            host,
            can_sign_in: session.is_none() && requires_sign_in,
            in_the_clear: !ui.config.secure,
            theme: Theme::of(&parts.headers, ui.config.secure),
            here: here(parts).to_owned(),
            path: parts.uri.path().to_owned(),
            assets: assets::Addresses::default(),
        };
        let remote = parts.extensions.get().copied();
        let remote = remote.unwrap_or(RemoteAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        Ok(Self { frame, remote, session, renewal: renewal.or(browser) })
    }
}

/// The page that is asked for, as an address of ours.
fn here(parts: &Parts) -> &str {
    let path = parts.uri.path_and_query().map_or(address::CATALOGUE, |here| here.as_str());
    // What a form is sent to shows nothing when it is only looked at.
    if parts.method == Method::POST { address::CATALOGUE } else { address::safe_next(path) }
}

impl Frame {
    /// Which of the links at the top leads to a page like this one.
    pub(super) fn is_in(&self, path: &str) -> bool {
        self.path == path || (path == address::CATALOGUE && self.path.starts_with("/ui/r/"))
    }
}

impl Visitor {
    /// Answers with a page, or with a page that says why there is none.
    pub(super) fn answer<T: Template>(&self, page: Result<T, Failure>) -> Response {
        let mut response = match page {
            Ok(page) => response::render(StatusCode::OK, &page),
            Err(failure) => failure.page(self.frame.clone()),
        };
        if let Some(cookie) = &self.renewal {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
        response
    }

    /// Whether a form brought the token that its page gave it.
    pub(super) fn has_token(&self, given: &str) -> bool {
        form_token::same_token(given, &self.frame.form_token)
    }

    /// An entry for the journal of something this visitor does.
    pub(super) fn entry(&self, action: Action) -> JournalEntry {
        JournalEntry::new(action, self.frame.user.as_deref(), Some(self.remote.0.to_string()))
    }

    /// The same of something in a repository.
    pub(super) fn entry_of(&self, action: Action, repository: &RepositoryName) -> JournalEntry {
        JournalEntry { repository: Some(repository.clone()), ..self.entry(action) }
    }

    /// Answers that there is no page.
    pub(super) fn fail(&self, failure: Failure) -> Response {
        self.answer(Err::<super::help::HelpPage, _>(failure))
    }
}

/// Someone who may look at pages, as far as the policy lets them. Others are sent to sign in.
pub(super) struct Viewer {
    visitor: Visitor,
    identity: Identity,
}

impl std::ops::Deref for Viewer {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}

impl FromRequestParts<Arc<Ui>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ui: &Arc<Ui>) -> Result<Self, Response> {
        let Ok(visitor) = Visitor::from_request_parts(parts, ui).await;
        let user = visitor.session.as_ref().and_then(|session| session.user.parse().ok());
        if let Some(identity) = user.map(Identity::User) {
            return Ok(Self { visitor, identity });
        }
        if !ui.authenticator.requires_sign_in()
            && let Ok(identity) = ui.authenticator.authenticate(None, visitor.remote).await
        {
            return Ok(Self { visitor, identity });
        }
        let next = match here(parts) {
            address::CATALOGUE => "",
            next => next,
        };
        Err(response::see_other(&address::with_query("/ui/login", &[("next", next)])).into_response())
    }
}

impl Viewer {
    /// Whether the policy, which is that of `/v2`, lets this viewer list repositories.
    pub(super) fn require_catalogue(&self, ui: &Ui) -> Result<(), Failure> {
        self.require(ui, Access::Catalog, None)
    }

    /// Whether this viewer may see what a repository holds.
    pub(super) fn may_see(&self, ui: &Ui, repository: &RepositoryName) -> bool {
        self.require(ui, Access::Pull, Some(repository)).is_ok()
    }

    /// Who it is, for the policy.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether this viewer may delete from a repository, and the registry takes deletions at all.
    pub(super) fn may_delete(&self, ui: &Ui, repository: &RepositoryName) -> bool {
        ui.registry.config().delete_enabled && self.require(ui, Access::Delete, Some(repository)).is_ok()
    }

    /// Whether this viewer may write to a repository.
    pub(super) fn may_push(&self, ui: &Ui, repository: &RepositoryName) -> bool {
        self.require(ui, Access::Push, Some(repository)).is_ok()
    }

    /// Whether this viewer may see what others did and how the server is.
    pub(super) fn require_admin(&self, ui: &Ui) -> Result<(), Failure> {
        self.require(ui, Access::Administer, None)
    }

    fn require(&self, ui: &Ui, access: Access, repository: Option<&RepositoryName>) -> Result<(), Failure> {
        match ui.policy.authorize(&self.identity, access, repository) {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(Failure::Denied),
        }
    }
}

impl Ui {
    /// What forms bring along, and the cookie that it belongs to when that is new.
    fn form_token(&self, session: Option<&Session>, headers: &HeaderMap) -> (String, Option<HeaderValue>) {
        match session {
            Some(session) => (self.sealer.form_token(session), None),
            // Where nobody signs in, a form belongs to a random cookie of the browser.
            None if !self.authenticator.requires_sign_in() => self.browser_token(headers),
            None => (String::new(), None),
        }
    }

    /// The form token of a browser where nobody signs in, and its cookie when that is new.
    fn browser_token(&self, headers: &HeaderMap) -> (String, Option<HeaderValue>) {
        let name = if self.config.secure { "__Host-browser" } else { "browser" };
        if let Some(kept) = cookies(headers, name).find(|value| value.len() == 22) {
            return (self.sealer.sign_in_token(kept), None);
        }
        let Ok(value) = session::random_text() else { return (String::new(), None) };
        let set = cookie(name, &value, session::IDLE.as_secs() * 24, self.config.secure);
        (self.sealer.sign_in_token(&value), set)
    }

    /// The cookie that carries a session; `None` when the name in it cannot be.
    pub(super) fn session_cookie(&self, session: &Session, stamp: &[u8; 32]) -> Option<HeaderValue> {
        let token = self.sealer.seal(session, stamp);
        cookie(session_cookie(self.config.secure), &token, session::IDLE.as_secs(), self.config.secure)
    }
}

/// A browser keeps a `__Host-` cookie from plain HTTP, from other hosts of the domain and from other paths.
pub(super) fn session_cookie(secure: bool) -> &'static str {
    if secure { "__Host-session" } else { "session" }
}

/// A cookie for all our pages that no script can read and no other site's form brings along.
pub(super) fn cookie(name: &str, value: &str, seconds: u64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly{secure}; SameSite=Lax; Path=/; Max-Age={seconds}");
    HeaderValue::try_from(text).ok()
}

/// The values of all cookies of a name: another service on another port of this host may have set its own.
pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(move |pair| pair.trim().split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| value)
        .take(8)
}
