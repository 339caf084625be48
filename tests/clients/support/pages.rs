//! The pages as a program sees them: a client that follows nothing, and a session.

use std::time::Duration;

use reqwest::{Client, Response, redirect};

use super::TestServer;

/// A client of the pages; whose certificate it is does not matter.
pub(crate) fn client() -> Client {
    Client::builder()
        .danger_accept_invalid_certs(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// Signs in on the page, and gives the cookie of the session.
pub(crate) async fn sign_in(client: &Client, server: &TestServer) -> String {
    sign_in_as(client, server, server.username()).await
}

/// The same as another user with the same password.
pub(crate) async fn sign_in_as(client: &Client, server: &TestServer, user: &str) -> String {
    let form = client.get(format!("{}/ui/login", server.url())).send().await.unwrap();
    let first = form.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let token = token(&form.text().await.unwrap());
    let body = format!("username={user}&password={}&token={token}", encoded(server.password()));
    let answer = post(client, server, "/ui/login", &first, body).await;
    assert_eq!(answer.status(), 303);
    session(&answer)
}

/// Sets another password on the account's page, and gives the cookie with which the session goes on.
pub(crate) async fn change_password(client: &Client, server: &TestServer, cookie: &str, new: &str) -> String {
    let page = client.get(format!("{}/ui/account", server.url())).header("cookie", cookie);
    let token = token(&page.send().await.unwrap().text().await.unwrap());
    let (old, new) = (encoded(server.password()), encoded(new));
    let body = format!("old={old}&new={new}&again={new}&token={token}");
    let answer = post(client, server, "/ui/account", cookie, body).await;
    assert_eq!(answer.status(), 200);
    session(&answer)
}

/// Sends a form as a page of the server does.
async fn post(client: &Client, server: &TestServer, path: &str, cookie: &str, body: String) -> Response {
    let request = client.post(format!("{}{path}", server.url()));
    let request = request.header("cookie", cookie).header("origin", server.url());
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(body).send().await.unwrap()
}

/// The token that the first form of a page brings along.
fn token(page: &str) -> String {
    page.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The cookie of the session that an answer sets.
fn session(answer: &Response) -> String {
    let cookies = answer.headers().get_all("set-cookie").iter();
    let session = cookies.map(|cookie| cookie.to_str().unwrap()).find(|cookie| cookie.contains("session="));
    session.expect("a session").split(';').next().unwrap().to_owned()
}

/// Words as a form has them.
fn encoded(words: &str) -> String {
    words.replace(' ', "+")
}
