//! The own password.

use http::StatusCode;

use super::{
    browser::{Browser, pages, write_users},
    markup,
    sample::Sample,
};

#[tokio::test]
async fn a_user_changes_the_own_password_and_nobody_elses() {
    let sample = Sample::empty();
    let users = sample.directory.path().join("htpasswd");
    write_users(&users, &["ana", "bob"], "secret");
    let router = pages(&sample.registry, Some(&users));
    let (mut here, mut elsewhere) = (Browser::new(router.clone()), Browser::new(router.clone()));
    here.sign_in("ana", "secret", "/ui/").await;
    elsewhere.sign_in("ana", "secret", "/ui/").await;
    let form = here.get("/ui/account").await;
    markup::check("/ui/account", &form.text);
    let token = form.token("/ui/account");
    let change = |old: &str, new: &str, again: &str, token: &str| {
        [("token", token), ("username", "bob"), ("old", old), ("new", new), ("again", again)]
            .map(|(name, value)| (name, value.to_owned()))
    };
    for (old, new, again, token, status) in [
        ("secret", "better", "better", "", StatusCode::FORBIDDEN),
        ("Secret", "better", "better", &*token, StatusCode::FORBIDDEN),
        ("secret", "better", "bitter", &token, StatusCode::UNPROCESSABLE_ENTITY),
        ("secret", "", "", &token, StatusCode::UNPROCESSABLE_ENTITY),
        ("secret", &"x".repeat(72), &"x".repeat(72), &token, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let fields = change(old, new, again, token);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(here.post("/ui/account", &fields).await.status, status, "{old} {new} {again}");
    }
    let fields = change("secret", "better", "better", &token);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let done = here.post("/ui/account", &fields).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(here.get("/ui/").await.status, StatusCode::OK, "this session goes on");
    let mut leaving = here.again();
    leaving.cookies.clone_from(&here.cookies);
    let left = leaving.post("/ui/logout", &[("token", &done.token("/ui/logout"))]).await;
    assert_eq!(left.status, StatusCode::SEE_OTHER, "and so do the forms of the page that says so");
    assert_eq!(elsewhere.get("/ui/").await.status, StatusCode::SEE_OTHER, "the others end");
    let mut again = Browser::new(router);
    assert_eq!(again.sign_in("ana", "secret", "/ui/").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(again.sign_in("ana", "better", "/ui/").await.status, StatusCode::SEE_OTHER);
    again.cookies.clear();
    assert_eq!(
        again.sign_in("bob", "secret", "/ui/").await.status,
        StatusCode::SEE_OTHER,
        "bob is as he was"
    );
}
