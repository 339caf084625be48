//! The arrows and invariants of `docs/architecture.md`, asserted over the source itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src`, and its code without comments and without the tests at its end.
struct Source {
    path: PathBuf,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.iter().next().and_then(|part| part.to_str()).unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.path.iter().any(|part| {
            part == "tests" || part == "tests.rs" || part.to_string_lossy().ends_with("_tests.rs")
        })
    }
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).expect("a source directory") {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let code: Vec<&str> = text
                    .lines()
                    .map(|line| line.split("// ").next().unwrap_or_default())
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect();
                let path = path.strip_prefix(root).expect("below the root").to_path_buf();
                found.push(Source { path, code: code.join("\n") });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 50, "the sources were found");
    found
}

/// Fails with every file of `room` that has one of `words`.
#[track_caller]
fn forbid(room: &str, words: &[&str], rule: &str) {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.room() == room && !source.is_test()) {
        for word in words.iter().filter(|word| source.code.contains(**word)) {
            broken.push(format!("src/{} has {word:?}", source.path.display()));
        }
    }
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

fn rooms(names: &[&str]) -> Vec<String> {
    // Both `crate::room` and the brace form `crate::{ room::..` are used.
    names.iter().flat_map(|name| [format!("crate::{name}"), format!("    {name}::")]).collect()
}

#[track_caller]
fn forbid_rooms(room: &str, names: &[&str], rule: &str) {
    let words = rooms(names);
    forbid(room, &words.iter().map(String::as_str).collect::<Vec<_>>(), rule);
}

#[test]
fn oci_is_pure() {
    forbid(
        "oci",
        &["std::fs", "std::io", "tokio", "http::", "crate::"],
        "oci does no I/O and uses nothing of ours",
    );
}

#[test]
fn storage_and_registry_do_not_know_http() {
    for room in ["storage", "registry"] {
        forbid(room, &["axum", "hyper", "http::", "StatusCode", "\"errors\""], "only api and ui know HTTP");
    }
}

#[test]
fn storage_is_below_everything() {
    forbid_rooms(
        "storage",
        &["registry", "auth", "api", "ui", "server", "tls", "config", "cli", "observability"],
        "storage uses oci alone",
    );
}

#[test]
fn registry_does_not_ask_who_it_is() {
    forbid_rooms(
        "registry",
        &["auth", "api", "ui", "server", "tls", "config", "cli"],
        "registry uses storage and oci; callers authorise first",
    );
}

#[test]
fn auth_stands_alone() {
    forbid_rooms(
        "auth",
        &["storage", "registry", "api", "ui", "server", "tls", "config", "cli"],
        "auth uses oci alone",
    );
}

#[test]
fn events_see_answers_alone() {
    forbid_rooms(
        "events",
        &["storage", "registry", "api", "ui", "server", "config", "cli"],
        "events are made of what was answered",
    );
}

#[test]
fn api_and_ui_touch_no_storage_and_not_each_other() {
    for room in ["api", "ui"] {
        forbid_rooms(
            room,
            &["storage", "config", "cli", "server", "tls"],
            "api and ui use registry and auth",
        );
        forbid(room, &["std::fs", "tokio::fs"], "api and ui open no file");
    }
    forbid_rooms("ui", &["api"], "ui imports nothing from api");
    forbid_rooms("api", &["ui"], "api imports nothing from ui");
}

#[test]
fn only_the_command_line_reads_the_configuration() {
    for room in ["tls", "http_client.rs", "observability", "server"] {
        forbid_rooms(
            room,
            &["config::Config", "cli", "registry", "storage", "api", "ui"],
            "each part has its own Config",
        );
    }
}

#[test]
fn paths_on_the_volume_come_from_the_layout_alone() {
    for source in
        sources().iter().filter(|source| !source.is_test() && !source.path.ends_with("storage/layout.rs"))
    {
        for word in ["_layers", "_manifests", "_uploads", "_referrers"]
            .iter()
            .filter(|word| source.code.contains(&format!("\"{word}")))
        {
            let is_listing = source.path.ends_with("storage/catalog.rs");
            assert!(
                is_listing,
                "src/{} names {word}; paths are built in storage/layout.rs",
                source.path.display()
            );
        }
    }
}

#[test]
fn a_name_on_the_volume_changes_in_one_place() {
    for source in sources().iter().filter(|source| source.room() == "storage" && !source.is_test()) {
        // The doctor's scratch directory is no part of the tree; its bare calls are what it tries.
        let allowed = source.path.ends_with("storage/atomic_file.rs")
            || source.path.ends_with("storage/directories.rs") && !source.code.contains("fs::re")
            || source.path.ends_with("storage/removal.rs")
            || source.path.ends_with("storage/doctor/scratch.rs");
        for word in ["fs::rename", "fs::remove", "fs::hard_link", "fs::create_dir", "create_new(true)"] {
            assert!(
                allowed || !source.code.contains(word),
                "src/{} has {word}; use storage::atomic_file",
                source.path.display()
            );
        }
    }
}

#[test]
fn digests_are_computed_in_one_place() {
    for source in
        sources().iter().filter(|source| !source.is_test() && !source.path.ends_with("oci/digest.rs"))
    {
        // Keys of caches and sessions, and signatures, are no content digests.
        let keyed = matches!(source.room(), "auth" | "ui" | "events");
        assert!(
            keyed || !source.code.contains("sha2::"),
            "src/{} uses sha2; use oci::DigestHasher",
            source.path.display()
        );
    }
}

#[test]
fn every_module_says_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in sources().iter().filter(|source| !source.is_test()) {
        let text = fs::read_to_string(root.join(&source.path)).expect("a source file");
        assert!(
            text.starts_with("//!") || text.starts_with("/*!"),
            "src/{} does not begin with a sentence on what it is",
            source.path.display()
        );
    }
}

#[test]
fn files_stay_readable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for source in sources() {
        let lines = fs::read_to_string(root.join(&source.path)).expect("a source file").lines().count();
        assert!(lines <= 500, "src/{} has {lines} lines; split it", source.path.display());
    }
}

#[test]
fn no_drawers() {
    for source in sources() {
        for name in ["utils", "util", "helpers", "manager", "common", "misc"] {
            assert!(
                !source
                    .path
                    .iter()
                    .any(|part| part.to_str().is_some_and(|part| part.trim_end_matches(".rs") == name)),
                "src/{}",
                source.path.display()
            );
        }
    }
}
