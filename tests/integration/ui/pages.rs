//! What pages show, and that each is sound.

use std::collections::{BTreeMap, BTreeSet};

use http::{Request, StatusCode, header};

use super::{
    browser::{Browser, HOST, pages},
    markup,
    sample::{ATTACK, Sample},
};

#[tokio::test]
async fn every_page_is_sound_and_every_link_answers() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let mut titles: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec!["/ui/".to_owned(), "/ui/r/team".to_owned(), "/ui/r/hostile".to_owned()];
    while let Some(path) = waiting.pop() {
        // Tags and digests of the large repository are all alike.
        if !seen.insert(path.clone()) || (path.starts_with("/ui/r/big") && seen.len() > 60) {
            continue;
        }
        let answer = browser.get(&path).await;
        assert!(matches!(answer.status, StatusCode::OK | StatusCode::SEE_OTHER), "{path}: {}", answer.status);
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        if answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/html; charset=utf-8") {
            assert_page_headers(&answer.headers);
            let (title, links) = markup::check(&path, &answer.text);
            waiting.extend(links);
            if !path.contains('?') {
                assert_eq!(titles.insert(title, path), None, "a title twice");
            }
        }
    }
    for part in
        ["/ui/help", "/ui/help/ca.crt", "/ui/r/team/app:multi", "/ui/r/hostile/app:artifact", "/ui/r/tool"]
    {
        assert!(seen.contains(part), "nothing leads to {part}");
    }
    assert!(
        seen.iter().any(|path| path.contains("platform=")) && seen.iter().any(|path| path.contains("page="))
    );
}

fn assert_page_headers(headers: &http::HeaderMap) {
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    for part in ["form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(headers[header::CACHE_CONTROL], "private, no-store");
    assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
    assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
    assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
}

#[tokio::test]
async fn hostile_text_is_text() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    for path in ["/ui/r/hostile/app:v1", "/ui/r/hostile/app:artifact", "/ui/r/hostile/app"] {
        let page = browser.get(path).await;
        let elements = markup::elements(&page.text);
        assert_eq!(elements.iter().filter(|element| element.name == "script").count(), 1, "{path}");
        assert_eq!(elements.iter().filter(|element| element.name == "img").count(), 1, "{path}");
        assert!(!page.text.contains('\u{202e}') && !page.text.contains("href=\"javascript"), "{path}");
        assert!(!page.text.contains(ATTACK), "{path}");
    }
    let page = browser.get("/ui/r/hostile/app:v1").await;
    assert!(
        page.text.contains("&lt;script&gt;window.owned=1&lt;/script&gt;") && page.text.contains("U+202Egpj")
    );
    assert!(page.text.contains("href=\"https://example.org/\""));
    let search = browser.get("/ui/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE").await;
    markup::check("search", &search.text);
}

#[tokio::test]
async fn the_catalogue_is_searched_by_the_server() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let found = browser.get("/ui/?q=APP%20team").await.text;
    assert!(found.contains("/ui/r/team/app\"") && !found.contains("/ui/r/tool"));
    assert!(browser.get("/ui/?q=nowhere").await.text.contains("No repository has all of"));
    let below = browser.get("/ui/r/team").await.text;
    assert!(below.contains("/ui/r/team/app\"") && !below.contains("/ui/r/tool"));
}

#[tokio::test]
async fn an_empty_registry_says_how_to_push() {
    let sample = Sample::empty();
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/").await;
    markup::check("/ui/", &page.text);
    assert!(page.text.contains(&format!("docker push {HOST}/hello-world")));
}

#[tokio::test]
async fn an_image_page_says_how_to_use_it_and_what_it_is() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let image = browser.get("/ui/r/team/app:v1").await.text;
    for part in [
        &*format!("<code>docker pull {HOST}/team/app:v1</code>"),
        &format!("<code>apptainer pull docker://{HOST}/team/app:v1</code>"),
        "--with-registry-auth",
        "[&quot;serve&quot;]",
        "ADD file in /",
        "linux/amd64",
        "2026-01-02 03:04",
    ] {
        assert!(image.contains(part), "{part}");
    }
    let index = browser.get("/ui/r/team/app:multi").await.text;
    for part in ["linux/arm64/v8", "for linux/amd64", "SPDX bill of materials", "Choose a platform"] {
        assert!(index.contains(part), "{part}");
    }
    assert!(!index.contains("unknown/unknown"), "an attestation is no platform");
    let child = browser.get("/ui/r/team/app:multi?platform=linux/arm64/v8").await.text;
    assert!(child.contains("Configuration") && !child.contains("Choose a platform"));
    assert_eq!(browser.get("/ui/r/team/app:multi?platform=linux/s390x").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn many_tags_come_in_pages() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let rows = |text: &str| text.matches("<th scope=\"row\">").count();
    let first = browser.get("/ui/r/big").await.text;
    assert_eq!(rows(&first), 100);
    let second = browser.get("/ui/r/big?page=2").await.text;
    assert_eq!((rows(&second), second.contains("rel=\"prev\"")), (20, true));
    assert_eq!(rows(&browser.get("/ui/r/big?page=77").await.text), 20, "the last one there is");
    assert_eq!(rows(&browser.get("/ui/r/big?q=t11").await.text), 10);
}

#[tokio::test]
async fn what_is_not_there_is_404_as_a_page() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    for path in [
        "/ui/r/nope",
        "/ui/r/team/app:nope",
        "/ui/r/..%2F..%2Fetc",
        "/ui/r/A",
        "/ui/r/team/app@sha256:0",
        "/ui/x",
        "/ui/static/0/app.css",
        "/%00",
        "/UPPER",
        "/ui/r/%FF",
        "/metrics",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    let answer = browser.post("/ui/help", &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_pasted_reference_leads_to_its_page() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    for (path, page) in [("/team/app:v1", "/ui/r/team/app:v1"), ("/tool", "/ui/r/tool")] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::FOUND, page));
    }
    assert_eq!(browser.get("/").await.location(), "/ui/");
    let script = Request::get("/team/app:v1").header(header::ACCEPT, "*/*");
    assert_eq!(browser.post_with(script, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_help_page_names_this_server_and_gives_the_certificate_only() {
    let sample = Sample::empty();
    let users = sample.directory.path().join("htpasswd");
    super::browser::write_user(&users, "ana", "secret");
    let mut browser = Browser::new(pages(&sample.registry, Some(&users)));
    let help = browser.get("/ui/help").await;
    assert_eq!(help.status, StatusCode::OK, "without signing in");
    for part in [
        &*format!("docker login {HOST}"),
        &format!("sudo cp ca.crt /etc/docker/certs.d/{HOST}/ca.crt"),
        "BA:78:16:BF",
        "--with-registry-auth",
    ] {
        assert!(help.text.contains(part), "{part}");
    }
    let certificate = browser.get("/ui/help/ca.crt").await;
    assert_eq!(certificate.headers[header::CONTENT_TYPE], "application/x-x509-ca-cert");
    assert_eq!(certificate.text, "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n");
}

#[tokio::test]
async fn assets_are_kept_for_ever() {
    let sample = Sample::empty();
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/").await.text;
    let style =
        page.split("href=\"").find(|part| part.contains("app.css")).unwrap().split('"').next().unwrap();
    let answer = browser.get(style).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
}
