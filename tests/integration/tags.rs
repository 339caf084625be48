//! Listings and their pages: tags, and the catalogue.

use std::collections::BTreeSet;

use pakhuis::{api::Limits, registry};
use serde_json::{Value, json};

use crate::support::{Client, TestRegistry, assert_oci_error, image, index};

fn names(body: &Value, field: &str) -> Vec<String> {
    body[field].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Follows the links to the end; every page but the last is full.
async fn follow(client: &Client<'_>, first: &str, field: &str, page: usize) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), Some(first.to_owned()));
    while let Some(path) = next {
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        let found = names(&reply.json(), field);
        next = reply.next_page();
        assert!(if next.is_some() { found.len() == page } else { found.len() <= page }, "{path}");
        all.extend(found);
    }
    all
}

async fn with_tags(client: &Client<'_>, tags: &[&str]) {
    let index = index(&[]);
    for tag in tags {
        assert_eq!(client.put_manifest("a", tag, index.media_type, &index.manifest).await.status, 201);
    }
}

#[tokio::test]
async fn tags_are_in_byte_order() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    with_tags(&alice, &["b", "a", "B", "10", "9", "_x", "a.b", "a-b", "A"]).await;
    let reply = alice.get("/v2/a/tags/list").await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(
        reply.json(),
        json!({ "name": "a", "tags": ["10", "9", "A", "B", "_x", "a", "a-b", "a.b", "b"] })
    );
    assert_eq!(reply.next_page(), None);
}

#[tokio::test]
async fn pages_of_any_size_hold_every_tag_once() {
    let registry =
        TestRegistry::start_with(registry::Config::default(), Limits { tags_page: 5, ..Limits::default() });
    let alice = registry.as_user("alice");
    let tags = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    with_tags(&alice, &tags).await;
    // Above the limit the page is the limit's, with a link; so is the page of who names no number.
    for (query, page) in [("?n=1", 1), ("?n=3", 3), ("?n=5", 5), ("?n=10000", 5), ("", 5), ("?ns=x", 5)] {
        assert_eq!(follow(&alice, &format!("/v2/a/tags/list{query}"), "tags", page).await, tags, "{query}");
    }
    for (query, first) in
        [("?last=c", 3), ("?last=cc&n=2", 3), ("?last=j", 10), ("?last=zz", 10), ("?last=", 0)]
    {
        let found = alice.get(&format!("/v2/a/tags/list{query}")).await;
        let found = names(&found.json(), "tags");
        assert!(tags[first..].starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()), "{query}");
        assert_eq!(found.is_empty(), first == 10, "{query}");
    }
    let reply = alice.get("/v2/a/tags/list?n=0").await;
    assert_eq!((reply.json()["tags"].clone(), reply.next_page()), (json!([]), None));
}

#[tokio::test]
async fn a_number_that_is_none_is_refused() {
    let registry = TestRegistry::start();
    let alice = registry.as_user("alice");
    with_tags(&alice, &["x"]).await;
    for n in ["-1", "x", "", "1.5", "%2B1", "NaN", "1e3"] {
        for path in ["/v2/a/tags/list", "/v2/_catalog"] {
            let reply = alice.get(&format!("{path}?n={n}")).await;
            assert_oci_error(&reply, 400, "PAGINATION_NUMBER_INVALID");
        }
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there() {
    let registry = TestRegistry::start();
    for query in ["", "?n=0", "?last=x"] {
        let reply = registry.as_user("alice").get(&format!("/v2/no/such/tags/list{query}")).await;
        assert_oci_error(&reply, 404, "NAME_UNKNOWN");
    }
}

#[tokio::test]
async fn the_catalogue_page_by_page() {
    let registry = TestRegistry::start_with(
        registry::Config::default(),
        Limits { catalog_page: 3, ..Limits::default() },
    );
    let alice = registry.as_user("alice");
    assert_eq!(alice.get("/v2/_catalog").await.json(), json!({ "repositories": [] }));
    // By path components, as registry:2 has it: `a/b` comes before `a-b`.
    let repositories = ["a", "a/b", "a/b/c", "a-b", "blobs/uploads", "team/app", "z"];
    for repository in repositories {
        alice.push(repository, "latest", &image(1)).await;
    }
    for (query, page) in [("", 3), ("?n=1", 1), ("?n=2", 2), ("?n=1000", 3)] {
        let found = follow(&alice, &format!("/v2/_catalog{query}"), "repositories", page).await;
        assert_eq!(found, repositories, "{query}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
    }
    let reply = alice.get("/v2/_catalog?n=0").await;
    assert_eq!((reply.json(), reply.next_page()), (json!({ "repositories": [] }), None));
    assert_eq!(alice.get("/v2/_catalog?last=zz").await.json(), json!({ "repositories": [] }));
}
