//! What is compressed, for whom, and what never is.

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use tower::ServiceExt;

use super::{
    browser::{Browser, HOST, pages, write_user},
    sample::Sample,
};

/// Status and content coding of an answer.
async fn asked(pages: &Router, request: http::request::Builder, takes: &str) -> (StatusCode, Option<String>) {
    let request = request.header(header::HOST, HOST).header(header::ACCEPT_ENCODING, takes);
    let answer = pages.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let coding = answer.headers().get(header::CONTENT_ENCODING);
    (answer.status(), coding.map(|coding| coding.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn long_pages_style_and_script_are_compressed_for_who_takes_that_and_nothing_else_is() {
    let sample = Sample::stored().await;
    let pages = pages(&sample.registry, None);
    let page = Browser::new(pages.clone()).get("/ui/").await.text;
    let asset = |name: &str| {
        let part = page.split('"').find(|part| part.ends_with(name)).expect("its address");
        part.to_owned()
    };
    let (style, script, icon) = (asset("app.css"), asset("app.js"), asset("icon.svg"));
    for (path, takes, expected) in [
        ("/ui/", "gzip, deflate, br", Some("gzip")),
        ("/ui/?q=app", "gzip", Some("gzip")),
        (&style, "gzip", Some("gzip")),
        (&script, "gzip", Some("gzip")),
        ("/ui/", "identity", None),
        ("/ui/help/ca.crt", "gzip", None),
        (&icon, "gzip", None),
    ] {
        let request = Request::get(path).header("sec-fetch-site", "same-origin");
        let (status, coding) = asked(&pages, request, takes).await;
        assert_eq!((status, coding.as_deref()), (StatusCode::OK, expected), "{path} {takes}");
    }
}

#[tokio::test]
async fn what_another_site_sends_a_browser_to_is_not_compressed() {
    let sample = Sample::stored().await;
    let pages = pages(&sample.registry, None);
    for (site, expected) in [
        (Some("same-origin"), Some("gzip")),
        (Some("none"), Some("gzip")),
        (Some("same-site"), None),
        (Some("cross-site"), None),
        (Some("something-new"), None),
        (None, None),
    ] {
        let mut request = Request::get("/ui/?q=guess");
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        let (status, coding) = asked(&pages, request, "gzip").await;
        assert_eq!((status, coding.as_deref()), (StatusCode::OK, expected), "{site:?}");
    }
}

#[tokio::test]
async fn a_form_that_was_carried_out_is_not_answered_as_not_acceptable() {
    let sample = Sample::stored().await;
    let users = sample.directory.path().join("htpasswd");
    write_user(&users, "ana", "secret");
    let mut browser = Browser::new(pages(&sample.registry, Some(&users)));
    let token = browser.get("/ui/login").await.token("/ui/login");
    let request = Request::post("/ui/login")
        .header(header::ORIGIN, format!("https://{HOST}"))
        .header("sec-fetch-site", "same-origin")
        .header(header::ACCEPT_ENCODING, "identity;q=0");
    let fields = [("username", "ana"), ("password", "secret"), ("next", "/ui/"), ("token", &*token)];
    let answer = browser.post_with(request, &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}
