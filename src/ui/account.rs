//! The own password.

use std::{borrow::Cow, sync::Arc};

use askama::Template;
use axum::{extract::State, response::Response};
use http::{StatusCode, header};

use super::{
    Ui,
    fields::Fields,
    response::{self, Failure},
    visitor::{Frame, Viewer},
};
use crate::{
    auth::{AuthError, ChangeError, Password, UserName},
    registry::Action,
};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    user: String,
    message: String,
    is_done: bool,
}

/// The form.
pub(super) async fn show(State(_ui): State<Arc<Ui>>, viewer: Viewer) -> Response {
    match &viewer.frame.user {
        Some(user) => viewer.answer(Ok(AccountPage::new(&viewer, user, "", false))),
        None => viewer.fail(Failure::NotFound),
    }
}

/// Changes the password; the session of this browser goes on, all others of the user end.
pub(super) async fn change(State(ui): State<Arc<Ui>>, viewer: Viewer, fields: Fields) -> Response {
    let Some(user) = viewer.frame.user.clone() else { return viewer.fail(Failure::NotFound) };
    if !viewer.has_token(fields.get("token")) {
        return viewer.fail(Failure::StaleForm);
    }
    let refuse =
        |status, message: &str| response::render(status, &AccountPage::new(&viewer, &user, message, false));
    if fields.get("new") != fields.get("again") {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "The new password was not the same twice.");
    }
    let Ok(name) = user.parse::<UserName>() else { return viewer.fail(Failure::Internal) };
    let [old, new] = ["old", "new"].map(|field| Password::new(fields.get(field).to_owned()));
    if let Err(error) = ui.authenticator.change_password(&name, &old, &new, viewer.remote).await {
        let (status, message) = refusal(&error);
        if status == StatusCode::FORBIDDEN {
            ui.note(viewer.entry(Action::SignInFailed));
        }
        return refuse(status, &message);
    }
    ui.note(viewer.entry(Action::PasswordChanged));
    let done = "The password is changed. Log in again with it wherever docker or podman uses the old one.";
    let mut response = response::render(StatusCode::OK, &AccountPage::new(&viewer, &user, done, true));
    // The same session under the seal of the new password: the forms of this page and of other tabs stay good.
    let stamp = ui.authenticator.session_stamp(&user);
    let sealed = viewer.session.as_ref().zip(stamp);
    match sealed.and_then(|(session, stamp)| ui.session_cookie(session, &stamp)) {
        Some(cookie) => drop(response.headers_mut().append(header::SET_COOKIE, cookie)),
        None => return response::see_other("/ui/login"),
    }
    response
}

/// Why the password stays as it is.
fn refusal(error: &ChangeError) -> (StatusCode, Cow<'static, str>) {
    match error {
        ChangeError::Rule(rule) => (StatusCode::UNPROCESSABLE_ENTITY, sentence(&rule.to_string()).into()),
        ChangeError::Proof(AuthError::Missing | AuthError::Rejected) => {
            (StatusCode::FORBIDDEN, "The current password is wrong.".into())
        }
        ChangeError::Proof(AuthError::Busy | AuthError::Unavailable) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Passwords cannot be checked now. Try again in a minute.".into(),
        ),
        ChangeError::File => (
            StatusCode::SERVICE_UNAVAILABLE,
            "This server may not change the file of the users. Ask an administrator.".into(),
        ),
    }
}

impl AccountPage {
    fn new(viewer: &Viewer, user: &str, message: &str, is_done: bool) -> Self {
        Self { frame: viewer.frame.clone(), user: user.to_owned(), message: message.to_owned(), is_done }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
