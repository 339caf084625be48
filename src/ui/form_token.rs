//! How a form carries the token of its session: masked, never twice the same.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use subtle::ConstantTimeEq;

use super::session::SEAL;

/// Whether a form brought the token it was given; where none is expected, none is right.
pub(super) fn same_token(given: &str, expected: &str) -> bool {
    !expected.is_empty() && bool::from(unmasked(given).as_bytes().ct_eq(expected.as_bytes()))
}

/// A form token as one form carries it, never twice the same: pages are compressed, and from the lengths of many pages
/// that repeat a guess of it, who sees the wire could find it byte by byte (BREACH). Empty when there is none.
pub(super) fn masked(token: &str) -> String {
    let mut mask = [0; SEAL];
    let Ok(token) = BASE64.decode(token) else { return String::new() };
    if token.len() != SEAL || getrandom::fill(&mut mask).is_err() {
        return String::new();
    }
    let hidden = token.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    BASE64.encode(mask.into_iter().chain(hidden).collect::<Vec<_>>())
}

/// The token that a form carried; empty when it is none.
fn unmasked(carried: &str) -> String {
    let bytes = BASE64.decode(carried).unwrap_or_default();
    let Some((mask, hidden)) = bytes.split_at_checked(SEAL).filter(|(_, hidden)| hidden.len() == SEAL) else {
        return String::new();
    };
    BASE64.encode(hidden.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn token(byte: u8) -> String {
        BASE64.encode([byte; SEAL])
    }

    #[test]
    fn only_the_token_itself_masked_is_right() {
        assert!(same_token(&masked(&token(1)), &token(1)));
        assert!(!same_token(&masked(&token(2)), &token(1)));
        assert!(!same_token(&token(1), &token(1)), "it is not masked");
        assert!(!same_token("", &token(1)));
    }

    #[test]
    fn where_no_token_is_expected_none_is_right() {
        for given in ["", "x", &token(1), &masked(&token(1))] {
            assert!(!same_token(given, ""), "{given}");
        }
    }

    #[test]
    fn a_token_looks_different_in_each_form_and_is_the_same() {
        let token = token(7);
        let (one, other) = (masked(&token), masked(&token));
        let parts =
            |masked: &str| BASE64.decode(masked).unwrap().chunks(4).map(Vec::from).collect::<Vec<_>>();
        assert!(parts(&one).iter().all(|part| !parts(&other).contains(part)));
        assert_eq!((unmasked(&one), unmasked(&other)), (token.clone(), token.clone()));
        for none in ["", "x", &token, &one[..80]] {
            assert_eq!(unmasked(none), "");
        }
        assert_eq!(masked(""), "");
    }
}
