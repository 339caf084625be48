//! Reads a page as a strict parser would, and holds it to what every page must be.

use std::collections::BTreeSet;

const VOID: [&str; 6] = ["meta", "link", "input", "img", "br", "rect"];

#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Element {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Every element of a page, in order; panics where tags do not nest or an attribute is not quoted.
pub(crate) fn elements(html: &str) -> Vec<Element> {
    let mut rest = html.strip_prefix("<!doctype html>").expect("a doctype");
    let (mut open, mut found) = (Vec::new(), Vec::new());
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!rest[..start].contains('>'), "a bare > in {:?}", &rest[..start]);
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "elements nest");
            continue;
        }
        let element = element(tag.trim_end_matches('/'));
        if !VOID.contains(&&*element.name) {
            open.push(element.name.clone());
        }
        found.push(element);
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    found
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    assert!(name.chars().all(|char| char.is_ascii_alphanumeric()), "an element named {name:?}");
    let mut attributes = Vec::new();
    while !rest.trim().is_empty() {
        rest = rest.trim_start();
        let name_end = rest.find(|char: char| char == '=' || char.is_whitespace()).unwrap_or(rest.len());
        let name = rest[..name_end].to_owned();
        rest = &rest[name_end..];
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let end = quoted.find('"').expect("a quoted value");
            value = quoted[..end].replace("&#39;", "'").replace("&quot;", "\"").replace("&amp;", "&");
            rest = &quoted[end + 1..];
        } else {
            assert!(!rest.starts_with('='), "an attribute without quotes in {tag:?}");
        }
        assert!(
            name.chars().all(|char| char.is_ascii_lowercase() || "-VBAR".contains(char)),
            "{name:?} in {tag:?}"
        );
        assert!(!attributes.iter().any(|(known, _)| *known == name), "{name} twice in {tag:?}");
        attributes.push((name, value));
    }
    Element { name: name.to_owned(), attributes }
}

/// A page without the address that the choice of colours comes back to, which is what was asked for.
pub(crate) fn without_own_address(html: &str) -> String {
    let (before, after) = html.split_once("name=\"next\" value=\"").unwrap_or((html, "\""));
    format!("{before}{}", &after[after.find('"').unwrap()..])
}

/// A page without the tokens of its forms, which are masked anew each time.
pub(crate) fn without_tokens(html: &str) -> String {
    let mut parts = html.split("name=\"token\" value=\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |page, rest| page + "name=\"token\"" + &rest[rest.find('"').unwrap()..])
}

/// What holds for every page. Gives its title and its links.
#[track_caller]
pub(crate) fn check(path: &str, html: &str) -> (String, Vec<String>) {
    let elements = elements(html);
    let of = |name: &'static str| elements.iter().filter(move |element| element.name == name);
    assert_eq!(of("h1").count(), 1, "{path}: one h1");
    assert_eq!(of("main").count(), 1, "{path}: one main");
    assert_eq!(of("html").next().and_then(|html| html.get("lang")), Some("en"), "{path}");
    let title = html.split("<title>").nth(1).unwrap().split("</title>").next().unwrap().trim().to_owned();
    assert!(title.len() > "· Pakhuis".len() + 1, "{path}: a title of its own: {title:?}");
    assert!(of("a").next().is_some_and(|link| link.get("href") == Some("#main")), "{path}: a skip link");
    for element in &elements {
        for (name, _) in &element.attributes {
            assert!(name != "style" && !name.starts_with("on"), "{path}: {name} in {element:?}");
        }
    }
    for script in of("script") {
        assert!(script.get("src").is_some_and(|src| src.starts_with("/ui/static/")), "{path}: {script:?}");
    }
    assert_eq!(of("table").count(), of("caption").count(), "{path}: a caption for each table");
    assert!(of("th").all(|header| header.get("scope").is_some()), "{path}: scope of each th");
    let labelled: BTreeSet<_> = of("label").filter_map(|label| label.get("for")).collect();
    for input in of("input").chain(of("select")).filter(|input| input.get("type") != Some("hidden")) {
        let is_named =
            input.get("id").is_some_and(|id| labelled.contains(id)) || input.get("aria-label").is_some();
        assert!(is_named, "{path}: no label for {input:?}");
    }
    let ids: Vec<_> = elements.iter().filter_map(|element| element.get("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{path}: ids are unique: {ids:?}");
    for form in of("form").filter(|form| form.get("method") == Some("post")) {
        assert!(form.get("action").is_some_and(|action| action.starts_with("/ui/")), "{path}: {form:?}");
    }
    (title, links(path, &elements))
}

/// The links to our own pages. Those that leave come from what was pushed, and say so.
fn links(path: &str, elements: &[Element]) -> Vec<String> {
    let mut links = Vec::new();
    for element in elements {
        for address in ["href", "src", "action"].into_iter().filter_map(|name| element.get(name)) {
            // Forms have what these need.
            let is_bare = address.starts_with("/ui/-/") || ["/ui/compare", "/ui/theme"].contains(&address);
            if is_bare && !address.contains('?') {
                continue;
            }
            if address.starts_with("/ui/") {
                links.push(address.to_owned());
            } else if !address.starts_with('#') {
                assert!(
                    address.starts_with("https://") || address.starts_with("http://"),
                    "{path}: {address}"
                );
                assert_eq!((&*element.name, element.get("rel")), ("a", Some("noopener noreferrer nofollow")));
            }
        }
    }
    links
}
