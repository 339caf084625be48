//! Taking tags off and deleting images: asked first, done exactly as said, and only for who may.

use http::{Request, StatusCode, header};
use pakhuis::{
    oci::{Reference, RepositoryName},
    registry::Action,
};
use serde_json::json;

use super::{
    browser::{Answer, Browser, pages},
    markup,
    sample::Sample,
};

pub(crate) async fn confirm(browser: &mut Browser, path: &str, action: &str) -> Vec<(String, String)> {
    let page = browser.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
    markup::check(path, &page.text);
    page.fields(action)
}

pub(crate) async fn send(browser: &mut Browser, action: &str, fields: &[(String, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(action, &fields).await
}

pub(crate) async fn is_there(sample: &Sample, repository: &str, reference: &str) -> bool {
    let name: RepositoryName = repository.parse().unwrap();
    let reference = match reference.parse() {
        Ok(digest) => Reference::Digest(digest),
        Err(_) => Reference::Tag(reference.parse().unwrap()),
    };
    sample.registry.resolve(&name, &reference).await.is_ok()
}

#[tokio::test]
async fn tags_are_taken_off_and_what_they_named_stays() {
    let sample = Sample::stored().await;
    let one = sample.image("team/app", Some("v1"), "amd64", "v1", json!({})).await;
    sample.image("team/app", Some("same"), "amd64", "v1", json!({})).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let path = "/ui/-/untag?repository=team/app&tag=v1&tag=nope";
    let page = markup::without_own_address(&browser.get(path).await.text);
    assert!(page.contains("still named") && page.contains(">same<") && !page.contains("nope"), "{page}");
    let fields = confirm(&mut browser, path, "/ui/-/untag").await;
    let done = send(&mut browser, "/ui/-/untag", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let page = browser.get(done.location()).await.text;
    assert!(page.contains("1 tag taken off") && !page.contains("/ui/r/team/app:v1\""));
    assert!(!is_there(&sample, "team/app", "v1").await && is_there(&sample, "team/app", "same").await);
    assert!(is_there(&sample, "team/app", one["digest"].as_str().unwrap()).await);
    let again = send(&mut browser, "/ui/-/untag", &fields).await;
    let page = browser.get(again.location()).await.text;
    assert!(page.contains("Nothing was done: v1 named something else"), "{page}");
}

#[tokio::test]
async fn a_tag_that_moved_since_the_question_is_left_alone() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let fields = confirm(&mut browser, "/ui/-/untag?repository=team/app&tag=v1", "/ui/-/untag").await;
    sample.image("team/app", Some("v1"), "amd64", "newer", json!({})).await;
    let answer = send(&mut browser, "/ui/-/untag", &fields).await;
    assert!(is_there(&sample, "team/app", "v1").await);
    let page = browser.get(answer.location()).await.text;
    assert!(page.contains("Nothing was done"));
}

#[tokio::test]
async fn many_tags_need_the_name_typed() {
    let sample = Sample::empty();
    for number in 0..25 {
        sample.image("many", Some(&format!("t{number}")), "amd64", "x", json!({})).await;
    }
    let mut browser = Browser::new(pages(&sample.registry, None));
    let tags: String = (0..25).map(|number| format!("&tag=t{number}")).collect();
    let path = format!("/ui/-/untag?repository=many{tags}");
    let mut fields = confirm(&mut browser, &path, "/ui/-/untag").await;
    fields.retain(|(name, _)| name != "typed");
    for typed in ["", "manny"] {
        let fields: Vec<_> = fields.iter().cloned().chain([("typed".to_owned(), typed.to_owned())]).collect();
        let answer = send(&mut browser, "/ui/-/untag", &fields).await;
        assert!(answer.text.contains("The name was not the one asked for"), "{typed:?}: {}", answer.status);
        assert!(is_there(&sample, "many", "t3").await);
    }
    fields.push(("typed".to_owned(), "many".to_owned()));
    let done = send(&mut browser, "/ui/-/untag", &fields).await;
    let page = browser.get(done.location()).await.text;
    assert!(page.contains("25 tags taken off") && page.contains("has no tags"), "{page}");
    assert!(page.contains("1 manifest without one") && page.contains("and holds "), "{page}");
}

#[tokio::test]
async fn an_image_is_deleted_with_its_tags_and_what_only_it_lists() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let image = browser.get("/ui/r/team/app:multi").await.text;
    let href = image.split("href=\"").find(|part| part.starts_with("/ui/-/delete")).unwrap();
    let href = href.split('"').next().unwrap().replace("&amp;", "&");
    let page = browser.get(&href).await.text;
    for part in
        [">multi<", "3 manifests that only it lists", "<li>SPDX bill of materials ", "frees no space yet"]
    {
        assert!(page.contains(part), "{part}");
    }
    let fields = confirm(&mut browser, &href, "/ui/-/delete").await;
    let name: RepositoryName = "team/app".parse().unwrap();
    let before = sample.registry.repository_view(&name).await.unwrap().manifests().count();
    let done = send(&mut browser, "/ui/-/delete", &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let page = browser.get(done.location()).await.text;
    assert!(page.contains("The image is deleted, with 1 tag. Its bytes stay"), "{page}");
    assert!(!is_there(&sample, "team/app", "multi").await && is_there(&sample, "team/app", "v1").await);
    let view = sample.registry.repository_view(&name).await.unwrap();
    assert_eq!(view.manifests().count(), before - 4, "the index, two images and an attestation");
    assert_eq!(browser.get("/ui/r/team/app:multi").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn deleting_what_an_index_needs_says_so_and_leaves_the_siblings() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let name: RepositoryName = "team/app".parse().unwrap();
    let view = sample.registry.repository_view(&name).await.unwrap();
    let index = view.tag(&"multi".parse().unwrap()).unwrap().manifest.clone().unwrap();
    let child = &index.children[0];
    let path = format!("/ui/-/delete?repository=team/app&digest={child}");
    let page = browser.get(&path).await.text;
    assert!(page.contains("Still needed:") && page.contains("It has no tag"), "{page}");
    let tag = view.tag(&"v1".parse().unwrap()).unwrap();
    let path = format!("/ui/-/delete?repository=team/app&digest={}", tag.digest);
    let fields = confirm(&mut browser, &path, "/ui/-/delete").await;
    sample.image("team/app", Some("later"), "amd64", "v1", json!({})).await;
    let answer = send(&mut browser, "/ui/-/delete", &fields).await;
    let page = browser.get(answer.location()).await.text;
    assert!(
        page.contains("Nothing was done"),
        "a tag that came after the question was not agreed to: {page}"
    );
    assert!(is_there(&sample, "team/app", "v1").await);
}

#[tokio::test]
async fn nothing_is_done_by_get_or_without_token_or_from_elsewhere() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let good = confirm(&mut browser, "/ui/-/untag?repository=team/app&tag=v1", "/ui/-/untag").await;
    let view = sample.registry.repository_view(&"team/app".parse().unwrap()).await.unwrap();
    let digest = view.tag(&"v1".parse().unwrap()).unwrap().digest.to_string();
    let query: Vec<_> = good.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for path in [
        format!("/ui/-/untag?{}", query.join("&")),
        format!("/ui/-/delete?repository=team/app&digest={digest}"),
        "/ui/-/delete-repository?repository=team/app&typed=team/app".to_owned(),
    ] {
        browser.get(&path).await;
    }
    for token in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let mut forged = good.clone();
        forged
            .iter_mut()
            .filter(|(name, _)| name == "token")
            .for_each(|(_, value)| *value = token.to_owned());
        for action in ["/ui/-/untag", "/ui/-/delete", "/ui/-/delete-repository"] {
            assert_eq!(
                send(&mut browser, action, &forged).await.status,
                StatusCode::FORBIDDEN,
                "{action} {token:?}"
            );
        }
    }
    let fields: Vec<_> = good.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")]
    {
        for action in ["/ui/-/untag", "/ui/-/delete", "/ui/-/delete-repository", "/ui/account"] {
            let request = Request::post(action).header(name, value);
            assert_eq!(
                browser.post_with(request, &fields).await.status,
                StatusCode::FORBIDDEN,
                "{action} {name}"
            );
        }
    }
    // Another browser's token is not this one's.
    browser.cookies.clear();
    assert_eq!(send(&mut browser, "/ui/-/untag", &good).await.status, StatusCode::FORBIDDEN);
    assert!(is_there(&sample, "team/app", "v1").await);
    let done = send(&mut browser, "/ui/-/untag", &good).await;
    assert!(!done.headers.contains_key(header::LOCATION));
}

#[tokio::test]
async fn a_registry_that_takes_no_deletions_has_no_buttons() {
    let sample = Sample::stored().await;
    let registry = sample.server_with(|config| config.delete_enabled = false);
    let mut browser = Browser::new(pages(&registry, None));
    for path in ["/ui/r/team/app", "/ui/r/team/app:v1"] {
        let page = browser.get(path).await.text;
        assert!(!page.contains("/ui/-/"), "{path}");
    }
    let answer = browser.get("/ui/-/untag?repository=team/app&tag=v1").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_repository_is_deleted_whole_and_what_is_below_it_and_beside_it_stays() {
    let sample = Sample::stored().await;
    sample.image("team/app/below", Some("v1"), "amd64", "v1", json!({})).await;
    Sample::settle(&sample.registry).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let path = "/ui/-/delete-repository?repository=team/app";
    assert!(browser.get("/ui/r/team/app").await.text.contains(path));
    let page = browser.get(path).await.text;
    for part in
        ["<dt>Tags that go</dt><dd>2</dd>", "<dt>Manifests that go</dt><dd>6</dd>", "begins with team/app/"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    let action = "/ui/-/delete-repository";
    let mut fields = confirm(&mut browser, path, action).await;
    fields.retain(|(name, _)| name != "typed");
    let typed = |text: &str| {
        let mut fields = fields.clone();
        fields.push(("typed".to_owned(), text.to_owned()));
        fields
    };
    let refused = send(&mut browser, action, &typed("team/ap")).await;
    assert!(refused.text.contains("The name was not the one asked for"));
    sample.image("team/app", Some("later"), "amd64", "later", json!({})).await;
    let changed = send(&mut browser, action, &typed("team/app")).await;
    assert!(browser.get(changed.location()).await.text.contains("Nothing was done"));
    assert!(is_there(&sample, "team/app", "v1").await, "what came after the question was not agreed to");

    let mut fields = confirm(&mut browser, path, action).await;
    fields
        .iter_mut()
        .filter(|(name, _)| name == "typed")
        .for_each(|(_, value)| *value = "team/app".to_owned());
    let done = send(&mut browser, action, &fields).await;
    let page = browser.get(done.location()).await;
    markup::check(done.location(), &page.text);
    assert!(
        page.text.contains("The repository is deleted, with 3 tags") && page.text.contains("docker push")
    );
    let catalogue = browser.get("/ui/").await.text;
    assert!(!catalogue.contains("href=\"/ui/r/team/app\">team/app</a>"), "{catalogue}");
    assert!(catalogue.contains("/ui/r/team/app/below") && is_there(&sample, "team/app/below", "v1").await);
    let view = sample.registry.repository_view(&"team/app".parse().unwrap()).await.unwrap();
    assert!(view.is_empty());
    assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "there is nothing left to delete");
    // Pages without sign-in show no activity.
    let (entries, _) = sample.registry.journal(0, 100, |_| true).await.unwrap();
    let count = |action| entries.iter().filter(|entry| entry.action == action).count();
    assert_eq!((count(Action::Untag), count(Action::Delete)), (3, 7), "each with what it was: {entries:?}");
    assert_eq!((entries[0].action, count(Action::DeleteRepository)), (Action::DeleteRepository, 1));
}
