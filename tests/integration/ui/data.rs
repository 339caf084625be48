//! The data behind the pages: summaries that are kept, the journal, and that no page reads what it need not.

use pakhuis::{
    oci::{Digest, Reference, RepositoryName, Tag},
    registry::{Action, JournalEntry},
};
use serde_json::json;

use super::{
    browser::{Browser, pages},
    sample::Sample,
};

const PAGES: [&str; 9] = [
    "/ui/",
    "/ui/r/team/app",
    "/ui/r/team/app:v1",
    "/ui/r/team/app:multi",
    "/ui/r/team/app:multi?platform=linux/arm64/v8",
    "/ui/r/big",
    "/ui/storage",
    "/ui/compare?a=team/app:v1&b=big:t001",
    "/ui/activity",
];

#[tokio::test]
async fn a_page_reads_no_manifest_and_no_blob_that_it_has_a_summary_for() {
    let sample = Sample::stored().await;
    let mut first = Browser::new(pages(&sample.registry, None));
    for path in PAGES {
        assert!(first.get(path).await.status.is_success(), "{path}");
    }
    // Another server, or this one after a restart, has the summaries and nothing else.
    let other = sample.other_server();
    let mut browser = Browser::new(pages(&other, None));
    for path in PAGES {
        assert!(browser.get(path).await.status.is_success(), "{path}");
        assert_eq!(other.content_reads(), 0, "{path}");
    }
    browser.get("/ui/r/team/app:v1?show=manifest").await;
    assert_eq!(other.content_reads(), 1, "the counter counts");
}

#[tokio::test]
async fn a_page_after_a_tag_was_moved_reads_no_manifest_either() {
    let sample = Sample::stored().await;
    let (old, new) = (
        sample.image("team/app", Some("v1"), "amd64", "v1", json!({})).await,
        sample.image("team/app", Some("v1"), "amd64", "v2", json!({})).await,
    );
    let name: RepositoryName = "team/app".parse().unwrap();
    let mut bytes = Vec::new();
    for descriptor in [&old, &new] {
        let digest = Reference::Digest(descriptor["digest"].as_str().unwrap().parse().unwrap());
        bytes.push(sample.registry.manifest(&name, &digest).await.unwrap().bytes);
    }
    let mut browser = Browser::new(pages(&sample.registry, None));
    for path in ["/ui/", "/ui/r/team/app"] {
        browser.get(path).await;
    }
    let tag = Reference::Tag("v1".parse().unwrap());
    for round in 0..6 {
        sample.registry.put_manifest(&name, &tag, &[], None, bytes[round % 2].clone(), drop).await.unwrap();
        let before = sample.registry.content_reads();
        for path in ["/ui/r/team/app", "/ui/", "/ui/r/team/app:v1"] {
            browser.get(path).await;
            assert_eq!(sample.registry.content_reads(), before, "{path} in round {round}");
        }
    }
}

#[tokio::test]
async fn summaries_that_are_lost_or_damaged_are_made_again() {
    let sample = Sample::stored().await;
    Sample::settle(&sample.registry).await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let before = browser.get("/ui/r/team/app:v1").await.text;
    let kept = sample.summaries();
    assert!(kept.len() > 5);
    for (index, file) in kept.iter().enumerate() {
        let bytes: &[u8] = if index % 2 == 0 { b"" } else { b"pakhuis-summary-1 torn" };
        std::fs::write(file, bytes).unwrap();
    }
    let other = sample.other_server();
    Sample::settle(&other).await;
    let again = Browser::new(pages(&other, None)).get("/ui/r/team/app:v1").await.text;
    assert_eq!(before, again);
    let made = sample.other_server().remake_summaries().await.unwrap();
    assert_eq!((made.repositories, made.unreadable), (4, 0));
    assert_eq!(sample.summaries().len() as u64, made.made);
    let third = sample.other_server();
    Sample::settle(&third).await;
    assert_eq!(Browser::new(pages(&third, None)).get("/ui/r/team/app:v1").await.text, before);
    assert_eq!(third.content_reads(), 0);
}

