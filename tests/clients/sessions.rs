//! A session on the pages is good on every server of a volume and after a restart, and ends with its user or
//! the password.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::StatusCode;
use reqwest::Client;

use crate::{
    program::run,
    support::{Options, TestServer, pages, pakhuis},
};

/// Asks for the catalogue until it is answered so: a server reads its users again every two seconds.
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

fn users(server: &TestServer) -> PathBuf {
    server.directory().join("htpasswd")
}

/// The same users everywhere, as a deployment has them.
fn copy_users(from: &TestServer, to: &TestServer) {
    fs::copy(users(from), users(to)).unwrap();
}

/// Two servers of a volume, with the same users.
fn two_servers(volume: &Path) -> (TestServer, TestServer) {
    let start = || TestServer::start(Options { storage_root: Some(volume.to_owned()), ..Options::default() });
    let (one, other) = (start(), start());
    copy_users(&one, &other);
    (one, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_good_on_every_server_of_the_volume_and_ends_with_its_user() {
    let volume = tempfile::tempdir().unwrap();
    let (mut one, mut other) = two_servers(volume.path());
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
    copy_users(&one, &other);
    for server in [&one, &other] {
        answers(&client, server, &cookie, StatusCode::SEE_OTHER).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_changed_on_one_server_ends_the_other_sessions_on_every_server() {
    let volume = tempfile::tempdir().unwrap();
    let (one, other) = two_servers(volume.path());
    let client = pages::client();
    let here = pages::sign_in(&client, &one).await;
    let elsewhere = pages::sign_in(&client, &one).await;
    answers(&client, &other, &elsewhere, StatusCode::OK).await;
    let goes_on = pages::change_password(&client, &one, &here, "another battery staple").await;
    copy_users(&one, &other);
    for server in [&one, &other] {
        answers(&client, server, &elsewhere, StatusCode::SEE_OTHER).await;
        answers(&client, server, &here, StatusCode::SEE_OTHER).await;
        answers(&client, server, &goes_on, StatusCode::OK).await;
    }
}
