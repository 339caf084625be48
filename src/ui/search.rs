//! Words to look for in names.

use super::address;

/// Longest search, in bytes; what follows is ignored.
const MAX_SEARCH: usize = 255;

/// Words that must all occur in a name, in any order and case.
pub(super) struct Search {
    /// As typed.
    pub(super) text: String,
    words: Vec<String>,
}

impl Search {
    pub(super) fn new(text: &str) -> Self {
        let text = text[..text.floor_char_boundary(MAX_SEARCH)].trim().to_owned();
        let words = text.split(|c: char| c.is_whitespace() || c == ':').filter(|word| !word.is_empty());
        Self { words: words.map(str::to_ascii_lowercase).collect(), text }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn finds(&self, name: &str) -> bool {
        self.words.iter().all(|word| contains(name, word))
    }

    /// What is left to be found in the tags of a repository; `None` when the repository itself is found.
    pub(super) fn in_tags_of<'a>(&'a self, repository: &str) -> Option<Vec<&'a str>> {
        let left: Vec<_> =
            self.words.iter().filter(|word| !contains(repository, word)).map(String::as_str).collect();
        (!left.is_empty()).then_some(left)
    }
}

/// Whether a name has a word in it, in any case. Names are ASCII.
pub(super) fn contains(name: &str, word: &str) -> bool {
    let (name, word) = (name.as_bytes(), word.as_bytes());
    let Some(first) = word.first().map(u8::to_ascii_lowercase) else { return true };
    let starts = |part: &[u8]| part[0].to_ascii_lowercase() == first && part.eq_ignore_ascii_case(word);
    name.windows(word.len()).any(starts)
}

/// The form of a search, which keeps the order of the page that it is on.
pub(super) struct SearchForm {
    pub(super) action: String,
    pub(super) label: &'static str,
    /// What was searched for.
    pub(super) query: String,
    /// Names and values that go along.
    pub(super) kept: Vec<(&'static str, String)>,
    /// The page without a search.
    pub(super) show_all: String,
}

impl SearchForm {
    /// A form that leads to `action`; empty values are left out.
    pub(super) fn new(
        action: &str,
        label: &'static str,
        search: &Search,
        kept: &[(&'static str, &str)],
    ) -> Self {
        let set = kept.iter().filter(|(_, value)| !value.is_empty());
        Self {
            action: action.to_owned(),
            label,
            query: search.text.clone(),
            kept: set.map(|(name, value)| (*name, (*value).to_owned())).collect(),
            show_all: address::with_query(action, kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_wants_every_word() {
        assert!(Search::new(" App  TEAM ").finds("team/my-app"));
        assert!(!Search::new("app x").finds("team/my-app"));
        assert!(Search::new("   ").is_empty() && Search::new("").finds("a"));
        assert_eq!(Search::new(&"é".repeat(400)).text.len(), 254);
        assert_eq!(Search::new("app:v1").in_tags_of("team/app"), Some(vec!["v1"]));
        assert_eq!(Search::new("app").in_tags_of("team/app"), None);
        assert!(contains("v1.2-RC", "rc") && !contains("a", "ab"));
    }
}
