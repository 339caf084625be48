//! What clients asked for is done by a volume that hung, when they have long been told that it does not answer: the
//! journal, the audit log and the events say so all the same.

use std::{convert::Infallible, fs, future::Future, path::Path};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::join_all,
    stream::{empty, once},
};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::{
    client::Client,
    image::{Image, MANIFEST, sha256},
    registry::{push, wait_for},
    server::Server,
    stoppable::StoppableVolume,
};

/// What is asked for while the volume hangs: each of a repository of its own.
fn asked(image: &Image) -> [(&'static str, String, Vec<u8>); 5] {
    [
        ("DELETE", "/v2/untag/manifests/v1".to_owned(), Vec::new()),
        ("DELETE", format!("/v2/delete/manifests/{}", image.digest()), Vec::new()),
        ("DELETE", format!("/v2/blob/blobs/{}", sha256(image.layer())), Vec::new()),
        ("PUT", "/v2/push/manifests/v2".to_owned(), image.manifest.clone()),
        ("POST", format!("/v2/mount/blobs/uploads/?mount={}&from=push", sha256(image.layer())), Vec::new()),
    ]
}

async fn ask(client: &Client, (method, path, body): (&str, String, Vec<u8>)) -> u16 {
    client.send_as(method, &path, &[("content-type", MANIFEST)], &body).await.status
}

/// As many bytes as the server gathers before it writes them: when they are on the volume none is left to be written.
static PIECE: [u8; 256 * 1024] = [b'x'; 256 * 1024];

/// A whole upload in `/v2/upload`, all of which is on the volume, but whose request ends only when `end` is dropped:
/// what is left to do then is to make it a blob.
async fn almost_upload(
    client: &Client,
    root: &Path,
    end: oneshot::Receiver<()>,
) -> impl Future<Output = u16> {
    let started = client.send("POST", "/v2/upload/blobs/uploads/", b"").await;
    let commit = format!("{}?digest={}", started.header("location"), sha256(&PIECE));
    let rest = once(end).flat_map(|_| empty());
    let body = once(async { Ok::<_, Infallible>(Bytes::from_static(&PIECE)) }).chain(rest);
    let (body, client) = (reqwest::Body::wrap_stream(body), client.clone());
    let request = tokio::spawn(async move { client.try_send("PUT", &commit, &[], body).await });
    let uploads = root.join("docker/registry/v2/repositories/upload/_uploads");
    let is_written = || {
        let directories = fs::read_dir(&uploads).into_iter().flatten().flatten();
        let mut files = directories.flat_map(|upload| fs::read_dir(upload.path())).flatten().flatten();
        files.any(|file| file.metadata().is_ok_and(|metadata| metadata.len() == PIECE.len() as u64))
    };
    wait_for("an upload to be written", || async { is_written() }).await;
    async { request.await.expect("no panic").expect("an answer").status }
}

/// The events that wait for a target that nobody is.
fn events(queue: &Path) -> Vec<Value> {
    let entries = fs::read_dir(queue).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read(entry.path()).ok());
    let envelopes = texts.filter_map(|text| serde_json::from_slice::<Value>(&text).ok());
    envelopes.flat_map(|envelope| envelope["events"].as_array().cloned().unwrap_or_default()).collect()
}

/// Action and repository of each.
fn facts(lines: &[Value], repository: impl Fn(&Value) -> &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut facts: Vec<_> =
        lines.iter().map(|line| format!("{} {}", text(&line["action"]), text(repository(line)))).collect();
    facts.sort();
    facts
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// All lines of the journal on the volume.
pub(crate) fn journal(root: &Path) -> Vec<Value> {
    let mut text = String::new();
    let mut waiting = vec![root.join("docker/registry/v2/.pakhuis/journal")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match fs::read_to_string(entry.path()) {
                Ok(part) => text.push_str(&part),
                Err(_) => waiting.push(entry.path()),
            }
        }
    }
    lines(&text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_after_its_answer_is_noted_and_told() {
    let volume = StoppableVolume::new();
    let own = tempfile::tempdir().expect("a directory");
    let (audit, queue) = (own.path().join("audit.log"), own.path().join("events"));
    let configuration = own.path().join("pakhuis.toml");
    let text = format!(
        "log.audit = {audit:?}\n[events]\nqueue = {queue:?}\n[[events.target]]\nname = \"nobody\"\n\
         url = \"http://127.0.0.1:9/\"\nactions = [\"push\", \"mount\", \"delete\"]\nblobs = true\n"
    );
    fs::write(&configuration, text).expect("a file");
    let server = Server::configured(volume.root(), &configuration);
    let _goes_on = volume.goes_on_at_the_end();
    let client = server.client();
    let image = Image::new(1, 1000, None);
    for repository in ["untag", "delete", "blob", "push"] {
        push(&client, repository, "v1", &image).await.expect("a push before");
    }
    let queue = queue.join("nobody");
    let told_before = events(&queue).len();
    let (end, ended) = oneshot::channel();
    let uploaded = almost_upload(&client, volume.root(), ended).await;

    volume.stop();
    drop(end);
    let asked = join_all(asked(&image).into_iter().map(|request| ask(&client, request)));
    assert_eq!(tokio::join!(asked, uploaded), (vec![503; 5], 503), "the volume hangs");
    assert_eq!(events(&queue).len(), told_before, "nothing is told that is not done");
    volume.go_on();

    let is_late = |line: &Value| line["late"] == true;
    let audited =
        || lines(&fs::read_to_string(&audit).unwrap_or_default()).into_iter().filter(is_late).collect();
    wait_for("the audit log", || async { Vec::len(&audited()) >= 5 }).await;
    let audited: Vec<Value> = audited();
    let by_audit = facts(&audited, |line| &line["repository"]);
    assert_eq!(by_audit, ["delete delete", "delete-blob blob", "push push", "untag delete", "untag untag"]);
    assert!(audited.iter().all(|line| line["span"]["id"].is_string()), "the request: {audited:#?}");

    wait_for("the events", || async { events(&queue).len() >= told_before + 6 }).await;
    let mut told = events(&queue);
    told.sort_by_key(|event| event["timestamp"].to_string());
    let late = &told[told_before..];
    let by_event = facts(late, |event| &event["target"]["repository"]);
    let expected =
        ["delete blob", "delete delete", "delete untag", "mount mount", "push push", "push upload"];
    assert_eq!(by_event, expected);
    let pushed =
        |repository| late.iter().find(|event| event["target"]["repository"] == repository).expect("a push");
    assert_eq!(pushed("upload")["target"]["digest"], sha256(&PIECE));
    let pushed = pushed("push");
    assert_eq!(
        (&pushed["target"]["tag"], &pushed["target"]["digest"]),
        (&"v2".into(), &image.digest().into())
    );
    assert_eq!(pushed["request"]["method"], "PUT");

    let noted = || {
        let noted = journal(volume.root());
        let of = |action: &str, repository: &str| {
            noted.iter().filter(|line| line["action"] == action && line["repository"] == repository).count()
        };
        [of("untag", "untag"), of("untag", "delete"), of("delete", "delete"), of("push", "push")]
    };
    // Two pushes: the first was in time.
    wait_for("the journal", || async { noted() == [1, 1, 1, 2] }).await;
}
