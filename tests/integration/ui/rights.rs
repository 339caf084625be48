//! Who may read only some repositories sees nothing of the others, and who may not change nothing changes nothing.

use std::path::Path;

use http::{StatusCode, header};
use pakhuis::auth::{self, AccessRule};
use serde_json::json;

use super::{
    browser::{Browser, pages_of, pages_under, write_users},
    markup,
    sample::{INDEX, Sample},
};

pub(crate) fn rules(users: &Path) -> auth::Config {
    auth::Config {
        htpasswd: Some(users.to_owned()),
        admins: vec!["root".parse().unwrap()],
        access: vec![
            AccessRule::parse(&["guest"], &["team/*"], &["pull"]).unwrap(),
            AccessRule::parse(&["owner"], &["team/*"], &["pull", "push", "delete"]).unwrap(),
            AccessRule::parse(&["reader"], &["*"], &["pull"]).unwrap(),
        ],
        ..auth::Config::default()
    }
}

/// Repositories of two kinds that share layers: `team/...` may be seen, `secret/...` not.
pub(crate) async fn shared() -> (Sample, Browser) {
    let sample = Sample::stored().await;
    for number in 0..7 {
        let name = format!("secret/vault{number}");
        sample.image(&name, Some("hidden-tag"), "amd64", "v1", json!({})).await;
    }
    Sample::settle(&sample.registry).await;
    let users = sample.directory.path().join("htpasswd");
    write_users(&users, &["guest", "owner", "reader", "ana", "root"], "secret-password");
    let browser = Browser::new(pages_of(&sample.registry, rules(&users)));
    (sample, browser)
}

