//! Signing in on a page, and out again. Never by a prompt of the browser: nothing here asks for Basic.

use std::{sync::Arc, time::SystemTime};

use askama::Template;
use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    Ui, address,
    fields::Fields,
    form_token,
    response::{self, Failure},
    session::{self, Session},
    visitor::{Frame, Visitor, cookie, cookies, session_cookie},
};
use crate::{
    auth::{AuthError, Credentials, Password, UserName},
    registry::{Action, JournalEntry},
};

/// How long a sign-in form that was opened stays good, in seconds.
const FORM_LIFETIME: u64 = 24 * 3600;

#[derive(Template)]
#[template(path = "login.html")]
struct SignInPage {
    frame: Frame,
    sign_in_token: String,
    next: String,
    username: String,
    message: &'static str,
}

/// The form.
pub(super) async fn form(
    State(ui): State<Arc<Ui>>,
    visitor: Visitor,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let next = address::safe_next(fields.get("next"));
    if visitor.session.is_some() || !ui.authenticator.requires_sign_in() {
        return response::see_other(next);
    }
    ui.sign_in_page(&visitor, &headers, StatusCode::OK, next, "", "")
}

/// Checks name and password, and begins a session.
pub(super) async fn sign_in(
    State(ui): State<Arc<Ui>>,
    visitor: Visitor,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let next = address::safe_next(fields.get("next"));
    let username = fields.get("username");
    let page = |status, message| ui.sign_in_page(&visitor, &headers, status, next, username, message);
    let expected = cookies(&headers, form_cookie(ui.config.secure))
        .any(|cookie| form_token::same_token(fields.get("token"), &ui.sealer.sign_in_token(cookie)));
    if !expected {
        return page(
            StatusCode::FORBIDDEN,
            "The form could not be checked, so nothing was done. Cookies must be allowed. Try again.",
        );
    }
    const WRONG: &str = "The user name or the password is wrong.";
    let Ok(user) = username.parse::<UserName>() else { return page(StatusCode::UNAUTHORIZED, WRONG) };
    let credentials = Credentials::new(user.clone(), Password::new(fields.get("password").to_owned()));
    match ui.authenticator.authenticate(Some(&credentials), visitor.remote).await {
        Ok(_) => {}
        Err(AuthError::Missing | AuthError::Rejected) => {
            ui.note_sign_in(Action::SignInFailed, &visitor, user.as_str());
            return page(StatusCode::UNAUTHORIZED, WRONG);
        }
        Err(AuthError::Busy | AuthError::Unavailable) => {
            return page(
                StatusCode::SERVICE_UNAVAILABLE,
                "Signing in is not possible now. Try again in a minute.",
            );
        }
    }
    let Some(cookie) = ui.begin_session(user.as_str()) else { return visitor.fail(Failure::Internal) };
    ui.note_sign_in(Action::SignIn, &visitor, user.as_str());
    let mut response = response::see_other(next);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    forget(&mut response, form_cookie(ui.config.secure), ui.config.secure);
    response
}

/// Forgets the session.
pub(super) async fn sign_out(State(ui): State<Arc<Ui>>, visitor: Visitor, fields: Fields) -> Response {
    if visitor.session.is_some() && !visitor.has_token(fields.get("token")) {
        return visitor.fail(Failure::StaleForm);
    }
    let mut response = response::see_other("/ui/login");
    forget(&mut response, session_cookie(ui.config.secure), ui.config.secure);
    response
}

impl Ui {
    fn note_sign_in(&self, action: Action, visitor: &Visitor, user: &str) {
        // What is no user's name may be a password typed in the wrong place.
        let user = Some(user).filter(|user| self.authenticator.session_stamp(user).is_some());
        self.note(JournalEntry::new(action, user, Some(visitor.remote.0.to_string())));
    }

    fn begin_session(&self, user: &str) -> Option<HeaderValue> {
        let stamp = self.authenticator.session_stamp(user)?;
        let session = Session::start(user, SystemTime::now()).ok()?;
        self.session_cookie(&session, &stamp)
    }

    /// The form with a token that belongs to a cookie: a page of another site can send the one, not know the other.
    fn sign_in_page(
        &self,
        visitor: &Visitor,
        headers: &HeaderMap,
        status: StatusCode,
        next: &str,
        username: &str,
        message: &'static str,
    ) -> Response {
        let name = form_cookie(self.config.secure);
        // A form open in another tab stays good.
        let kept = cookies(headers, name).find(|value| value.len() == 22).map(str::to_owned);
        let Some(value) = kept.or_else(|| session::random_text().ok()) else {
            return visitor.fail(Failure::Internal);
        };
        let page = SignInPage {
            frame: visitor.frame.clone(),
            sign_in_token: form_token::masked(&self.sealer.sign_in_token(&value)),
            next: next.to_owned(),
            username: username.chars().take(255).collect(),
            message,
        };
        let mut response = response::render(status, &page);
        if let Some(cookie) = cookie(name, &value, FORM_LIFETIME, self.config.secure) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

fn form_cookie(secure: bool) -> &'static str {
    if secure { "__Host-sign-in" } else { "sign-in" }
}

fn forget(response: &mut Response, name: &str, secure: bool) {
    if let Some(cookie) = cookie(name, "", 0, secure) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
