use std::{fs, path::PathBuf};

fn templates() -> Vec<(PathBuf, String)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ui/templates");
    let entries = fs::read_dir(directory).expect("the templates are here");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a text file");
            (path, text)
        })
        .collect()
}

#[test]
fn no_template_steps_out_of_the_escaping_or_the_policy() {
    let templates = templates();
    assert!(templates.len() > 5);
    for (path, text) in templates {
        let text: String = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for forbidden in [
            "|safe",
            "| safe",
            "|escape",
            "| escape",
            "style=",
            "<style",
            "javascript:",
            " onclick",
            " onload",
            "{% autoescape",
            "{% filter",
        ] {
            assert!(!text.contains(forbidden), "{forbidden} in {}", path.display());
        }
        for script in text.match_indices("<script") {
            assert!(
                text[script.0..].starts_with("<script src=\"{{"),
                "an inline script in {}",
                path.display()
            );
        }
        assert_eq!(path.extension().and_then(|extension| extension.to_str()), Some("html"), "is it escaped?");
    }
}

#[test]
fn our_escaper_is_the_one_in_use() {
    let page = super::response::Failure::NotFound;
    let frame = super::visitor::Frame { host: "a<b\u{202e}c".to_owned(), ..Default::default() };
    let response = page.page(frame);
    let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(response.into_body()));
    let bytes = body.expect("a page is whole").expect("and has no errors").to_bytes();
    assert!(String::from_utf8_lossy(&bytes).contains("a&lt;bU+202Ec"));
}

#[test]
fn style_and_script_stay_small_and_at_home() {
    let (style, script) = (include_str!("assets/app.css"), include_str!("assets/app.js"));
    // About a third of this once compressed.
    assert!(style.len() < 25_000 && script.len() < 6_000);
    for text in [style, script] {
        for forbidden in ["http:", "https:", "//cdn", "url(", "@import", "eval(", "innerHTML", "fetch("] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }
}

#[test]
fn a_config_does_not_print_its_key() {
    let config = super::Config { session_key: [0xab; 32], ..Default::default() };
    let printed = format!("{config:?}");
    assert!(!printed.contains("171") && !printed.contains("session_key"));
    assert_ne!(super::Config::default().session_key, super::Config::default().session_key);
}

#[tokio::test]
async fn a_deletion_that_outlives_its_request_is_noted_and_told_from_any_thread() {
    use crate::{auth, registry, storage};
    let directory = tempfile::tempdir().expect("a directory");
    let volume =
        storage::Storage::open(storage::Config::new(directory.path().to_path_buf())).expect("a volume");
    let registry = registry::Registry::new(volume, registry::Config::default());
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |entry| {
        let told = told.clone();
        Box::pin(async move { told.send(entry).expect("somebody listens") }) as _
    };
    let config = super::Config { tell_deletion: Some(std::sync::Arc::new(tell)), ..Default::default() };
    let rules = auth::Config::default();
    let ui = std::sync::Arc::new(super::Ui::new(super::UiState {
        registry: registry.clone(),
        authenticator: auth::Authenticator::open(rules.clone()).expect("no file of users"),
        policy: auth::Policy::new(&rules),
        config,
    }));
    let entry = |tag: &str| registry::JournalEntry {
        tag: tag.parse().ok(),
        ..registry::JournalEntry::new(registry::Action::Untag, Some("ana"), None)
    };
    let (note, entries) = (ui.note_late(), vec![(entry("v1"), false), (entry("v2"), true)]);
    std::thread::spawn(move || note(entries)).join().expect("it does not panic");
    assert_eq!(tells.recv().await.expect("one that is told").tag, "v2".parse().ok());
    let (noted, _) = registry.journal(0, 10, |_| true).await.expect("the journal");
    assert_eq!(noted.len(), 2);
}