#[tokio::test]
async fn what_another_server_does_is_seen() {
    let sample = Sample::stored().await;
    let (name, tag): (RepositoryName, Tag) = ("team/app".parse().unwrap(), "v1".parse().unwrap());
    let other = sample.other_server();
    let mut browser = Browser::new(pages(&other, None));
    let old = digest_on(&browser.get("/ui/r/team/app:v1").await.text);
    browser.get("/ui/").await;
    sample.image("team/app", Some("v1"), "amd64", "newer", json!({})).await;
    sample.image("team/new", Some("v1"), "amd64", "newer", json!({})).await;
    let now = sample.registry.resolve(&name, &Reference::Tag(tag.clone())).await.unwrap();
    for repository in ["team/app", "team/new"] {
        sample.registry.note(JournalEntry {
            repository: Some(repository.parse().unwrap()),
            tag: Some(tag.clone()),
            was: (repository == "team/app").then(|| old.clone()),
            now: Some(now.clone()),
            ..JournalEntry::new(Action::Push, Some("ana"), None)
        });
    }
    sample.registry.write_journal().await;
    let page = browser.get("/ui/r/team/app").await.text;
    assert!(page.contains(&now.encoded()[..12]), "a tag that is shown is read");
    // The journal of another server is looked at every two seconds.
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let page = browser.get("/ui/r/team/app:v1").await.text;
    for part in ["by ana", "History of this tag", &old.encoded()[..12], &now.encoded()[..12]] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(browser.get("/ui/r/team/app").await.text.contains("by ana"));
    assert!(browser.get("/ui/").await.text.contains("href=\"/ui/r/team/new\""));
    let activity = browser.get("/ui/activity?repository=team/new").await.text;
    assert!(activity.contains("team/new:v1") && !activity.contains("team/app:v1"));
    // A process that starts now reads it all.
    let third = sample.other_server();
    let history = third.tag_history(&name, &tag, 10).await.unwrap();
    assert_eq!(
        (history.len(), history[0].was.as_ref(), history[0].now.as_ref()),
        (1, Some(&old), Some(&now))
    );
}

#[tokio::test]
async fn who_pushed_is_who_pushed_what_the_tag_names_now_on_every_page() {
    let sample = Sample::empty();
    let (name, tag): (RepositoryName, Tag) = ("team/app".parse().unwrap(), "v1".parse().unwrap());
    sample.image("team/app", Some("v1"), "amd64", "old", json!({})).await;
    let old = sample.registry.resolve(&name, &Reference::Tag(tag.clone())).await.unwrap();
    let entry = |action, now| JournalEntry {
        repository: Some(name.clone()),
        tag: Some(tag.clone()),
        now,
        ..JournalEntry::new(action, Some("ana"), None)
    };
    sample.registry.note(entry(Action::Push, Some(old)));
    Sample::settle(&sample.registry).await;
    const SHOWN: [&str; 3] = ["/ui/r/team/app:v1", "/ui/r/team/app", "/ui/"];
    let mut browser = Browser::new(pages(&sample.registry, None));
    for path in SHOWN {
        assert!(browser.get(path).await.text.contains("by ana"), "{path}");
    }
    // Written by something that keeps no journal.
    sample.image("team/app", Some("v1"), "amd64", "new", json!({})).await;
    for path in SHOWN {
        let page = browser.get(path).await.text;
        assert!(!page.contains("by ana") && page.contains("<time"), "{path}: {page}");
    }
    // The same when a removal is the last that is known.
    sample.registry.note(entry(Action::Untag, None));
    for path in SHOWN {
        assert!(!browser.get(path).await.text.contains("by ana"), "{path}");
    }
}

fn digest_on(page: &str) -> Digest {
    page.split("data-copy><code>").nth(1).unwrap().split('<').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_flood_of_failed_sign_ins_does_not_fill_the_journal() {
    let sample = Sample::empty();
    for _ in 0..500 {
        sample.registry.note(JournalEntry::new(Action::SignInFailed, None, None));
    }
    let (entries, _) = sample.registry.journal(0, 1000, |_| true).await.unwrap();
    assert_eq!(entries.len(), 60);
}
