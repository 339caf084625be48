//! Light and dark, as a person chooses them.

use http::{Request, StatusCode, header};

use super::{
    browser::{Browser, pages},
    markup,
    sample::Sample,
};

#[tokio::test]
async fn a_theme_is_chosen_without_scripts_and_kept() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let here = "/ui/r/team/app?sort=tag";
    let page = browser.get(here).await;
    assert!(page.text.contains("data-theme=\"system\"") && page.text.contains("content=\"light dark\""));
    let mut next: Vec<_> = page.fields("/ui/theme");
    assert_eq!(next, [("next".to_owned(), here.to_owned())]);
    let next = next.remove(0).1;
    for theme in ["dark", "light"] {
        let answer = browser.post("/ui/theme", &[("next", &*next), ("theme", theme)]).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, here));
        for path in [here, "/ui/", "/ui/r/none"] {
            let page = browser.get(path).await.text;
            markup::check(path, &page);
            assert!(page.contains(&format!("<html lang=\"en\" data-theme=\"{theme}\">")), "{path}");
            assert!(page.contains(&format!("<meta name=\"color-scheme\" content=\"{theme}\">")), "{path}");
            assert!(page.contains(&format!("value=\"{theme}\" aria-pressed=\"true\"")), "{path}");
        }
    }
    browser.post("/ui/theme", &[("next", &*next), ("theme", "system")]).await;
    assert!(browser.get("/ui/").await.text.contains("data-theme=\"system\""));
}

#[tokio::test]
async fn a_theme_is_one_of_three_and_leads_nowhere_else() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    let answer = browser.post("/ui/theme", &[("next", "//evil.example"), ("theme", "\"><script>")]).await;
    assert_eq!(answer.location(), "/ui/");
    assert!(browser.get("/ui/").await.text.contains("data-theme=\"system\""));
    browser.cookies.insert("__Host-theme".to_owned(), "\"><script>".to_owned());
    assert!(browser.get("/ui/").await.text.contains("data-theme=\"system\""));
    let elsewhere = Request::post("/ui/theme").header(header::ORIGIN, "https://evil.example");
    assert_eq!(browser.post_with(elsewhere, &[("theme", "dark")]).await.status, StatusCode::FORBIDDEN);
}
