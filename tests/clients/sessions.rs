//! A session on the pages is good on every server of a volume and after a restart, and ends with its user.

use std::{fs, time::Duration};

use http::StatusCode;
use reqwest::Client;

use crate::{
    program::run,
    support::{Options, TestServer, pages, pakhuis},
};

/// Asks for the catalogue until it is answered so: a server reads its users again within five seconds.
async fn answers(client: &Client, server: &TestServer, cookie: &str, expected: StatusCode) {
    let mut seen = None;
    for _ in 0..100 {
        let answer =
            client.get(format!("{}/ui/", server.url())).header("cookie", cookie).send().await.unwrap();
        seen = Some(answer.status());
        if seen == Some(expected) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} answers {seen:?}, not {expected}", server.url());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_good_on_every_server_of_the_volume_and_ends_with_its_user() {
    let volume = tempfile::tempdir().unwrap();
    let start =
        || TestServer::start(Options { storage_root: Some(volume.path().to_owned()), ..Options::default() });
    let (mut one, mut other) = (start(), start());
    // The same users everywhere, as a deployment has them.
    let users = |server: &TestServer| server.directory().join("htpasswd");
    fs::copy(users(&one), users(&other)).unwrap();
    let client = pages::client();
    let cookie = pages::sign_in(&client, &one).await;
    answers(&client, &one, &cookie, StatusCode::OK).await;
    answers(&client, &other, &cookie, StatusCode::OK).await;
    one.restart();
    other.restart();
    for server in [&one, &other] {
        answers(&client, server, &cookie, StatusCode::OK).await;
        let api = client.get(format!("{}/v2/", server.url())).header("cookie", &cookie).send().await.unwrap();
        assert_eq!(api.status(), StatusCode::UNAUTHORIZED, "it is worth nothing there");
    }
    let mut remove = pakhuis();
    remove.args(["remove-user", one.username(), "--yes", "--htpasswd"]).arg(users(&one));
    run(&mut remove);
    fs::copy(users(&one), users(&other)).unwrap();
    for server in [&one, &other] {
        answers(&client, server, &cookie, StatusCode::SEE_OTHER).await;
    }
}
