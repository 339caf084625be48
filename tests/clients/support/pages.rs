//! The pages as a program sees them: a client that follows nothing, and a session.

use std::time::Duration;

use reqwest::{Client, redirect};

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
    let text = form.text().await.unwrap();
    let token = text.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let encode = |text: &str| text.replace(' ', "+");
    let body = format!("username={user}&password={}&token={token}", encode(server.password()));
    let answer = client
        .post(format!("{}/ui/login", server.url()))
        .header("cookie", first)
        .header("origin", server.url())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 303);
    let cookies = answer.headers().get_all("set-cookie").iter();
    let session = cookies.map(|cookie| cookie.to_str().unwrap()).find(|cookie| cookie.contains("session="));
    session.expect("a session").split(';').next().unwrap().to_owned()
}
