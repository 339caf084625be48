//! The process is replaced while clients come: the socket that its manager holds goes from one to the next.

use std::net::TcpListener;
use std::time::Duration;

use super::load::{FIFTY, Load};
use crate::support::{Options, TestServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_fails_while_the_server_is_replaced_behind_its_socket() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut server = TestServer::start(Options { handed_over: Some(socket), ..Options::default() });
    let load = Load::begin(&server, FIFTY).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let before = server.pid();
        // As systemd does it: the next one starts when this one has ended, and the socket stays.
        tokio::task::block_in_place(|| server.restart());
        assert_ne!(server.pid(), before);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.end().await.assert_all_succeeded("the server was replaced 3 times");
}
