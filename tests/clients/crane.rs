//! crane.
use crate::support::{ImageSpec, Layout, Options, TestServer, go_tool, run};

#[test]
fn smoke() {
    let server = TestServer::start(Options::default());
    let (layout, image) =
        Layout::with_image(&server.directory().join("layout"), ImageSpec::new(1, 3, 1000), "one");
    layout.write_docker_archive(&image, "a/b:one", &server.directory().join("a.tar"));
    let crane = || {
        let mut c = go_tool("crane", "x");
        c.env("SSL_CERT_FILE", server.ca_certificate()).env("DOCKER_CONFIG", server.directory().join("cfg"));
        c
    };
    run(crane().args([
        "auth",
        "login",
        &server.host_port(),
        "-u",
        server.username(),
        "-p",
        server.password(),
    ]));
    run(crane()
        .arg("push")
        .arg(server.directory().join("a.tar"))
        .arg(format!("{}/a/b:one", server.host_port())));
    run(crane().arg("push").arg(layout.directory()).arg(format!("{}/a/b:two", server.host_port())));
    run(crane().arg("validate").arg("--remote").arg(format!("{}/a/b:one", server.host_port())));
    println!("{}", server.log());
}