#[tokio::test]
async fn a_guest_sees_no_name_size_layer_or_count_of_the_others() {
    let (sample, mut guest) = shared().await;
    guest.sign_in("guest", "secret-password", "/ui/").await;
    let view = sample.registry.repository_view(&"secret/vault0".parse().unwrap()).await.unwrap();
    let hidden = view.tags()[0].digest.to_string();
    let mut waiting = vec!["/ui/".to_owned(), "/ui/?q=hidden-tag".to_owned(), "/ui/?q=vault".to_owned()];
    waiting.extend(["/ui/storage", "/ui/activity", "/ui/r/team", "/ui/r/team/app:v1"].map(str::to_owned));
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let page = guest.get(&path).await;
        assert!(page.status.is_success() || page.status == StatusCode::SEE_OTHER, "{path}: {}", page.status);
        let html =
            page.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/html; charset=utf-8");
        if html {
            let shown = markup::without_own_address(&page.text)
                .replace("?q=", "")
                .replace("value=\"hidden-tag\"", "")
                .replace("value=\"vault\"", "");
            let shown = shown
                .replace("“hidden-tag”", "")
                .replace("“vault”", "")
                .replace("Search: hidden-tag", "")
                .replace("Search: vault", "");
            for word in ["secret/", "vault", "hidden-tag", "hostile", ">tool", "r/tool", "big"] {
                assert!(!shown.contains(word), "{word} on {path}");
            }
            waiting.extend(
                markup::check(&path, &page.text).1.into_iter().filter(|link| !link.starts_with("/ui/logout")),
            );
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
    let catalogue = guest.get("/ui/").await.text;
    assert!(catalogue.contains("1, with 2 tags"), "counts are of what is seen: {catalogue}");
    // The same layers are in eight other repositories.
    let image = guest.get("/ui/r/team/app:v1").await.text;
    assert!(!image.contains("other tags") && image.contains("in 1 other tag"), "{image}");
    let storage = guest.get("/ui/storage").await.text;
    assert!(storage.contains("Of the repositories that you may see"));
    for path in [
        "/ui/r/secret/vault0",
        "/ui/r/secret",
        "/ui/r/secret/vault0:hidden-tag",
        &format!("/ui/r/secret/vault0@{hidden}"),
        &format!("/ui/r/secret/vault0@{hidden}?show=config"),
        "/ui/compare?a=team/app:v1&b=secret/vault0:hidden-tag",
        "/ui/-/untag?repository=secret/vault0&tag=hidden-tag",
        &format!("/ui/-/delete?repository=secret/vault0&digest={hidden}"),
        "/ui/-/delete-repository?repository=secret/vault0",
    ] {
        let (there, absent) = (guest.get(path).await, guest.get(&path.replace("vault0", "vault99")).await);
        assert_eq!(there.status, StatusCode::NOT_FOUND, "{path}");
        let absent = markup::without_tokens(&absent.text.replace("vault99", "vault0"));
        assert_eq!(markup::without_tokens(&there.text), absent, "as if there were none: {path}");
    }
}

#[tokio::test]
async fn a_rule_that_changes_while_the_catalogue_is_remembered_is_seen_by_the_next_page() {
    let (sample, _) = shared().await;
    let config = rules(&sample.directory.path().join("htpasswd"));
    let policy = auth::Policy::new(&config);
    let mut guest = Browser::new(pages_under(&sample.registry, config.clone(), policy.clone(), |_| {}));
    guest.sign_in("guest", "secret-password", "/ui/").await;
    for (repositories, seen, unseen) in [
        (["team/*", "none"], "team/app", "secret/vault0"),
        (["secret/vault3", "secret/vault0"], "secret/vault0", "team/app"),
        (["team/*", "secret/*"], "secret/vault6", "hostile"),
        (["none", "secret/vault1/*"], "Nothing is stored here yet", "vault"),
    ] {
        let rule = AccessRule::parse(&["guest"], &repositories, &["pull"]).unwrap();
        policy.set(&auth::Config { access: vec![rule], ..config.clone() });
        for path in ["/ui/", "/ui/?sort=pushed", "/ui/?sort=size&reverse=1"] {
            let page = guest.get(path).await.text;
            assert!(page.contains(seen) && !page.contains(unseen), "{repositories:?} {path}: {page}");
        }
    }
}

/// What the page that asks before `v1` of `team/app` is deleted says can be freed.
async fn freed(browser: &mut Browser, digest: &str) -> String {
    let page = browser.get(&format!("/ui/-/delete?repository=team/app&digest={digest}")).await.text;
    page.split("Nothing needs <strong>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_can_be_freed_does_not_tell_of_other_repositories() {
    let (sample, browser) = shared().await;
    let view = sample.registry.repository_view(&"team/app".parse().unwrap()).await.unwrap();
    let digest = view.tag(&"v1".parse().unwrap()).unwrap().digest.to_string();
    let mut seen = Vec::new();
    for (user, mut browser) in [("owner", browser.again()), ("root", browser)] {
        browser.sign_in(user, "secret-password", "/ui/").await;
        let before = freed(&mut browser, &digest).await;
        sample.image("secret/new", Some("hidden-tag"), "amd64", "v1", json!({})).await;
        seen.push((before, freed(&mut browser, &digest).await));
        sample
            .registry
            .delete_manifest(&"secret/new".parse().unwrap(), &digest.parse().unwrap(), drop)
            .await
            .unwrap();
    }
    let (owner, root) = (&seen[0], &seen[1]);
    assert_eq!(owner.0, owner.1, "the same image in a repository that is not seen changes nothing");
    assert!(owner.0.starts_with("at most ") && owner.0 != root.0, "{owner:?} {root:?}");
}

#[tokio::test]
async fn what_is_not_known_yet_is_counted_of_what_is_seen_alone() {
    let (sample, _) = shared().await;
    // A server that has no memory for what is in repositories: none is ever known.
    let forgetful = sample.server_with(|config| config.overview_size = 0);
    Sample::settle(&forgetful).await;
    let mut guest = Browser::new(pages_of(&forgetful, rules(&sample.directory.path().join("htpasswd"))));
    guest.sign_in("guest", "secret-password", "/ui/").await;
    let storage = guest.get("/ui/storage").await.text;
    assert!(storage.contains("1 repository is not counted: there is no room"), "{storage}");
    let image = guest.get("/ui/r/team/app:v1").await.text;
    assert!(image.contains("not all known: there is no room"), "{image}");
    let search = guest.get("/ui/?q=nothing-like-it").await.text;
    assert!(search.contains("The tags of 1 repository were not searched: there is no room"), "{search}");
    assert!(!search.contains("No tag either"));
    assert!(!guest.get("/ui/").await.text.contains("still being read"));
    let mut root = guest.again();
    root.sign_in("root", "secret-password", "/ui/").await;
    assert!(root.get("/ui/storage").await.text.contains("11 repositories are not counted: there is no room"));
    let view = sample.registry.repository_view(&"team/app".parse().unwrap()).await.unwrap();
    let digest = view.tag(&"v1".parse().unwrap()).unwrap().digest.to_string();
    assert!(freed(&mut root, &digest).await.contains("there is no room"));
}

#[tokio::test]
async fn a_part_of_an_index_that_only_another_repository_has_is_not_described() {
    let sample = Sample::empty();
    let registry = sample.server_with(|config| config.sparse_manifests = true);
    let sample = Sample { registry, directory: sample.directory };
    let image = sample.image("secret/vault", None, "amd64", "a layer of some size", json!({})).await;
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
    for name in ["secret/vault", "team/app"] {
        sample.manifest(name, Some("multi"), &index).await;
    }
    Sample::settle(&sample.registry).await;
    let mut browser = Browser::new(pages_of(&sample.registry, auth::Config::default()));
    let (there, here) =
        (browser.get("/ui/r/secret/vault:multi").await.text, browser.get("/ui/r/team/app:multi").await.text);
    assert!(there.contains("2026-01-02 03:04") && !there.contains("not stored here"), "{there}");
    assert!(!here.contains("2026-01-02 03:04") && here.contains("not stored here"), "{here}");
    // The same of an image whose configuration is elsewhere.
    let name = "secret/vault".parse().unwrap();
    let digest = pakhuis::oci::Reference::Digest(image["digest"].as_str().unwrap().parse().unwrap());
    let bytes = sample.registry.manifest(&name, &digest).await.unwrap().bytes;
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    sample.manifest("team/app", Some("image"), &manifest).await;
    let here = browser.get("/ui/r/team/app:image").await.text;
    assert!(here.contains("The configuration is not shown") && !here.contains("&quot;serve&quot;"), "{here}");
    assert!(
        browser
            .get(&format!("/ui/r/secret/vault@{}", image["digest"].as_str().unwrap()))
            .await
            .text
            .contains("&quot;serve&quot;")
    );
}

#[tokio::test]
async fn of_a_nested_index_the_size_has_nothing_that_only_another_repository_has() {
    let sample = Sample::empty();
    let registry = sample.server_with(|config| config.sparse_manifests = true);
    let sample = Sample { registry, directory: sample.directory };
    let image = sample.image("secret/vault", None, "amd64", "a layer of some size", json!({})).await;
    let inner = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
    let mut pushed = Vec::new();
    for name in ["secret/vault", "team/app"] {
        let inner = sample.manifest(name, None, &inner).await;
        let outer = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [inner] });
        pushed.push(sample.manifest(name, Some("multi"), &outer).await);
    }
    let digest: pakhuis::oci::Digest = pushed[0]["digest"].as_str().unwrap().parse().unwrap();
    // Whoever asks first, on a server that knows nothing and on one that knows the other's.
    for order in [["team/app", "secret/vault"], ["secret/vault", "team/app"]] {
        let server = sample.server_with(|config| config.sparse_manifests = true);
        for name in order {
            let summary = server.image_summary(&name.parse().unwrap(), &digest).await.unwrap();
            assert_eq!(summary.compressed_size > 0, name == "secret/vault", "{name} {summary:?}");
        }
    }
}

