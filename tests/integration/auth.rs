//! Who may: on every endpoint, before anything else.

use axum::body::Body;
use pakhuis::{
    auth,
    oci::{Algorithm, Digest},
    registry::Action,
};

use crate::support::{PASSWORD, TestRegistry, assert_oci_error, image};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn every_endpoint() -> Vec<(&'static str, String)> {
    let upload = "/v2/a/blobs/uploads/936da01f-9abd-4d9d-80c7-02af85c822a8";
    let (manifest, blob) = ("/v2/a/manifests/latest", format!("/v2/a/blobs/{DIGEST}"));
    let mut all = vec![("POST", "/v2/a/blobs/uploads/".to_owned())];
    for path in ["/v2", "/v2/", "/v2/_catalog", "/v2/a/tags/list"] {
        all.extend([("GET", path.to_owned()), ("HEAD", path.to_owned())]);
    }
    all.extend(["GET", "HEAD"].map(|method| (method, format!("/v2/a/referrers/{DIGEST}"))));
    all.extend(["GET", "HEAD", "PUT", "DELETE"].map(|method| (method, manifest.to_owned())));
    all.extend(["GET", "HEAD", "DELETE"].map(|method| (method, blob.clone())));
    all.extend(["GET", "PATCH", "PUT", "DELETE"].map(|method| (method, upload.to_owned())));
    // What is no endpoint does not tell strangers so.
    all.extend([
        ("GET", "/v2/a/b".to_owned()),
        ("TRACE", "/v2/".to_owned()),
        ("GET", "/v2/A/tags/list".to_owned()),
    ]);
    all
}

#[tokio::test]
async fn nothing_is_answered_without_the_right_password() {
    let registry = TestRegistry::start();
    for stranger in [
        registry.anonymous(),
        registry.with_password("alice", "wrong"),
        registry.with_password("nobody", PASSWORD),
        registry.with_authorization("Basic Og=="),
        registry.with_authorization("Basic !!!"),
        registry.with_authorization("Bearer token"),
        registry.with_authorization(""),
    ] {
        for (method, path) in every_endpoint() {
            let reply = stranger.send(method, &path, &[], "").await;
            assert_eq!(reply.status, 401, "{method} {path}");
            assert_eq!(reply.all("www-authenticate"), ["Basic realm=\"Pakhuis\""]);
            if method == "HEAD" {
                assert!(reply.body.is_empty());
            } else {
                assert_oci_error(&reply, 401, "UNAUTHORIZED");
            }
        }
    }
}

#[tokio::test]
async fn two_authorizations_are_none() {
    let registry = TestRegistry::start();
    let reply = registry.as_user("alice").send("GET", "/v2/", &[("authorization", "Basic Og==")], "").await;
    assert_oci_error(&reply, 401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_login_of_docker() {
    let registry = TestRegistry::start();
    for path in ["/v2/", "/v2"] {
        let reply = registry.as_user("alice").get(path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
        assert_eq!(reply.header("content-type"), "application/json");
        assert!(
            reply.find("www-authenticate").is_none()
                && reply.find("x-registry-supports-signatures").is_none()
        );
    }
}

#[tokio::test]
async fn without_authentication_everybody_may() {
    let registry = TestRegistry::open_to_all();
    let anyone = registry.anonymous();
    anyone.push("team/app", "1", &image(1)).await;
    assert_eq!(anyone.get("/v2/team/app/manifests/1").await.body, image(1).manifest);
    assert_eq!(registry.with_authorization("Basic Og==").get("/v2/").await.status, 200);
}

#[tokio::test]
async fn options_needs_no_login_and_gives_no_other_origin_anything() {
    let registry = TestRegistry::start();
    for path in ["/v2/", "/v2/a/tags/list", "/v2/a/blobs/uploads/", "/v2/no/such/endpoint"] {
        let headers = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
        let reply = registry.anonymous().send("OPTIONS", path, &headers, "").await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{path}");
        assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
}

/// The pages' cookie is for the pages: a browser sends it along with any request another site makes it send.
#[tokio::test]
async fn a_cookie_signs_nobody_in() {
    let registry = TestRegistry::start();
    for name in ["__Host-session", "session"] {
        let cookie = format!("{name}=anything");
        let reply = registry.anonymous().send("GET", "/v2/", &[("cookie", &cookie)], Body::empty()).await;
        assert_eq!(reply.status, 401);
    }
}

#[tokio::test]
async fn a_user_whom_rules_name_is_held_to_them() {
    let registry = TestRegistry::start();
    let pushed = image(7);
    for name in ["team/app", "secret/app", "zoo"] {
        registry.as_user("alice").push(name, "v1", &pushed).await;
    }
    let rule = auth::AccessRule::parse(&["bob"], &["team/*", "zoo"], &["pull", "push"]).unwrap();
    let registry = registry.with_rules(vec![rule]);
    let (alice, bob) = (registry.as_user("alice"), registry.as_user("bob"));
    assert_eq!(bob.get("/v2/_catalog").await.json()["repositories"], serde_json::json!(["team/app", "zoo"]));
    let first = bob.get("/v2/_catalog?n=1").await;
    assert_eq!(first.json()["repositories"], serde_json::json!(["team/app"]));
    assert_eq!(
        bob.get("/v2/_catalog?n=1&last=team/app").await.json()["repositories"],
        serde_json::json!(["zoo"])
    );
    assert_eq!(bob.get("/v2/_catalog?n=2").await.next_page(), None, "what follows is not told of either");
    assert_eq!(alice.get("/v2/_catalog").await.json()["repositories"].as_array().unwrap().len(), 3);
    for path in ["/v2/secret/app/tags/list", "/v2/secret/app/manifests/v1", "/v2/no-such/tags/list"] {
        assert_eq!(bob.get(path).await.status, 403, "{path}");
    }
    assert_eq!(bob.get("/v2/team/app/manifests/v1").await.status, 200);
    assert_eq!(bob.delete("/v2/team/app/manifests/v1").await.status, 403);
    let layer = Digest::of(Algorithm::Sha256, &pushed.blobs[1]);
    for (from, status) in [("&from=secret/app", 202), ("", 202), ("&from=team/app", 201), ("", 202)] {
        let path = format!("/v2/team/new/blobs/uploads/?mount={layer}{from}");
        assert_eq!(bob.post(&path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_journal_says_who_did_what() {
    let registry = TestRegistry::start();
    let (one, two) = (image(1), image(2));
    registry.as_user("alice").push("team/app", "v1", &one).await;
    registry.as_user("bob").push("team/app", "v1", &two).await;
    registry.as_user("bob").push("team/app", "v1", &two).await;
    registry.as_user("alice").delete("/v2/team/app/manifests/v1").await;
    registry.with_password("alice", "wrong").get("/v2/").await;
    let (entries, more) = registry.registry().journal(0, 10, |_| true).await.unwrap();
    let told: Vec<_> = entries.iter().map(|entry| (entry.action, entry.user.as_deref())).collect();
    let alice = Some("alice");
    let expected = [
        (Action::SignInFailed, alice),
        (Action::Untag, alice),
        (Action::Push, Some("bob")),
        (Action::Push, alice),
    ];
    assert_eq!((told, more), (expected.to_vec(), false), "a push that changes nothing is none");
    assert_eq!(
        (entries[2].was.as_ref(), entries[2].now.as_ref()),
        (Some(&one.digest()), Some(&two.digest()))
    );
    assert_eq!(entries[1].was, Some(two.digest()));
}
