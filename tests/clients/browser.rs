//! The catalogue in headless Chromium: sign in, find an image, take its pull command, sign out.

use std::time::Duration;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Api, Browser, ImageSpec, Layout, Options, TestServer};

/// Where the pictures go; `.ci/run` keeps this directory.
fn screenshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci-logs/screenshots")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signs_in_finds_an_image_takes_its_pull_command_and_signs_out() {
    let server = TestServer::start(Options::default());
    let api = Api::new(&server);
    push_what_is_shown(&server, &api).await;
    let browser = Browser::start().await;

    sign_in(&server, &browser).await;
    search_and_open(&server, &browser).await;
    let command = pull_command(&server, &browser).await;
    let reference = command.rsplit(' ').next().expect("a command ends with what it pulls");
    let path =
        reference.strip_prefix(&format!("{}/", server.host_port())).expect("this server's own address");
    let (repository, reference) =
        path.split_once('@').or_else(|| path.rsplit_once(':')).expect("a repository and a tag or digest");
    let pulled = api.get(&format!("/v2/{repository}/manifests/{reference}")).await;
    assert_eq!(pulled.status, 200, "what the page says to pull: {command}");

    look_at_the_rest(&server, &browser).await;
    sign_out(&server, &browser).await;
    assert_clean_console(&browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_hostile_text_as_text() {
    let server = TestServer::start(Options::default());
    let api = Api::new(&server);
    push_hostile_image(&server, &api).await;
    let browser = Browser::start().await;
    sign_in(&server, &browser).await;
    for page in ["/ui/", "/ui/r/hostile/app", "/ui/r/hostile/app:v1"] {
        browser.open(&format!("{}{page}", server.url())).await;
        assert_eq!(browser.evaluate("window.owned === undefined").await, json!(true), "{page} ran it");
        assert_eq!(
            browser.count("img[src=x], body script:not([src])").await,
            0,
            "{page} made elements of it"
        );
    }
    browser.screenshot(&screenshots().join("hostile.png")).await;
    assert_clean_console(&browser).await;
}

async fn push_what_is_shown(server: &TestServer, api: &Api) {
    let layout = Layout::create(&server.directory().join("layout"));
    let amd64 = layout.add_image(ImageSpec::new(41, 6, 300_000));
    let arm64 = layout.add_image(ImageSpec { architecture: "arm64", ..ImageSpec::new(42, 6, 300_000) });
    for (repository, tag) in
        [("team/app", "v1"), ("team/app", "v2"), ("team/other", "latest"), ("tool", "1.0")]
    {
        api.push_image(repository, tag, &layout, &amd64).await;
    }
    api.push_image("team/app", "arm", &layout, &arm64).await;
    let index = layout.add_index(&[(amd64, "amd64"), (arm64, "arm64")]);
    api.push_manifest("team/app", "multi", &layout, &index).await;
}

/// An image whose labels, history and annotations try to become part of the page.
async fn push_hostile_image(server: &TestServer, api: &Api) {
    let attack = "\"'><script>window.owned=1</script><img src=x onerror=window.owned=1>{{7*7}}";
    let layout = Layout::create(&server.directory().join("layout"));
    let config = json!({
        "architecture": attack,
        "os": attack,
        "author": attack,
        "created": "2026-01-02T03:04:05Z",
        "config": { "Labels": { attack: attack }, "Env": [attack], "Cmd": [attack], "Entrypoint": [attack] },
        "rootfs": { "type": "layers", "diff_ids": [] },
        "history": [{ "created_by": attack, "comment": attack, "empty_layer": true }],
    });
    let config_type = "application/vnd.oci.image.config.v1+json";
    let config = layout.add_blob(config_type, config.to_string().as_bytes());
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": { "mediaType": config_type, "digest": config.digest, "size": config.size },
        "layers": [],
        "annotations": { attack: attack, "org.opencontainers.image.source": "javascript:window.owned=1" },
    });
    let manifest = layout.add_blob(manifest_type, manifest.to_string().as_bytes());
    api.push_image("hostile/app", "v1", &layout, &manifest).await;
}

