//! Requests hidden in others, through a real nginx with connections it keeps, and to the server itself: the server must
//! see none that nginx did not see too.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::sandbox::wait_until;
use crate::support::wire::Trust;
use crate::support::{Options, TestServer, basic_authorization, program};

/// What must not become a request of its own.
const HIDDEN: &str = "GET /v2/hidden/tags/list HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How long an attack may be quiet before the next is tried.
const QUIET: Duration = Duration::from_millis(60);
/// How long an honest client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// nginx in front of a server; ended by its id.
struct Nginx {
    child: Child,
    /// One that passes a body on as it comes, and one that reads it whole first.
    ports: [u16; 2],
    directory: tempfile::TempDir,
}

impl Nginx {
    fn start(server: &TestServer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ports = [(), ()].map(|()| {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            free.local_addr().expect("an address").port()
        });
        let configuration = configuration(server, ports);
        fs::write(directory.path().join("nginx.conf"), configuration).expect("a file");
        let child = program("nginx", "nginx-light")
            .arg("-p")
            .arg(directory.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let nginx = Self { child, ports, directory };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", ports[1])).is_ok();
        assert!(wait_until(Duration::from_secs(10), listens), "{}", nginx.file("error.log"));
        nginx
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    /// How many requests it has seen for what is hidden.
    fn hidden(&self) -> usize {
        self.file("access.log").matches("/v2/hidden/").count()
    }
}

/// The example of `config`, once as it is and once reading bodies whole, with the test's addresses: nginx in plain
/// HTTP, the server with TLS.
fn configuration(server: &TestServer, ports: [u16; 2]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/nginx.conf");
    let example = fs::read_to_string(path).expect("the example");
    let changed = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in the example");
        text.replace(from, to)
    };
    let (before, block) =
        example.split_once("    server {\n        listen").expect("a server in the example");
    let block = format!("    server {{\n        listen{}", block.trim_end().trim_end_matches('}'));
    let block: String = block
        .lines()
        .filter(|line| !line.contains("ssl_certificate"))
        .map(|line| format!("{line}\n"))
        .collect();
    let block = changed(&block, "http://registry", "https://registry");
    let servers = ports.iter().zip(["off", "on"]).map(|(port, buffering)| {
        let block = changed(&block, "listen 443 ssl", &format!("listen 127.0.0.1:{port}"));
        changed(&block, "proxy_request_buffering off", &format!("proxy_request_buffering {buffering}"))
    });
    let before = changed(before, "127.0.0.1:5001", &server.host_port());
    // One, so that whoever comes next has the connection of the attack.
    let before = changed(&before, "keepalive 16;", "keepalive 1;");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.map(|name| format!("{name}_temp_path {name};\n")).concat();
    let before = changed(&before, "http {\n", &format!("http {{\naccess_log access.log;\n{temporary}"));
    let alone = "daemon off; master_process off; pid nginx.pid; error_log error.log;\n";
    format!("{alone}{before}{}}}\n", servers.collect::<String>())
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many requests the server has seen for what is hidden.
fn hidden(server: &TestServer) -> usize {
    server.log().matches(r#""path":"/v2/hidden/"#).count()
}

/// Requests with a second one in a place that some take for the body and some do not.
fn attacks(authorization: &str) -> Vec<String> {
    let length = HIDDEN.len();
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let whole = chunked.len();
    let in_a_chunk = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let framings = [
        // Content-Length before Transfer-Encoding, and the other way round.
        format!("Content-Length: {whole}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{in_a_chunk}"),
        // A Transfer-Encoding that only some recognise.
        format!("Transfer-Encoding: xchunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("Transfer-Encoding : chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("Transfer-Encoding:\tchunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("Transfer-Encoding:\x0bchunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: chunked, identity\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!(
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"
        ),
        format!("Transfer-Encoding:\r\n chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!(" Transfer-Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("X: y\nTransfer-Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("X: y\rTransfer-Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("X: \0\r\nTransfer-Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        format!("Transfer_Encoding: chunked\r\nContent-Length: {whole}\r\n\r\n{chunked}"),
        // Lengths that differ, or are no numbers for all.
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{HIDDEN}"),
        format!("Content-Length: 0, {length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: +{length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: 0x{length:x}\r\n\r\n{HIDDEN}"),
        format!("Content-Length: {length} 0\r\n\r\n{HIDDEN}"),
        format!("Content_Length: 0\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        format!("Content-Length\0: 0\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"),
        // A body where some expect none.
        format!("Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n{HIDDEN}"),
        format!("Content-Length: {length}\r\nConnection: Content-Length\r\n\r\n{HIDDEN}"),
        format!("Content-Length: {length}\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n{HIDDEN}"),
        // Chunks that some count otherwise.
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x};x=\"\n\"\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x};\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n0x{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n1\r\nxx{HIDDEN}\r\n0\r\n\r\n"),
        // Lines that end in a line feed alone.
        format!("Content-Length: {length}\n\n{HIDDEN}"),
    ];
    let digest = "0".repeat(64);
    let lines = ["POST", "GET"].map(|method| {
        format!(
            "{method} /v2/outer/app/blobs/uploads/?digest=sha256:{digest} HTTP/1.1\r\nHost: localhost\r\n{authorization}"
        )
    });
    let all = lines.iter().flat_map(|line| framings.iter().map(move |framing| format!("{line}{framing}")));
    all.collect()
}

/// Sends, and reads until the connection is closed or was quiet for so long.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &str, quiet: Duration) -> String {
    // A server that refuses the head need not read the rest.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let _ = stream.flush().await;
    let (mut answer, mut space) = (Vec::new(), vec![0; 16 << 10]);
    while let Ok(Ok(length @ 1..)) = tokio::time::timeout(quiet, stream.read(&mut space)).await {
        answer.extend_from_slice(&space[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn honest(authorization: &str) -> String {
    format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n{authorization}Connection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_smuggled_through_nginx() {
    let server = TestServer::start(Options::default());
    let nginx = Nginx::start(&server);
    let connect = async |port: u16| TcpStream::connect(("127.0.0.1", port)).await.expect("nginx listens");
    let signed_in =
        format!("Authorization: {}\r\n", basic_authorization((server.username(), server.password())));

    // That what is looked for would be found.
    exchange(connect(nginx.ports[0]).await, HIDDEN, QUIET).await;
    assert_eq!((hidden(&server), nginx.hidden()), (1, 1));

    let mut tried = 0;
    for authorization in ["", &signed_in] {
        for attack in attacks(authorization) {
            for port in nginx.ports {
                exchange(connect(port).await, &attack, QUIET).await;
                // Who comes next over the same connection to the server gets an answer to its own request.
                let next = exchange(connect(port).await, &honest(&signed_in), PATIENCE).await;
                assert!(
                    next.starts_with("HTTP/1.1 200") && next.ends_with("\r\n\r\n{}"),
                    "{attack:?}\n{next}"
                );
                let (ours, proxy) = (hidden(&server), nginx.hidden());
                assert!(ours <= proxy, "the server saw {ours}, nginx {proxy}: {attack:?}");
                tried += 1;
            }
        }
    }
    println!(
        "{tried} attempts through nginx: it saw {} hidden requests, the server {}",
        nginx.hidden(),
        hidden(&server)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_hidden_in_another_without_a_proxy() {
    let server = TestServer::start(Options::default());
    let trust = Trust::of(&[server.ca_certificate()]);
    let signed_in =
        format!("Authorization: {}\r\n", basic_authorization((server.username(), server.password())));
    let mut tried = 0;
    for authorization in ["", &signed_in] {
        for attack in attacks(authorization) {
            let answer = exchange(trust.connect(&server).await.expect("a connection"), &attack, QUIET).await;
            assert_eq!(hidden(&server), 0, "{attack:?}\n{answer}");
            tried += 1;
        }
    }
    println!("{tried} attempts without a proxy");
    // The target as a whole address, which names another host: the path is judged as ever.
    let absolute = "GET http://other.test/v2/_catalog HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = exchange(trust.connect(&server).await.expect("a connection"), absolute, PATIENCE / 10).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
