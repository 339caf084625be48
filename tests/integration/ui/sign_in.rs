//! Signing in and out, and everything that must not count as being signed in.

use http::{Request, StatusCode, header};

use super::{
    browser::{Answer, Browser, HOST, pages, write_user},
    markup,
    sample::Sample,
};

const COOKIE: &str = "__Host-session";

async fn sample_with_user() -> (Sample, Browser) {
    let sample = Sample::stored().await;
    let users = sample.directory.path().join("htpasswd");
    write_user(&users, "ana", "secret");
    let browser = Browser::new(pages(&sample.registry, Some(&users)));
    (sample, browser)
}

/// Another server of the same volume, or this one after a restart; the cookies stay.
fn restarted(sample: &Sample, browser: &Browser) -> Browser {
    let users = sample.directory.path().join("htpasswd");
    let mut other = Browser::new(pages(&sample.registry, Some(&users)));
    other.cookies.clone_from(&browser.cookies);
    other
}

#[track_caller]
fn assert_sent_to_sign_in(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with("/ui/login"), "{}", answer.location());
    assert!(!answer.headers.contains_key(header::WWW_AUTHENTICATE), "no prompt of the browser");
}

#[tokio::test]
async fn sign_in_browse_sign_out() {
    let (_sample, mut browser) = sample_with_user().await;
    let stranger = browser.get("/ui/r/team/app:multi?platform=linux/arm64/v8").await;
    assert_sent_to_sign_in(&stranger);
    let form = browser.get(stranger.location()).await;
    markup::check("/ui/login", &form.text);
    let next = form.text.split("name=\"next\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(next, "/ui/r/team/app:multi?platform=linux/arm64/v8");
    let signed_in = browser.sign_in("ana", "secret", next).await;
    assert_eq!((signed_in.status, signed_in.location()), (StatusCode::SEE_OTHER, next));
    let page = browser.get(next).await;
    assert_eq!(page.status, StatusCode::OK);
    markup::check("an image", &page.text);
    let token = page.token("/ui/logout");
    let left = browser.post("/ui/logout", &[("token", &token)]).await;
    assert_eq!((left.status, left.location()), (StatusCode::SEE_OTHER, "/ui/login"));
    assert!(!browser.cookies.contains_key(COOKIE));
    assert_sent_to_sign_in(&browser.get("/ui/").await);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let (_sample, mut browser) = sample_with_user().await;
    let wrong = browser.sign_in("ana", "Secret", "/ui/").await;
    let unknown = browser.sign_in("bob", "secret", "/ui/").await;
    let impossible = browser.sign_in("a:b", "secret", "/ui/").await;
    for answer in [&wrong, &unknown, &impossible] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.text.contains("The user name or the password is wrong."));
        assert!(!answer.headers.contains_key(header::WWW_AUTHENTICATE));
        assert!(!answer.text.contains("ecret"), "a password is not shown again");
    }
    let shown =
        [wrong.text.replace("\"ana\"", "\"bob\""), unknown.text].map(|text| markup::without_tokens(&text));
    assert_eq!(shown[0], shown[1]);
    assert!(!browser.cookies.contains_key(COOKIE));
}

#[tokio::test]
async fn next_does_not_leave_our_pages() {
    let (_sample, mut browser) = sample_with_user().await;
    for next in [
        "//evil.example/",
        "https://evil.example/",
        "/ui/..//evil.example",
        "/v2/",
        "\\\\evil",
        "/ui/\r\nX: y",
    ] {
        let answer = browser.sign_in("ana", "secret", next).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/ui/"), "{next:?}");
        browser.cookies.clear();
    }
}

#[tokio::test]
async fn a_session_lasts_over_a_restart_until_the_password_changes_or_the_user_goes() {
    let (sample, mut browser) = sample_with_user().await;
    browser.sign_in("ana", "secret", "/ui/").await;
    let users = sample.directory.path().join("htpasswd");
    assert_eq!(restarted(&sample, &browser).get("/ui/").await.status, StatusCode::OK);
    write_user(&users, "ana", "secret");
    assert_sent_to_sign_in(&restarted(&sample, &browser).get("/ui/").await);
    write_user(&users, "bob", "secret");
    assert_sent_to_sign_in(&restarted(&sample, &browser).get("/ui/").await);
}

#[tokio::test]
async fn what_is_no_session_of_ours_is_nothing() {
    let (_sample, mut browser) = sample_with_user().await;
    browser.sign_in("ana", "secret", "/ui/").await;
    let good = browser.cookies[COOKIE].clone();
    let cut = good[..good.len() - 4].to_owned();
    for forged in
        [String::new(), "ana".to_owned(), cut, format!("{good}AAAA"), "A".repeat(9000), good.to_lowercase()]
    {
        browser.cookies.insert(COOKIE.to_owned(), forged);
        assert_sent_to_sign_in(&browser.get("/ui/").await);
    }
    // The name without the prefix could have been set from plain HTTP.
    browser.cookies.clear();
    browser.cookies.insert("session".to_owned(), good);
    assert_sent_to_sign_in(&browser.get("/ui/").await);
}

#[tokio::test]
async fn a_password_in_the_request_is_not_a_session() {
    let (_sample, mut browser) = sample_with_user().await;
    let request = Request::get("/ui/").header(header::AUTHORIZATION, "Basic YW5hOnNlY3JldA==");
    assert_sent_to_sign_in(&browser.post_with(request, &[]).await);
}

#[tokio::test]
async fn forms_from_elsewhere_are_refused() {
    let (_sample, mut browser) = sample_with_user().await;
    browser.sign_in("ana", "secret", "/ui/").await;
    let token = browser.get("/ui/").await.token("/ui/logout");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request = Request::post("/ui/logout").header(name, value);
        let answer = browser.post_with(request, &[("token", &token)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        markup::check("refused", &answer.text);
    }
    for token in ["", "x"] {
        let answer = browser.post("/ui/logout", &[("token", token)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "without the form's token");
    }
    assert_eq!(browser.get("/ui/").await.status, StatusCode::OK, "and still signed in");
}

#[tokio::test]
async fn the_sign_in_form_needs_its_own_cookie() {
    let (_sample, mut browser) = sample_with_user().await;
    let token = browser.get("/ui/login").await.token("/ui/login");
    let fields = [("username", "ana"), ("password", "secret"), ("next", "/ui/"), ("token", &*token)];
    browser.cookies.clear();
    let answer = browser.post("/ui/login", &fields).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!browser.cookies.contains_key(COOKIE));
    let request = Request::post("/ui/login").header(header::ORIGIN, "https://evil.example");
    assert_eq!(browser.post_with(request, &fields).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_as_older_browsers_send_it_is_taken() {
    let (_sample, mut browser) = sample_with_user().await;
    let token = browser.get("/ui/login").await.token("/ui/login");
    let fields = [("username", "ana"), ("password", "secret"), ("token", &*token)];
    let request = Request::post("/ui/login").header(header::ORIGIN, format!("https://{HOST}"));
    assert_eq!(browser.post_with(request, &fields).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn without_users_nobody_signs_in() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text.contains("/ui/login"));
    assert_eq!(browser.get("/ui/login").await.location(), "/ui/");
}
