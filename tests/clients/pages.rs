//! The pages in Chromium by Playwright, as a person uses them, and what axe-core says of each: `tests/clients/browser`.

use std::path::Path;

use crate::{
    program::{program, run, run_with_input},
    support::{Options, TestServer, pakhuis},
};

#[test]
fn every_page_and_action_as_a_person_would_do_them() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/browser");
    assert!(
        scripts.join("node_modules/playwright-core").is_dir(),
        "playwright-core is missing: npm ci --prefix tests/clients/browser, as .ci/run does"
    );
    let server = TestServer::start(Options {
        extra_auth: "admins = [\"alice\"]\nbcrypt_cost = 5".to_owned(),
        extra_configuration: "\n[ui]\nca_certificate = \"certs/ca.crt\"\n\
             [[auth.access]]\nusers = [\"guest\"]\nrepositories = [\"team/*\"]\nallow = [\"pull\"]\n"
            .to_owned(),
        ..Options::default()
    });
    let mut add = pakhuis();
    add.args(["add-user", "guest", "--password-stdin", "--htpasswd"])
        .arg(server.directory().join("htpasswd"));
    run_with_input(&mut add, format!("{}\n", server.password()).as_bytes());
    let chromium = program("chromium", "chromium");
    let mut node = program("node", "nodejs");
    node.arg(scripts.join("person.mjs"))
        .env("PAKHUIS_URL", server.url())
        .env("PAKHUIS_USER", server.username())
        .env("PAKHUIS_PASSWORD", server.password())
        .env(
            "PAKHUIS_PICTURES",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci-logs/screenshots/pages"),
        )
        .env("PAKHUIS_CHROMIUM", chromium.get_program())
        .env("NODE_EXTRA_CA_CERTS", server.ca_certificate());
    let output = run(&mut node);
    println!("{}", String::from_utf8_lossy(&output.stdout));
}
