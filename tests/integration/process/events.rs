//! Webhooks: a target that is away, one that refuses, a server that dies meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::Value;
use sha2::Sha256;

use super::served::{PASSWORD, Served, free_address, serve_router, wait_for};
use crate::ui::Browser;

const SECRET: &str = "hush, a shared secret";

/// What a receiver got, and what it answers.
#[derive(Clone)]
struct Receiver {
    got: Arc<Mutex<Vec<Value>>>,
    answer: Arc<dyn Fn(&Value) -> StatusCode + Send + Sync>,
}

impl Receiver {
    fn new(answer: impl Fn(&Value) -> StatusCode + Send + Sync + 'static) -> Self {
        Self { got: Arc::default(), answer: Arc::new(answer) }
    }

    /// Listens from now on; to be called again after it was stopped.
    fn listen(&self, address: SocketAddr) -> tokio::task::JoinHandle<()> {
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(async move {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            serve_router(listener, router).await;
        })
    }

    fn got(&self) -> Vec<Value> {
        self.got.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/vnd.docker.distribution.events.v2+json");
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    if headers["x-pakhuis-signature-256"] != format!("sha256={hex}") {
        return StatusCode::FORBIDDEN;
    }
    let envelope: Value = serde_json::from_slice(&body).unwrap();
    let event = &envelope["events"][0];
    let status = (receiver.answer)(event);
    if status.is_success() {
        receiver.got.lock().unwrap().push(event.clone());
    }
    status
}

fn configuration(directory: &std::path::Path, targets: &[(&str, SocketAddr, &str)]) -> String {
    let secret = directory.join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let mut text = format!("[events]\nqueue = {:?}\n", directory.join("queue"));
    for (name, address, more) in targets {
        text += &format!(
            "[[events.target]]\nname = \"{name}\"\nurl = \"http://{address}/hook\"\nsecret_file = {secret:?}\n\
             longest_pause = \"1s\"\n{more}\n"
        );
    }
    text
}

/// The tags of the pushes of each repository, in the order they came, a repeated one once.
fn pushed(got: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut pushed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in got.iter().filter(|event| event["action"] == "push") {
        if seen.insert(event["id"].to_string()) {
            let text = |field: &str| event["target"][field].as_str().unwrap().to_owned();
            pushed.entry(text("repository")).or_default().push(text("tag"));
        }
    }
    pushed
}

/// The target is away for PAKHUIS_EVENTS_AWAY seconds, 4 without it; the issue asks for 600, which `tests/soak` runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_gets_every_event_in_order_though_the_server_dies_meanwhile() {
    let away = std::env::var("PAKHUIS_EVENTS_AWAY").map_or(4, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut server = Served::start(&configuration(directory.path(), &[("ci", address, "")]));
    let receiver = Receiver::new(|_| StatusCode::OK);
    let listening = receiver.listen(address);
    let digest = server.push("team/app", "0").await;
    wait_for("the first event", || receiver.got().len() == 1);
    let event = &receiver.got()[0];
    assert_eq!(event["target"]["digest"], digest.as_str());
    assert_eq!(event["target"]["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(event["target"]["size"], event["target"]["length"]);
    assert_eq!(event["actor"]["name"], "alice");
    assert_eq!(event["request"]["method"], "PUT");
    assert_eq!(event["request"]["addr"], "127.0.0.1");
    assert!(
        event["id"].is_string()
            && event["timestamp"].is_string()
            && event["source"]["instanceID"].is_string()
    );

    listening.abort();
    let _ = listening.await;
    // A connection that was just used may bring one more.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let mut expected = BTreeMap::from([("team/app".to_owned(), vec!["0".to_owned()])]);
    for number in 1..=10 {
        for repository in ["team/app", "team/db", "other"] {
            let tag = number.to_string();
            server.push(repository, &tag).await;
            expected.entry(repository.to_owned()).or_default().push(tag);
        }
        if number == 5 {
            tokio::time::sleep(Duration::from_secs(away)).await;
            server.crash_and_restart();
        }
    }
    assert_eq!(receiver.got().len(), 1, "nothing listens");
    let _listening = receiver.listen(address);
    wait_for("all events", || pushed(&receiver.got()) == expected);
    server.stop();
    let left = std::fs::read_dir(directory.path().join("queue/ci")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).filter(|name| name != "dead").collect();
    assert_eq!(left, [""; 0], "the queue is empty");
    assert!(!server.log().contains(SECRET), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_gets_what_it_asks_for_and_what_it_refuses_for_good_becomes_a_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let (all, some) = (free_address(), free_address());
    let filters = "actions = [\"push\"]\nrepositories = [\"team/*\"]\n";
    let everything = "actions = [\"push\", \"pull\", \"delete\"]\nblobs = true\n";
    let targets = [("all", all, everything), ("some", some, filters)];
    let server = Served::start(&configuration(directory.path(), &targets));
    let picky = |event: &Value| match event["target"]["tag"].as_str() {
        Some("poison") => StatusCode::BAD_REQUEST,
        _ => StatusCode::NO_CONTENT,
    };
    let (first, second) = (Receiver::new(|_| StatusCode::OK), Receiver::new(picky));
    let _listening = (first.listen(all), second.listen(some));
    server.push("other", "1").await;
    server.push("team/app", "poison").await;
    server.push("team/app", "good").await;
    assert_eq!(server.get("/v2/team/app/manifests/good", PASSWORD).await.status(), 200);
    let head =
        server.request(Method::HEAD, "/v2/team/app/manifests/good").basic_auth("alice", Some(PASSWORD));
    assert_eq!(head.send().await.unwrap().status(), 200);
    assert_eq!(server.put_index("/v2/team/app/manifests/more?tag=stable").await.status(), 201);
    let delete = server.request(Method::DELETE, "/v2/team/app/manifests/good");
    assert_eq!(delete.basic_auth("alice", Some(PASSWORD)).send().await.unwrap().status(), 202);

    wait_for("what was asked for", || first.got().len() >= 7 && second.got().len() >= 3);
    let words = |got: &[Value]| -> Vec<String> {
        let word = |event: &Value| {
            let target = &event["target"];
            format!("{} {}:{}", event["action"], target["repository"], target["tag"]).replace('"', "")
        };
        got.iter().map(word).collect()
    };
    let expected = [
        "push other:1",
        "push team/app:poison",
        "push team/app:good",
        "pull team/app:good",
        "push team/app:more",
        "push team/app:stable",
        "delete team/app:good",
    ];
    assert_eq!(words(&first.got()), expected);
    assert_eq!(words(&second.got()), ["push team/app:good", "push team/app:more", "push team/app:stable"]);
    let dead = std::fs::read_dir(directory.path().join("queue/some/dead")).unwrap();
    let dead: Vec<_> = dead.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].contains("poison"), "{dead:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_for_a_target_that_forbids_it_and_behind_one_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let queue = directory.path().join("queue/ci");
    // As a disk that fails: what is there cannot be read.
    let unreadable = queue.join("00000000000000000001.json");
    std::fs::create_dir_all(&unreadable).unwrap();
    let more = "longest_pause = \"1s\"";
    let server = Served::start(
        &configuration(directory.path(), &[("ci", address, "")]).replace(more, "longest_pause = \"0s\""),
    );
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    // More often than an event is offered that its target does not want.
    let receiver = Receiver::new(move |_| match counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0..20 => StatusCode::FORBIDDEN,
        _ => StatusCode::OK,
    });
    let _listening = receiver.listen(address);
    server.push("team/app", "1").await;
    wait_for("it is told", || server.log().contains("cannot read the queue"));
    let dead = || std::fs::read_dir(queue.join("dead")).unwrap().count();
    assert_eq!((receiver.got().len(), dead()), (0, 0), "nothing passes it by, and nothing is buried");
    std::fs::remove_dir(&unreadable).unwrap();
    wait_for("the event", || receiver.got().len() == 1);
    assert_eq!(dead(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_does_not_wait_for_the_disk_of_its_event_and_a_push_does() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let more = "actions = [\"push\", \"pull\"]\n";
    let mut server = Served::start(&configuration(directory.path(), &[("ci", address, more)]));
    let receiver = Receiver::new(|_| StatusCode::OK);
    let _listening = receiver.listen(address);
    server.push("team/app", "1").await;
    wait_for("the first event", || receiver.got().len() == 1);
    // A disk that hangs: whoever writes to a FIFO that nobody reads waits.
    let fifo = directory.path().join("queue/ci/new");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let path = "/v2/team/app/manifests/1";
    for _ in 0..20 {
        let pull = tokio::time::timeout(Duration::from_secs(10), server.get(path, PASSWORD));
        assert_eq!(pull.await.expect("a pull waits").status(), 200);
    }
    {
        let mut push = std::pin::pin!(server.push("team/app", "2"));
        assert!(
            tokio::time::timeout(Duration::from_millis(500), &mut push).await.is_err(),
            "a push is promised"
        );
        // The first pull is on its way into the FIFO, and is lost with it.
        let aside = directory.path().join("fifo");
        std::fs::rename(&fifo, &aside).unwrap();
        std::fs::File::open(&aside).unwrap();
        push.await;
    }
    wait_for("the push", || receiver.got().last().unwrap()["target"]["tag"] == "2");
    let got = receiver.got();
    let actions: Vec<_> = got.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert!(
        actions.len() > 15 && actions[1..actions.len() - 1].iter().all(|action| *action == "pull"),
        "{actions:?}"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_on_pages_is_told_too() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let configuration = configuration(directory.path(), &[("ci", address, "actions = [\"delete\"]\n")]);
    let server = Served::start(&configuration);
    let receiver = Receiver::new(|_| StatusCode::OK);
    let _listening = receiver.listen(address);
    let digest = server.push("team/app", "1").await;
    server.push("team/app", "2").await;

    let mut browser = Browser::plain(server.pages());
    assert_eq!(browser.sign_in("alice", PASSWORD, "/ui/").await.status, StatusCode::SEE_OTHER);
    for (action, query) in
        [("untag", "tag=1".to_owned()), ("delete", format!("digest={}", digest.replace(':', "%3A")))]
    {
        let path = format!("/ui/-/{action}");
        let fields = browser.get(&format!("{path}?repository=team/app&{query}")).await.fields(&path);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(browser.post(&path, &fields).await.status, StatusCode::SEE_OTHER);
    }
    wait_for("both events", || receiver.got().len() == 2);
    for (event, tag) in receiver.got().iter().zip([Value::from("1"), Value::Null]) {
        assert_eq!(event["action"], "delete");
        assert_eq!(event["target"]["repository"], "team/app");
        assert_eq!(event["target"]["digest"], digest.as_str());
        assert_eq!(event["target"]["tag"], tag);
        assert_eq!(event["actor"]["name"], "alice");
        assert_eq!(event["request"]["addr"], "127.0.0.1");
    }
}
