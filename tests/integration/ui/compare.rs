//! Two images compared: nothing of what they hold is left out of the sum, and secrets are flagged.

use serde_json::{Value, json};

use super::{
    browser::{Browser, pages},
    markup,
    sample::Sample,
};

#[tokio::test]
async fn what_looks_like_a_secret_is_flagged_where_it_differs() {
    let sample = Sample::empty();
    for (tag, password, level) in [("a", "one", "info"), ("b", "two", "debug")] {
        let variables = json!({ "Env": [format!("DB_PASSWORD={password}"), format!("LEVEL={level}")] });
        sample.image("app", Some(tag), "amd64", "x", json!({ "config": variables })).await;
    }
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/compare?a=app:a&b=app:b").await.text;
    markup::check("compare", &page);
    let flagged = "env DB_PASSWORD</bdi> <span class=\"flag\">looks like a secret";
    assert!(page.contains(flagged) && page.contains("env LEVEL</bdi></th>"), "{page}");
}

#[tokio::test]
async fn layers_after_the_last_one_listed_are_counted() {
    let sample = Sample::empty();
    let registry = sample.server_with(|config| config.sparse_manifests = true);
    let sample = Sample { registry, directory: sample.directory };
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layers: Vec<Value> = (0..501)
        .map(|number| {
            let size = if number == 500 { 9_000_000 } else { 10 };
            json!({ "mediaType": layer, "digest": format!("sha256:{number:064}"), "size": size })
        })
        .collect();
    for tag in ["a", "b"] {
        let config = json!({ "os": "linux", "architecture": "amd64", "author": tag }).to_string();
        let config =
            sample.blob("app", "application/vnd.oci.image.config.v1+json", config.as_bytes(), None).await;
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": layers });
        sample.manifest("app", Some(tag), &manifest).await;
    }
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/compare?a=app:a&b=app:b").await.text;
    markup::check("compare", &page);
    assert!(page.contains("has 9.0 MB of it already") && page.contains("And 2 layers after"), "{page}");
}
