//! Requests as clients make them, and what they were told.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, header::HeaderMap};
use serde_json::Value;

/// Longer than any deadline of the server: who waits this long hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// One HTTP client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    login: Option<(String, String)>,
}

/// An answer. The body is an error when it was cut before its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, String>,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nothing within more than any deadline.
    Hang,
    /// The connection broke.
    Broken(#[expect(dead_code, reason = "for Debug")] String),
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        let builder = reqwest::Client::builder().no_proxy().http1_only().timeout(PATIENCE);
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        Self { http: builder.build().expect("a client"), base: format!("http://{address}"), login: None }
    }

    /// The same client with a user name and a password.
    pub(crate) fn signed_in(&self, user: &str, password: &str) -> Self {
        Self { login: Some((user.to_owned(), password.to_owned())), ..self.clone() }
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, NoAnswer> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match response.bytes().await {
            Err(error) if error.is_timeout() => return Err(NoAnswer::Hang),
            body => body.map_err(|error| error.to_string()),
        };
        Ok(Answer { status, headers, body })
    }

    /// The same, where an answer must come.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send_as(method, path, &[], body).await
    }

    /// The same with headers.
    pub(crate) async fn send_as(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body.to_vec()).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() { NoAnswer::Hang } else { NoAnswer::Broken(format!("{error:?}")) }
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The bytes, which must have come whole.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_else(|error| panic!("an answer was cut: {error}"))
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        self.body.as_ref().ok().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    /// The code of the first OCI error; empty when there is none.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status, code and whether the body came whole, for a report.
    pub(crate) fn told(&self) -> String {
        let cut = if self.body.is_err() { " cut" } else { "" };
        format!("{} {}{cut}", self.status, self.code()).trim_end().to_owned()
    }
}
