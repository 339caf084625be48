//! What a service manager and a container's health check see.

use std::{
    os::unix::net::UnixDatagram,
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;

use super::served::{PASSWORD, Served, free_address, pakhuis, wait_for};

#[tokio::test]
async fn a_service_manager_is_told_that_it_is_ready_alive_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok(length) = socket.recv(&mut buffer) {
            heard.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    let mut server = Served::start_with("", |command, _| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    wait_for("ready and alive", || {
        let said = said.lock().unwrap();
        said.first().is_some_and(|first| first == "READY=1")
            && said.iter().filter(|text| *text == "WATCHDOG=1").count() >= 3
    });
    server.stop();
    wait_for("stopping", || said.lock().unwrap().iter().any(|text| text == "STOPPING=1"));
}

#[tokio::test]
async fn healthcheck_finds_the_server_of_its_settings() {
    let server = Served::start("");
    let check = |address: &str, more: &[&str]| {
        let mut command = pakhuis();
        command.args(["healthcheck", "--no-tls", "--listen", address]).args(more);
        command.current_dir(server.path("")).output().unwrap()
    };
    for more in [&[][..], &["--ready"]] {
        let output = check(server.address(), more);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"ok\n");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = check(&nobody.to_string(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody listens"), "{output:?}");
    // Over TLS, whatever its name and authority.
    let directory = tempfile::tempdir().unwrap();
    let address = directory.path().join("address");
    let mut child = pakhuis()
        .args(["serve", "--listen", "127.0.0.1:0", "--address-file"])
        .arg(&address)
        .current_dir(directory.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("it listens", || address.exists());
    let listen = std::fs::read_to_string(&address).unwrap();
    let output = pakhuis().args(["healthcheck", "--ready", "--listen", &listen]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Until the last transfer has ended, a monitor sees a server that stops, not one that is lost.
#[tokio::test]
async fn metrics_answer_while_the_server_drains() {
    let metrics = free_address();
    let mut server = Served::start(&format!("metrics.listen = \"{metrics}\"\n"));
    let status = async |path: &str| match reqwest::get(format!("http://{metrics}{path}")).await {
        Ok(reply) => reply.status().as_u16(),
        Err(_) => 0,
    };
    let all = async || [status("/metrics").await, status("/healthz").await, status("/readyz").await];
    assert_eq!(all().await, [200, 200, 200]);
    let started =
        server.request(Method::POST, "/v2/team/app/blobs/uploads/").basic_auth("alice", Some(PASSWORD));
    let location = started.send().await.unwrap().headers()["location"].to_str().unwrap().to_owned();
    let path = location.split_once("/v2/").unwrap().1;
    let (sender, body) = tokio::sync::mpsc::channel::<Result<&[u8], std::io::Error>>(1);
    let body = futures_util::stream::unfold(body, |mut body| async { Some((body.recv().await?, body)) });
    let upload = server.request(Method::PATCH, &format!("/v2/{path}")).basic_auth("alice", Some(PASSWORD));
    let upload = tokio::spawn(upload.body(reqwest::Body::wrap_stream(body)).send());
    sender.send(Ok(b"the first half, ")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;

    server.signal(rustix::process::Signal::TERM);
    // Longer than a connection that was just used is kept.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(all().await, [200, 200, 503]);
    }
    sender.send(Ok(b"and the second")).await.unwrap();
    drop(sender);
    assert_eq!(upload.await.unwrap().unwrap().status(), 202);
    server.wait_for_its_end();
    assert_eq!(all().await, [0, 0, 0]);
}

#[tokio::test]
async fn metrics_tell_of_requests_sign_ins_and_errors() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = listener.local_addr().unwrap();
    drop(listener);
    let server = Served::start(&format!("metrics.listen = \"{metrics}\"\n"));
    server.push("team/app", "1").await;
    for _ in 0..3 {
        assert_eq!(server.get("/v2/team/app/manifests/1", PASSWORD).await.status(), 200);
    }
    assert_eq!(server.get("/v2/team/app/manifests/2", PASSWORD).await.status(), 404);
    assert_eq!(server.get("/v2/", "wrong password").await.status(), 401);
    let text = reqwest::get(format!("http://{metrics}/metrics")).await.unwrap().text().await.unwrap();
    for line in [
        r#"pakhuis_http_requests_total{route="get_manifest",method="GET",status="200"} 3"#,
        r#"pakhuis_http_requests_total{route="get_manifest",method="GET",status="404"} 1"#,
        r#"pakhuis_http_request_duration_seconds_count{route="get_manifest"} 4"#,
        r#"pakhuis_http_received_bytes_total{route="put_manifest"} 88"#,
        r#"pakhuis_http_errors_total{code="MANIFEST_UNKNOWN"} 1"#,
        r#"pakhuis_http_errors_total{code="UNAUTHORIZED"} 1"#,
        "pakhuis_sign_ins_rejected_total 1",
        "pakhuis_passwords_hashed_total 2",
        "pakhuis_users 1",
        "pakhuis_panics_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(server.get("/metrics", PASSWORD).await.status(), 404, "not on the address of the registry");
}

/// Without TLS here, a proxy that ends it says so; nobody else is believed.
#[tokio::test]
async fn cookies_are_for_https_when_a_trusted_proxy_says_that_the_browser_speaks_it() {
    for (trusted, protocol, secure) in [
        ("127.0.0.1", "https", true),
        ("127.0.0.1", "http, HTTPS", true),
        ("127.0.0.1", "https, http", false),
        ("127.0.0.1", "", false),
        ("192.0.2.1", "https", false),
    ] {
        let server = Served::start(&format!("server.trusted_proxies = [\"{trusted}\"]\n"));
        let page = server.request(Method::GET, "/ui/login").header("x-forwarded-proto", protocol);
        let page = page.send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert_eq!(
            cookie.contains("; Secure") && cookie.starts_with("__Host-"),
            secure,
            "{trusted} {protocol}: {cookie}"
        );
        assert_ne!(page.text().await.unwrap().contains("not encrypted"), secure, "{trusted} {protocol}");
    }
}
