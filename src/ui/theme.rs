//! Light or dark: as the system has it, or as chosen on a page, which a cookie keeps. The server writes it into the
//! page, so that none is shown in the other colours first.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, header};

use super::{
    Ui, address,
    fields::Fields,
    response,
    visitor::{cookie, cookies},
};

/// How long the choice is kept, in seconds: a year.
const KEPT: u64 = 365 * 24 * 3600;

/// What was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// Nothing: that of the system.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    /// All, as they are offered.
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The choice that a browser keeps.
    pub(super) fn of(headers: &HeaderMap, secure: bool) -> Self {
        cookies(headers, name(secure)).next().map_or(Self::System, Self::parse)
    }

    fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|theme| theme.key() == text).unwrap_or_default()
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The value of `color-scheme`.
    pub(super) fn scheme(self) -> &'static str {
        if self == Self::System { "light dark" } else { self.key() }
    }
}

fn name(secure: bool) -> &'static str {
    if secure { "__Host-theme" } else { "theme" }
}

/// Keeps a choice and goes back to where it was made. Nothing of anybody's changes, so no token is asked for.
pub(super) async fn choose(State(ui): State<Arc<Ui>>, fields: Fields) -> Response {
    let theme = Theme::parse(fields.get("theme"));
    let secure = ui.config.secure;
    let kept = if theme == Theme::System { 0 } else { KEPT };
    let mut response = response::see_other(address::safe_next(fields.get("next")));
    if let Some(cookie) = cookie(name(secure), theme.key(), kept, secure) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