async fn sign_in(server: &TestServer, browser: &Browser) {
    browser.open(&format!("{}/", server.url())).await;
    assert!(browser.url().await.contains("/ui/login"), "a stranger is at {}", browser.url().await);
    browser.screenshot(&screenshots().join("login.png")).await;
    browser.type_text(&browser.find("input[name=username]").await, server.username()).await;
    browser.type_text(&browser.find("input[name=password][type=password]").await, server.password()).await;
    browser.click(&browser.find("form button").await).await;
    // The click returns before the answer to the form has arrived.
    let mut url = browser.url().await;
    for _ in 0..100 {
        if !url.contains("/ui/login") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        url = browser.url().await;
    }
    assert!(url.contains("/ui/") && !url.contains("/ui/login"), "signed in, and at {url}");
}

async fn search_and_open(server: &TestServer, browser: &Browser) {
    browser.open(&format!("{}/ui/", server.url())).await;
    browser.screenshot(&screenshots().join("catalogue.png")).await;
    let page = browser.text(&browser.find("main").await).await;
    for repository in ["team/app", "team/other", "tool"] {
        assert!(page.contains(repository), "{repository} is not in the catalogue:\n{page}");
    }
    browser.type_text(&browser.find("input[name=q]").await, "team/app\u{E007}").await;
    let result = browser.find("main a[href$='/ui/r/team/app']").await;
    assert_eq!(browser.count("main a[href$='/ui/r/tool']").await, 0, "the search finds too much");
    browser.screenshot(&screenshots().join("search.png")).await;
    browser.click(&result).await;
    browser.screenshot(&screenshots().join("repository.png")).await;
    browser.click(&browser.find("main a[href$='/ui/r/team/app:v1']").await).await;
    assert!(browser.url().await.ends_with("/ui/r/team/app:v1"), "at {}", browser.url().await);
}

/// The first command on the page that pulls.
async fn pull_command(server: &TestServer, browser: &Browser) -> String {
    browser.screenshot(&screenshots().join("image.png")).await;
    let commands = browser
        .evaluate(
            "[...document.querySelectorAll('code, pre, input')].map(e => e.value || e.textContent.trim())",
        )
        .await;
    let commands = commands.as_array().expect("a list").iter().filter_map(|text| text.as_str());
    let wanted = format!("docker pull {}/team/app", server.host_port());
    let mut found = commands.clone().filter(|command| command.starts_with(&wanted));
    found
        .next()
        .map(String::from)
        .unwrap_or_else(|| panic!("no {wanted} in {:?}", commands.collect::<Vec<_>>()))
}

async fn look_at_the_rest(server: &TestServer, browser: &Browser) {
    let pages = [("multi", "/ui/r/team/app:multi"), ("help", "/ui/help"), ("namespace", "/ui/r/team")];
    for (name, path) in pages {
        browser.open(&format!("{}{path}", server.url())).await;
        assert_eq!(browser.count("h1").await, 1, "headings of {path}");
        assert!(!browser.title().await.is_empty(), "title of {path}");
        browser.screenshot(&screenshots().join(format!("{name}.png"))).await;
    }
    browser.open(&format!("{}/ui/r/team/app:multi", server.url())).await;
    let page = browser.text(&browser.find("main").await).await;
    assert!(page.contains("amd64") && page.contains("arm64"), "platforms of an index:\n{page}");
    browser.open(&format!("{}/ui/help", server.url())).await;
    let page = browser.text(&browser.find("main").await).await;
    assert!(page.contains(&format!("docker login {}", server.host_port())), "the login command:\n{page}");
}

async fn sign_out(server: &TestServer, browser: &Browser) {
    browser.click(&browser.find("form[action$='/ui/logout'] button").await).await;
    browser.screenshot(&screenshots().join("signed-out.png")).await;
    browser.open(&format!("{}/ui/r/team/app:v1", server.url())).await;
    let url = browser.url().await;
    assert!(url.contains("/ui/login"), "signed out, and yet at {url}");
}

async fn assert_clean_console(browser: &Browser) {
    let lines = browser.console().await;
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| line.level == "SEVERE" || line.message.contains("Content Security Policy"))
        .collect();
    println!("browser: {} lines in the console, {} of them errors or CSP violations", lines.len(), bad.len());
    assert!(bad.is_empty(), "{bad:#?}");
    // Nothing found means something only if something would have been found.
    browser.evaluate("console.error('control')").await;
    let control = browser.console().await;
    assert!(
        control.iter().any(|line| line.level == "SEVERE" && line.message.contains("control")),
        "{control:?}"
    );
}
