//! What the line of a request says, and what it must not say.
#![allow(clippy::unwrap_used)]

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use axum::{
    Router,
    middleware::from_fn,
    response::{Extension, IntoResponse},
    routing::get,
};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The log of one request for `path`; `read` says whether the client reads the answer.
async fn log_of(path: &str, read: bool) -> String {
    let captured = Captured::default();
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(captured.clone()).finish();
    let subscriber = tracing::subscriber::set_default(lines);
    let app = Router::new()
        .route(
            "/who",
            get(|| async { (Extension(AuthenticatedUser("ana".into())), "hello").into_response() }),
        )
        .route(
            "/refused",
            get(|| async {
                let asked =
                    Asked { route: "get_manifest", repository: Some("team/app".into()), ..Asked::default() };
                let cause = Cause { code: "MANIFEST_UNKNOWN", text: "no such manifest".into() };
                (StatusCode::NOT_FOUND, Extension(asked), Extension(cause)).into_response()
            }),
        )
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/healthz", get(|| async { "ok" }))
        .layer(from_fn(layer));
    let request = Request::get(path)
        .extension(RemoteAddress([192, 0, 2, 7].into()))
        .header("authorization", "Basic c2VjcmV0")
        .header("cookie", "session=c2VjcmV0")
        .body(Body::empty());
    let response = app.oneshot(request.unwrap()).await.unwrap();
    if read {
        response.into_body().collect().await.unwrap();
    } else {
        drop(response);
    }
    drop(subscriber);
    captured.text()
}

#[tokio::test]
async fn one_line_sums_a_request_up_without_its_secrets() {
    let log = log_of("/who?token=c2VjcmV0", true).await;
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in [
        r#""level":"INFO""#,
        r#""method":"GET""#,
        r#""path":"/who""#,
        r#""status":200"#,
        r#""bytes":5"#,
        r#""remote":"192.0.2.7""#,
        r#""user":"ana""#,
        r#""outcome":"done""#,
        r#""id":""#,
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    assert!(!log.contains("c2VjcmV0"), "{log}");
}

#[tokio::test]
async fn a_client_that_leaves_is_no_error() {
    let log = log_of("/who", false).await;
    assert!(log.contains(r#""outcome":"client went away""#) && log.contains(r#""level":"INFO""#), "{log}");
}

#[tokio::test]
async fn failures_stand_out_and_health_checks_do_not() {
    let log = log_of("/broken", true).await;
    assert!(log.contains(r#""level":"WARN""#) && log.contains(r#""status":502"#), "{log}");
    assert_eq!(log_of("/healthz", true).await, "");
}

#[tokio::test]
async fn a_refusal_says_of_which_repository_and_why() {
    let log = log_of("/refused", true).await;
    let parts = [r#""repository":"team/app""#, r#""cause":"no such manifest""#, r#""status":404"#];
    assert!(parts.iter().all(|part| log.contains(part)), "{log}");
    let mut metrics = prometheus_client::registry::Registry::default();
    traffic().register(&mut metrics);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
    let line = r#"http_requests_total{route="get_manifest",method="GET",status="404"} 1"#;
    assert!(
        text.contains(line) && text.contains(r#"http_errors_total{code="MANIFEST_UNKNOWN"} 1"#),
        "{text}"
    );
}
