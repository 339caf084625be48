//! What was pushed, as text on a page and byte for byte as a file.

use http::{StatusCode, header};
use serde_json::json;

use super::{
    browser::{Browser, pages},
    markup,
    sample::Sample,
};

#[tokio::test]
async fn what_a_page_has_no_room_for_can_be_downloaded() {
    let sample = Sample::empty();
    let labels = json!({ "config": { "Labels": { "long": "<script>".repeat(20_000) } } });
    let image = sample.image("app", Some("v1"), "amd64", "x", labels).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    for (what, cut, kind) in [("config", true, "config-"), ("manifest", false, "manifest-")] {
        let path = format!("/ui/r/app:v1?show={what}");
        let page = browser.get(&path).await;
        let (_, links) = markup::check(&path, &page.text);
        assert_eq!(page.text.contains("Only the beginning of 160 kB is shown"), cut, "{}", page.text.len());
        let link = links.iter().find(|link| link.contains("download=1")).expect("a link");
        let file = browser.get(link).await;
        assert_eq!(file.headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(file.headers[header::CONTENT_LENGTH], file.text.len().to_string());
        assert_eq!(file.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let disposition = file.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert!(disposition.starts_with(&format!("attachment; filename=\"{kind}")), "{disposition}");
        let digest = pakhuis::oci::Digest::of(pakhuis::oci::Algorithm::Sha256, file.text.as_bytes());
        let expected = if what == "manifest" { &image["digest"] } else { continue };
        assert_eq!(digest.as_str(), expected);
    }
    let file = browser.get("/ui/r/app:v1?show=config&download=1").await;
    let config: serde_json::Value = serde_json::from_str(&file.text).unwrap();
    assert_eq!(config["config"]["Labels"]["long"].as_str().map(str::len), Some(160_000));
    for path in ["/ui/r/app:v1?show=other&download=1", "/ui/r/app:v2?show=config&download=1"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
