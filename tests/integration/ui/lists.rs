//! Orders, filters, search, the comparison and the storage page.

use serde_json::json;

use super::{
    browser::{Browser, pages},
    markup,
    sample::Sample,
};

fn tags(page: &str) -> Vec<String> {
    let rows = page.split("name=\"tag\" value=\"").skip(1);
    rows.map(|row| row.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tags_are_sorted_by_version_push_creation_and_size() {
    let sample = Sample::empty();
    for (tag, created, salt) in [
        ("v1.9", "2026-01-03T00:00:00Z", "a-larger-layer-than-the-others"),
        ("v1.10", "2026-01-01T00:00:00Z", "x"),
        ("latest", "2026-01-02T00:00:00Z", "longer"),
    ] {
        sample.image("app", Some(tag), "amd64", salt, json!({ "created": created })).await;
        // The clock of a file system ticks in steps.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut browser = Browser::new(pages(&sample.registry, None));
    for (query, expected) in [
        ("", ["latest", "v1.10", "v1.9"]),
        ("?sort=pushed&reverse=1", ["v1.9", "v1.10", "latest"]),
        ("?sort=tag", ["v1.10", "v1.9", "latest"]),
        ("?sort=created", ["v1.9", "latest", "v1.10"]),
        ("?sort=size", ["v1.9", "latest", "v1.10"]),
        ("?sort=size&reverse=1", ["v1.10", "latest", "v1.9"]),
    ] {
        let page = browser.get(&format!("/ui/r/app{query}")).await.text;
        markup::check(query, &page);
        assert_eq!(tags(&page), expected, "{query}");
    }
    let sorted = browser.get("/ui/r/app?sort=created").await.text;
    assert!(
        sorted.contains("aria-sort=\"descending\"><a href=\"/ui/r/app?sort=created&amp;reverse=1\">Created"),
        "{sorted}"
    );
    assert_eq!(tags(&browser.get("/ui/r/app?q=V1.").await.text).len(), 2);
}

#[tokio::test]
async fn a_search_keeps_the_order_and_what_is_shown() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    for (path, kept) in [
        ("/ui/r/team/app", "sort=size&reverse=1&all=1"),
        ("/ui/r/team/app", ""),
        ("/ui/", "sort=tags&reverse=1"),
    ] {
        let page = browser.get(&format!("{path}?{kept}&q=none&page=1")).await;
        markup::check(path, &page.text);
        let fields = page.fields(path).into_iter().map(|(name, value)| format!("{name}={value}"));
        let sent = fields.collect::<Vec<_>>().join("&");
        assert_eq!(sent, format!("q=none&{kept}").trim_end_matches('&'), "{path}");
        let all = format!("{path}?{kept}").trim_end_matches('?').replace('&', "&amp;");
        assert!(page.text.contains(&format!("<a href=\"{all}\">Show all</a>")), "{}", page.text);
    }
}

#[tokio::test]
async fn a_search_finds_repositories_and_tags() {
    let sample = Sample::stored().await;
    Sample::settle(&sample.registry).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/?q=multi").await.text;
    assert!(
        page.contains("href=\"/ui/r/team/app:multi\"") && page.contains("No repository has all of"),
        "{page}"
    );
    let page = browser.get("/ui/?q=app:v1").await.text;
    assert!(page.contains("/ui/r/team/app:v1") && page.contains("/ui/r/hostile/app:v1"), "{page}");
    assert!(!page.contains("/ui/r/team/app:multi"));
    let page = browser.get("/ui/?q=team").await.text;
    assert!(page.contains("href=\"/ui/r/team/app\"") && !page.contains("href=\"/ui/r/tool\""));
}

#[tokio::test]
async fn the_catalogue_has_orders_and_namespaces() {
    let sample = Sample::stored().await;
    Sample::settle(&sample.registry).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/").await.text;
    for part in ["Namespaces", "href=\"/ui/r/team\"", "4, with 125 tags"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    sample.image("lab/mri/pipelines/fmri", Some("1"), "amd64", "x", json!({})).await;
    sample.image("lab/mri/tool", Some("1"), "amd64", "x", json!({})).await;
    let deep = browser.get("/ui/").await.text;
    markup::check("/ui/", &deep);
    for (path, count) in [("lab", 2), ("lab/mri", 2), ("lab/mri/pipelines", 1), ("team", 1)] {
        let name = path.rsplit('/').next().unwrap();
        let link = format!("<a href=\"/ui/r/{path}\">{name}/</a> <span class=\"count\">{count}</span>");
        assert!(deep.contains(&link), "{link} in {deep}");
    }
    let below = browser.get("/ui/r/lab").await.text;
    markup::check("/ui/r/lab", &below);
    assert!(below.contains("<a href=\"/ui/r/lab/mri/pipelines\">pipelines/</a>"), "{below}");
    let position =
        |page: &str, name: &str| page.find(&format!("<a href=\"/ui/r/{name}\">{name}</a>")).unwrap();
    let by_tags = browser.get("/ui/?sort=tags").await.text;
    assert!(position(&by_tags, "big") < position(&by_tags, "team/app"));
    let reverse = browser.get("/ui/?sort=tags&reverse=1").await.text;
    assert!(position(&reverse, "big") > position(&reverse, "team/app"));
}

#[tokio::test]
async fn two_images_are_compared() {
    let sample = Sample::empty();
    sample.image("app", Some("one"), "amd64", "first-layer", json!({})).await;
    let changed = json!({ "config": { "Cmd": ["other"], "Env": ["A=c"], "Labels": {} } });
    sample.image("app", Some("two"), "amd64", "second-layer!", changed).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let page = browser.get("/ui/compare?repository=app&tag=one&tag=two").await.text;
    markup::check("compare", &page);
    for part in [
        "command",
        "<bdi>serve</bdi>",
        "<bdi>other</bdi>",
        "env A",
        "label team",
        "only A",
        "only B",
        ">both<",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // The layers that differ, the configuration and the manifest; of the rest it has 4 bytes.
    assert!(page.contains("and has 4 B of it already"), "{page}");
    let same = browser.get("/ui/compare?a=app:one&b=app:one").await.text;
    assert!(same.contains("the same image"));
    for query in ["", "a=app:one", "repository=app&tag=one", "a=app&b=app:one", "a=app:one&b=x:y"] {
        let answer = browser.get(&format!("/ui/compare?{query}")).await;
        assert!(answer.status.is_client_error(), "{query}");
    }
}

#[tokio::test]
async fn storage_counts_each_blob_once_and_knows_what_is_shared() {
    let sample = Sample::empty();
    let base = sample.blob("a", "application/octet-stream", &[1; 10_000], None).await;
    sample.blob("b", "application/octet-stream", &[1; 10_000], None).await;
    for (name, salt) in [("a", vec![2; 3000]), ("b", vec![3; 5000])] {
        let own = sample.blob(name, "application/octet-stream", &salt, None).await;
        let mut manifest = sample.artifact(name, "application/x", base.clone(), None).await;
        manifest["layers"] = json!([base, own]);
        sample.manifest(name, Some("one"), &manifest).await;
        sample.manifest(name, Some("two"), &manifest).await;
    }
    Sample::settle(&sample.registry).await;
    let report = sample.registry.storage_report(|_| true).await.unwrap();
    let [a, b] = &report.repositories[..] else { panic!("{report:?}") };
    let manifest = a.unique - 3000;
    assert_eq!(
        (a.stored, a.tags),
        (13_002 + manifest, 2),
        "with its configuration of two bytes and its manifest"
    );
    assert_eq!(report.shared, 10_002);
    assert_eq!(report.stored, a.unique + b.unique + report.shared);
    assert_eq!(report.logical, 2 * 13_002 + 2 * 15_002);
    let only_a = sample.registry.storage_report(|name| name.as_str() == "a").await.unwrap();
    assert_eq!((only_a.shared, only_a.repositories[0].unique), (0, a.stored), "nothing of the others counts");
    let mut browser = Browser::new(pages(&sample.registry, None));
    markup::check("/ui/storage", &browser.get("/ui/storage").await.text);
}
