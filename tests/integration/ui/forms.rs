//! What is sent to the pages: every answer is a page, and a link from elsewhere cannot make one say what was not done.

use http::{Request, StatusCode, header};

use super::{
    actions::{confirm, send},
    browser::{Browser, HOST, pages},
    markup,
    sample::Sample,
};

#[tokio::test]
async fn a_link_cannot_say_that_something_was_done() {
    let sample = Sample::stored().await;
    let mut browser = Browser::new(pages(&sample.registry, None));
    for query in ["done=repository&count=5", "done=delete&count=1", "done=The+repository+is+deleted"] {
        let page = browser.get(&format!("/ui/r/team/app?{query}")).await.text;
        assert!(!page.contains("is deleted") && !page.contains("class=\"notice\""), "{page}");
    }
    let fields = confirm(&mut browser, "/ui/-/untag?repository=team/app&tag=v1", "/ui/-/untag").await;
    let done = send(&mut browser, "/ui/-/untag", &fields).await;
    assert!(browser.get(done.location()).await.text.contains("1 tag taken off"));
    let (_, query) = done.location().split_once('?').unwrap();
    assert!(!browser.get(&format!("/ui/r/tool?{query}")).await.text.contains("taken off"), "another page");
    assert!(!browser.again().get(done.location()).await.text.contains("taken off"), "another visitor");
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_a_page() {
    let sample = Sample::stored().await;
    let users = sample.directory.path().join("htpasswd");
    super::browser::write_user(&users, "ana", "secret");
    for mut browser in
        [Browser::new(pages(&sample.registry, None)), Browser::new(pages(&sample.registry, Some(&users)))]
    {
        for path in ["/ui/login?next=/ui/&next=/ui/help", "/ui/r/%ff", "/ui/?q=%ff&q=2&page=x"] {
            let answer = browser.get(path).await;
            is_page(path, &answer);
        }
        for action in ["/ui/login", "/ui/logout", "/ui/theme", "/ui/account", "/ui/-/untag", "/ui/-/delete"] {
            for (media_type, body, status) in [
                (Some("application/json"), "{}".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
                (None, "a=b".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
                (
                    Some("application/x-www-form-urlencoded"),
                    "a=".repeat(600 * 1024),
                    StatusCode::PAYLOAD_TOO_LARGE,
                ),
            ] {
                let mut request = Request::post(action)
                    .header(header::ORIGIN, format!("https://{HOST}"))
                    .header("sec-fetch-site", "same-origin");
                if let Some(media_type) = media_type {
                    request = request.header(header::CONTENT_TYPE, media_type);
                }
                let answer = browser.send(request, body).await;
                // Who is not signed in is sent to sign in before anything is read.
                if answer.status != StatusCode::SEE_OTHER {
                    assert_eq!(answer.status, status, "{action} {media_type:?}");
                    is_page(action, &answer);
                }
            }
        }
    }
}

fn is_page(path: &str, answer: &super::browser::Answer) {
    if answer.status.is_redirection() {
        return;
    }
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}: {}", answer.text);
    markup::check(path, &answer.text);
}