#[tokio::test]
async fn who_may_only_read_finds_no_buttons_and_is_refused() {
    let (sample, mut reader) = shared().await;
    reader.sign_in("reader", "secret-password", "/ui/").await;
    for path in ["/ui/r/team/app", "/ui/r/team/app:v1"] {
        let page = reader.get(path).await;
        assert!(!page.text.contains("/ui/-/"), "{path}");
    }
    let token = reader.get("/ui/").await.token("/ui/logout");
    let view = sample.registry.repository_view(&"team/app".parse().unwrap()).await.unwrap();
    let digest = view.tag(&"v1".parse().unwrap()).unwrap().digest.to_string();
    let going = format!("v1@{digest}");
    let fields = [("token", &*token), ("repository", "team/app"), ("going", &going), ("digest", &digest)];
    for action in ["/ui/-/untag", "/ui/-/delete", "/ui/-/delete-repository"] {
        assert_eq!(
            reader.get(&format!("{action}?repository=team/app&tag=v1&digest={digest}")).await.status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(reader.post(action, &fields).await.status, StatusCode::FORBIDDEN, "{action}");
    }
    assert!(
        sample
            .registry
            .repository_view(&"team/app".parse().unwrap())
            .await
            .unwrap()
            .tag(&"v1".parse().unwrap())
            .is_some()
    );
}

#[tokio::test]
async fn status_and_what_others_did_are_for_administrators() {
    let (sample, mut browser) = shared().await;
    let users = sample.directory.path().join("htpasswd");
    browser.sign_in("ana", "wrong", "/ui/").await;
    browser.sign_in("no-such-user-or-a-password", "wrong", "/ui/").await;
    browser.sign_in("ana", "secret-password", "/ui/").await;
    let own = browser.get("/ui/").await.text;
    assert!(!own.contains("/ui/status") && own.contains("/ui/activity"));
    assert_eq!(browser.get("/ui/status").await.status, StatusCode::FORBIDDEN);
    let own = markup::without_own_address(&browser.get("/ui/activity?user=root").await.text);
    assert!(own.contains("failed sign-in") && !own.contains("root"), "{own}");
    browser.cookies.clear();
    browser.sign_in("root", "secret-password", "/ui/").await;
    let all = browser.get("/ui/activity").await.text;
    markup::check("/ui/activity", &all);
    assert!(all.contains("unknown user") && all.contains(">ana<") && all.contains("127.0.0.1"), "{all}");
    assert!(!all.contains("no-such-user-or-a-password"), "what is no user's name may be a password");
    let status = browser.get("/ui/status").await;
    assert_eq!(status.status, StatusCode::OK);
    markup::check("/ui/status", &status.text);
    for part in [env!("CARGO_PKG_VERSION"), "Certificate ends", "364 days", "No check of the whole volume"] {
        assert!(status.text.contains(part), "{part}");
    }
    // What another server checked, and whatever the volume does not say.
    let private = sample.directory.path().join("volume/docker/registry/v2/.pakhuis");
    let last = r#"{"completed":1795000000,"findings":2,"errors":0,"blobs":1,"bytes":1}"#;
    std::fs::write(private.join("verification.json"), last).unwrap();
    let status = browser.get("/ui/status").await.text;
    assert!(status.contains("2026-11-18") && status.contains("2 findings"), "{status}");
    // There may be none yet.
    let _ = std::fs::remove_dir_all(private.join("journal"));
    std::os::unix::fs::symlink("journal", private.join("journal")).unwrap();
    let mut other = Browser::new(pages_of(&sample.other_server(), rules(&users)));
    other.sign_in("root", "secret-password", "/ui/").await;
    let status = other.get("/ui/status").await;
    assert!(status.status == StatusCode::OK && status.text.contains("not known"), "{}", status.text);
}
