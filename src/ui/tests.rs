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
