//! Who may read only some repositories sees the same pages, byte for byte and with the same headers, whatever happens
//! in the others.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode, header};
use pakhuis::registry::{Action, JournalEntry};
use serde_json::json;

use super::{
    browser::{Browser, pages_of},
    markup,
    rights::{rules, shared},
    sample::{INDEX, Sample},
};

/// A page as it was answered.
type Seen = (StatusCode, HeaderMap, String);

/// Every page that links lead to, and those in `also`.
async fn all_pages(browser: &mut Browser, also: &[String]) -> BTreeMap<String, Seen> {
    let mut waiting: Vec<String> = ["/ui/", "/ui/storage", "/ui/activity"].map(str::to_owned).to_vec();
    waiting.extend_from_slice(also);
    let mut seen = BTreeMap::new();
    while let Some(path) = waiting.pop() {
        if seen.contains_key(&path) {
            continue;
        }
        let page = browser.get(&path).await;
        if page.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/html; charset=utf-8") {
            waiting.extend(markup::check(&path, &page.text).1);
        }
        seen.insert(path, (page.status, page.headers, markup::without_tokens(&page.text)));
    }
    seen
}

/// Addresses of what is not to be seen, in repositories that are there and in one that comes and goes.
fn hidden(digest: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for name in ["secret/vault0", "secret/vault1", "secret/fresh", "team-secret/app", "tool"] {
        for path in [
            "/ui/r/NAME",
            "/ui/r/NAME:hidden-tag",
            "/ui/r/NAME@DIGEST",
            "/ui/r/NAME@DIGEST?show=manifest",
            "/ui/r/NAME:hidden-tag?show=config&download=1",
            "/ui/compare?a=team/app:v1&b=NAME:hidden-tag",
            "/ui/compare?a=NAME:hidden-tag&b=team/app:v1",
            "/ui/activity?repository=NAME",
            "/ui/?q=NAME",
            "/ui/?q=NAME:hidden-tag",
            "/ui/-/untag?repository=NAME&tag=hidden-tag",
            "/ui/-/delete?repository=NAME&digest=DIGEST",
            "/ui/-/delete-repository?repository=NAME",
            "/NAME:hidden-tag",
        ] {
            paths.push(path.replace("NAME", name).replace("DIGEST", digest));
        }
    }
    let searches = ["/ui/?q=hidden-tag", "/ui/?q=hidden", "/ui/?sort=size", "/ui/?sort=pushed&reverse=1"];
    paths.extend(searches.map(str::to_owned));
    paths.extend(["/ui/r/secret", "/ui/r/team", "/ui/status", "/ui/?page=2"].map(str::to_owned));
    paths
}

/// Pushes, deletes and signs in where the guest may not look.
async fn stir(sample: &Sample, digest: &str) {
    let entry = |action, name: &str| JournalEntry {
        repository: name.parse().ok(),
        tag: "hidden-tag".parse().ok(),
        now: digest.parse().ok(),
        ..JournalEntry::new(action, Some("ana"), Some("10.9.8.7".to_owned()))
    };
    for name in ["secret/fresh", "team-secret/app", "secret/vault1"] {
        // The very image that the guest sees, an index that lists it, and something that is about it.
        let image = sample.image(name, Some("hidden-tag"), "amd64", "v1", json!({})).await;
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image.clone()] });
        sample.manifest(name, Some("hidden-multi"), &index).await;
        let layer = sample.blob(name, "application/spdx+json", b"hidden sbom", Some("hidden.json")).await;
        let sbom = sample.artifact(name, "application/spdx+json", layer, Some(image)).await;
        sample.manifest(name, None, &sbom).await;
        sample.registry.note(entry(Action::Push, name));
    }
    sample.image("secret/vault2", Some("hidden-tag"), "arm64", "another", json!({})).await;
    let gone = digest.parse().unwrap();
    sample.registry.delete_manifest(&"secret/vault0".parse().unwrap(), &gone, drop).await.unwrap();
    sample.registry.note(entry(Action::Delete, "secret/vault0"));
    sample.registry.note(JournalEntry::new(Action::SignInFailed, Some("ana"), Some("10.9.8.7".to_owned())));
    sample.registry.write_journal().await;
    Sample::settle(&sample.registry).await;
}

#[tokio::test]
async fn what_happens_elsewhere_changes_nothing_on_any_page() {
    let (sample, mut guest) = shared().await;
    guest.sign_in("guest", "secret-password", "/ui/").await;
    let mut owner = guest.again();
    owner.sign_in("owner", "secret-password", "/ui/").await;
    let view = sample.registry.repository_view(&"team/app".parse().unwrap()).await.unwrap();
    let digest = view.tag(&"v1".parse().unwrap()).unwrap().digest.to_string();
    let also = hidden(&digest);
    let mut own = also.clone();
    own.push(format!("/ui/-/delete?repository=team/app&digest={digest}"));
    own.push("/ui/-/untag?repository=team/app&tag=v1".to_owned());
    own.push("/ui/-/delete-repository?repository=team/app".to_owned());
    let before = (all_pages(&mut guest, &also).await, all_pages(&mut owner, &own).await);
    assert!(before.0.len() > 90 && before.1.len() > 90, "{} {}", before.0.len(), before.1.len());
    let freed = &before.1[&own[own.len() - 1]];
    assert_eq!(freed.0, StatusCode::OK, "the owner is asked");
    stir(&sample, &digest).await;
    let after = (all_pages(&mut guest, &also).await, all_pages(&mut owner, &own).await);
    for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        for (path, page) in before {
            assert_eq!(page, &after[path], "{path}");
        }
    }
    // Of who may see all the same makes a difference.
    let mut root = Browser::new(pages_of(&sample.registry, rules(&sample.directory.path().join("htpasswd"))));
    root.sign_in("root", "secret-password", "/ui/").await;
    assert!(root.get("/ui/").await.text.contains("secret/fresh"));
    assert!(root.get("/ui/activity").await.text.contains("10.9.8.7"));
}
