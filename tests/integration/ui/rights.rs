//! Who may read only some repositories sees nothing of the others, and who may not change nothing changes nothing.

use std::path::Path;

use http::{StatusCode, header};
use pakhuis::auth::{self, AccessRule};
use serde_json::json;

use super::{
    browser::{Browser, pages_of, write_users},
    markup,
    sample::Sample,
};

fn rules(users: &Path) -> auth::Config {
    auth::Config {
        htpasswd: Some(users.to_owned()),
        admins: vec!["root".parse().unwrap()],
        access: vec![
            AccessRule::parse(&["guest"], &["team/*"], &["pull"]).unwrap(),
            AccessRule::parse(&["reader"], &["*"], &["pull"]).unwrap(),
        ],
        ..auth::Config::default()
    }
}

/// Repositories of two kinds that share layers: `team/...` may be seen, `secret/...` not.
async fn shared() -> (Sample, Browser) {
    let sample = Sample::stored().await;
    for number in 0..7 {
        let name = format!("secret/vault{number}");
        sample.image(&name, Some("hidden-tag"), "amd64", "v1", json!({})).await;
    }
    Sample::settle(&sample.registry).await;
    let users = sample.directory.path().join("htpasswd");
    write_users(&users, &["guest", "reader", "ana", "root"], "secret-password");
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
            let shown = page
                .text
                .replace("?q=", "")
                .replace("value=\"hidden-tag\"", "")
                .replace("value=\"vault\"", "");
            let shown = shown
                .replace("“hidden-tag”", "")
                .replace("“vault”", "")
                .replace("Search: hidden-tag", "")
                .replace("Search: vault", "");
            for word in ["secret/", "vault", "hidden-tag", "hostile", "tool", "big"] {
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
    ] {
        let (there, absent) = (guest.get(path).await, guest.get(&path.replace("vault0", "vault99")).await);
        assert_eq!(there.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(there.text, absent.text, "as if there were none: {path}");
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
    for action in ["/ui/-/untag", "/ui/-/delete"] {
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
    let (_sample, mut browser) = shared().await;
    browser.sign_in("ana", "wrong", "/ui/").await;
    browser.sign_in("no-such-user-or-a-password", "wrong", "/ui/").await;
    browser.sign_in("ana", "secret-password", "/ui/").await;
    let own = browser.get("/ui/").await.text;
    assert!(!own.contains("/ui/status") && own.contains("/ui/activity"));
    assert_eq!(browser.get("/ui/status").await.status, StatusCode::FORBIDDEN);
    let own = browser.get("/ui/activity?user=root").await.text;
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
}
