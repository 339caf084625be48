//! Lists (distribution specification, Content Discovery), and Docker's catalogue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Specification, grammar};
use crate::{
    alphabet::{CATALOGUE_PAGE, TAGS_PAGE},
    expected::{Answer, Expected},
};

impl Specification {
    /// In byte order, after `last`, which need not exist.
    pub(super) fn list_tags(&self, name: &str, n: Option<&str>, last: Option<&str>) -> Expected {
        let mut problems = grammar(name, None);
        let repository = self.repositories.get(name);
        if repository.is_none() {
            problems.push(Answer::error(404, "NAME_UNKNOWN"));
        }
        let n = number(n, TAGS_PAGE);
        if n.is_none() {
            problems.push(Answer::error(400, "PAGINATION_NUMBER_INVALID"));
        }
        let (Some(repository), Some(n), true) = (repository, n, problems.is_empty()) else {
            return Expected::any(problems);
        };
        let after: Vec<&str> = repository
            .tags
            .keys()
            .map(String::as_str)
            .filter(|tag| last.is_none_or(|last| *tag > last))
            .collect();
        page(&format!("/v2/{name}/tags/list"), &after, n, |tags| json!({ "name": name, "tags": tags }))
    }

    /// In the order of path components, as registry:2 has it: `a`, `a/b`, `a-b`.
    pub(super) fn catalogue(&self, n: Option<&str>, last: Option<&str>) -> Expected {
        let Some(n) = number(n, CATALOGUE_PAGE) else {
            return Answer::error(400, "PAGINATION_NUMBER_INVALID").into();
        };
        let components = |name: &str| name.split('/').map(str::to_owned).collect::<Vec<_>>();
        let mut names: Vec<&str> = self.repositories.keys().map(String::as_str).collect();
        names.sort_by_key(|name| components(name));
        let last = last.filter(|last| !last.is_empty()).map(components);
        names.retain(|name| last.as_ref().is_none_or(|last| components(name) > *last));
        page("/v2/_catalog", &names, n, |names| json!({ "repositories": names }))
    }

    /// The manifests that name the digest as their subject, and those in an index at its referrers tag; an empty
    /// list where nothing is known, never 404.
    pub(super) fn referrers(&self, repository: &str, subject: &str, artifact_type: Option<&str>) -> Expected {
        let problems = grammar(repository, Some(subject));
        if !problems.is_empty() {
            return Expected::any(problems);
        }
        let mut entries = Vec::new();
        if let Some(found) = self.repositories.get(repository) {
            let tag: String = subject.replace(':', "-").chars().take(128).collect();
            let listed: BTreeSet<&str> = self
                .find_manifest(repository, &tag)
                .map(|(_, index)| index.children().into_iter().collect())
                .unwrap_or_default();
            for (digest, manifest) in &found.manifests {
                let refers = manifest.subject() == Some(subject) || listed.contains(digest.as_str());
                if refers && artifact_type.is_none_or(|wanted| manifest.artifact_type() == Some(wanted)) {
                    entries.push(manifest.descriptor(digest));
                }
            }
        }
        Answer::status(200)
            .header("content-type", "application/vnd.oci.image.index.v1+json")
            .optional_header("oci-filters-applied", artifact_type.map(|_| "artifactType".to_owned()))
            .no_header("link")
            .referrers(entries)
            .into()
    }
}

/// The page size asked for, at most `most`; `None` when it is no whole number of zero or more.
fn number(n: Option<&str>, most: usize) -> Option<usize> {
    match n {
        None => Some(most),
        Some(text) => text.parse::<u128>().ok().map(|n| usize::try_from(n).unwrap_or(most).min(most)),
    }
}

/// The first `n` entries, with a link to the next page when there is one; nothing comes after an empty page.
fn page(path: &str, entries: &[&str], n: usize, json: impl Fn(&[&str]) -> Value) -> Expected {
    let shown = &entries[..n.min(entries.len())];
    let last = shown.last().filter(|_| shown.len() < entries.len());
    let link = last.map(|last| format!("<{path}?n={n}&last={}>; rel=\"next\"", last.replace('/', "%2F")));
    Answer::status(200).json(json(shown)).optional_header("link", link).into()
}
