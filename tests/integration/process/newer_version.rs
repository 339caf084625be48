//! A volume on which a newer version serves or has served: what this one does not know it leaves alone, and what it reads
//! of the newer one's records is what it knows of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pakhuis::oci::{Algorithm, Digest};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::served::{PASSWORD, Served, pakhuis, wait_for};
use crate::{support::write, ui::Browser};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The newer server's file of the journal.
const NEWER_JOURNAL: &str = ".pakhuis/journal/DAY/0123456789abcdef0123456789abcdef";

/// Names that this version has none of, in each directory that has files of ours. `DAY` is the journal's.
const UNKNOWN: [&str; 17] = [
    "future/record",
    "blobs/future/record",
    "repositories/team/app/_future/record",
    "repositories/team/app/_layers/future/record",
    "repositories/team/app/_manifests/future/record",
    "repositories/team/app/_manifests/revisions/future/record",
    "repositories/team/app/_manifests/tags/v1/future",
    "repositories/team/app/_manifests/tags/v2/current/future",
    "repositories/team/app/_referrers/future",
    "repositories/team/app/_uploads/future/record",
    ".pakhuis/future",
    ".pakhuis/damaged/future",
    ".pakhuis/summaries/future/record",
    ".pakhuis/journal/index",
    ".pakhuis/journal/future/record",
    ".pakhuis/journal/DAY/future.index",
    ".pakhuis/journal/DAY/future/record",
];

fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

async fn send(
    server: &Served,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Response {
    let mut request = server.request(method, path).basic_auth("alice", Some(PASSWORD));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).send().await.unwrap()
}

async fn referrers(server: &Served, subject: &str) -> Vec<String> {
    let listing = server.get(&format!("/v2/team/app/referrers/{subject}"), PASSWORD).await;
    let listing: Value = serde_json::from_str(&listing.text().await.unwrap()).unwrap();
    let digests = listing["manifests"].as_array().unwrap().iter();
    digests.map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// A signed-in browser.
async fn browser(server: &Served) -> Browser {
    let mut browser = Browser::plain(server.pages());
    assert_eq!(browser.sign_in("alice", PASSWORD, "/ui/").await.status, 303);
    browser
}

/// A volume with an image, what refers to it, their summaries and a day of the journal.
struct Used {
    server: Served,
    v2: PathBuf,
    subject: String,
    referrer: String,
    day: String,
}

impl Used {
    async fn new() -> Self {
        let server = Served::start("");
        let subject = server.push("team/app", "v1").await;
        for tag in ["v2", "v3"] {
            server.push("team/app", tag).await;
        }
        let referrer = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
            "subject": { "mediaType": INDEX, "digest": subject, "size": 88 },
        });
        let referrer = referrer.to_string();
        let digest = sha256(referrer.as_bytes()).to_string();
        let path = format!("/v2/team/app/manifests/{digest}");
        let put = send(&server, Method::PUT, &path, &[("content-type", INDEX)], referrer).await;
        assert_eq!(put.status(), 201);
        assert_eq!(referrers(&server, &subject).await, [&*digest]);
        let v2 = server.path("volume/docker/registry/v2");
        let [summaries, journal] = ["summaries", "journal"].map(|name| v2.join(".pakhuis").join(name));
        wait_for("the journal and a summary", || {
            !files(&journal).is_empty() && !files(&summaries).is_empty()
        });
        let day = fs::read_dir(journal).unwrap().next().unwrap().unwrap().file_name();
        Self { server, v2, subject, referrer: digest, day: day.into_string().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.v2.join(name.replace("DAY", &self.day))
    }

    /// The records of the newer version, in forms that it may give them.
    fn write_records(&self) {
        let own = files(&self.path(".pakhuis/journal/DAY"));
        let entry = own.iter().find_map(|file| fs::read_to_string(file).ok()).unwrap();
        let mut known: Value = serde_json::from_str(entry.lines().next().unwrap()).unwrap();
        for name in UNKNOWN {
            write(&self.path(name), name.as_bytes());
        }
        known["tag"] = "of-the-newer".into();
        known["future"] = json!({ "key": [1, 2] });
        let unknown = json!({ "at": known["at"], "action": "future", "user": "alice", "tag": "unknown" });
        let changed = json!({ "at": "tomorrow", "action": ["push"], "user": "alice", "tag": "unknown" });
        let lines = format!("{unknown}\n{changed}\nno JSON at all\n{known}\n");
        write(&self.path(NEWER_JOURNAL), lines.as_bytes());
        write(
            &self.path("repositories/team/app/_referrers/subjects"),
            b"pakhuis-subjects-2 of a form to come",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_wrote_beside_is_left_alone_and_does_no_harm() {
    let mut used = Used::new().await;
    used.write_records();
    used.server.crash_and_restart();
    let Used { server, subject, referrer, .. } = &used;

    for reference in ["v1", "v2", subject, referrer] {
        let pulled = server.get(&format!("/v2/team/app/manifests/{reference}"), PASSWORD).await;
        assert_eq!(pulled.status(), 200, "{reference}");
    }
    assert_eq!(referrers(server, subject).await, [referrer.as_str()]);
    let listed = async |path| server.get(path, PASSWORD).await.text().await.unwrap();
    assert_eq!(listed("/v2/team/app/tags/list").await, r#"{"name":"team/app","tags":["v1","v2","v3"]}"#);
    assert_eq!(listed("/v2/_catalog").await, r#"{"repositories":["team/app"]}"#);
    server.push("team/app", "v4").await;
    for tag in ["v1", "v2", "v3"] {
        let path = format!("/v2/team/app/manifests/{tag}");
        assert_eq!(send(server, Method::DELETE, &path, &[], "").await.status(), 202, "{tag}");
        assert_eq!(server.get(&path, PASSWORD).await.status(), 404, "{tag}");
    }

    let mut browser = browser(server).await;
    for path in ["/ui/", "/ui/r/team/app", "/ui/r/team/app:v4", "/ui/storage", "/ui/activity"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    let activity = browser.get("/ui/activity").await.text;
    assert!(activity.contains("team/app:of-the-newer"), "what is known of an entry counts");
    assert!(!activity.contains("team/app:unknown"), "an action that is not known is passed over");
    // The newer one goes on.
    let journal = used.path(NEWER_JOURNAL);
    let lines = fs::read_to_string(&journal).unwrap();
    write(&journal, [&lines, &*lines.replace("of-the-newer", "moved-later")].concat().as_bytes());
    let start = Instant::now();
    while !browser.get("/ui/activity").await.text.contains("team/app:moved-later") {
        assert!(start.elapsed() < Duration::from_secs(30), "its entries are followed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let verify = pakhuis()
        .args(["verify", "--repair", "--read-data", "--format", "json", "--storage"])
        .arg(server.path("volume"))
        .output()
        .unwrap();
    let report = String::from_utf8(verify.stdout).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["errors"], json!([]), "{report}");
    let found: Vec<_> = report["findings"].as_array().unwrap().iter().map(|found| &found["path"]).collect();
    assert_eq!(found, ["blobs/future"], "only registry:2 has a say there, and it has no such name");
    for name in UNKNOWN {
        let kept = fs::read(used.path(name)).unwrap_or_default();
        assert_eq!(String::from_utf8(kept).unwrap(), name);
    }
}

/// A summary as it is in its file.
fn summary(form: &str, body: &[u8]) -> Vec<u8> {
    [format!("{form} {}\n", sha256(body)).as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_counts_as_far_as_it_is_known_and_one_of_another_form_is_made_again() {
    let mut used = Used::new().await;
    let path = used.path(".pakhuis/summaries/sha256").join(&used.subject[7..9]).join(&used.subject[7..]);
    wait_for("the summary", || path.exists());
    let bytes = fs::read(&path).unwrap();
    let body = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
    let mut more: Value = serde_json::from_slice(body).unwrap();
    more["future"] = json!({ "key": [1, 2] });
    let more = summary("pakhuis-summary-1", &serde_json::to_vec(&more).unwrap());
    let other = summary("pakhuis-summary-2", b"of a form to come");
    for (newer, afterwards) in [(&more, &more), (&other, &bytes)] {
        fs::write(&path, newer).unwrap();
        used.server.crash_and_restart();
        let page = browser(&used.server).await.get("/ui/r/team/app:v1").await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains(&used.subject), "{}", page.text);
        assert_eq!(&fs::read(&path).unwrap(), afterwards);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_record_has_another_form_begins_anew() {
    let mut used = Used::new().await;
    let started = send(&used.server, Method::POST, "/v2/team/app/blobs/uploads/", &[], "").await;
    let location = started.headers()["location"].to_str().unwrap().to_owned();
    let sent = send(&used.server, Method::PATCH, &location, &[], "hello").await;
    assert_eq!((sent.status().as_u16(), &sent.headers()["range"]), (202, &"0-4".parse().unwrap()));
    let id = location.rsplit('/').next().unwrap();
    let state = used.path("repositories/team/app/_uploads").join(id).join("state");
    write(&state, &format!("{:2048}", "pakhuis-upload-3 of a form to come").into_bytes());
    used.server.crash_and_restart();
    let server = &used.server;
    assert_eq!(server.get(&location, PASSWORD).await.headers()["range"], "0--1");
    let next = [("content-range", "5-9")];
    assert_eq!(send(server, Method::PATCH, &location, &next, "world").await.status(), 416);
    let commit = format!("{location}?digest={}", sha256(b"hello world"));
    assert_eq!(send(server, Method::PUT, &commit, &[], "hello world").await.status(), 201);
    let blob = server.get(&format!("/v2/team/app/blobs/{}", sha256(b"hello world")), PASSWORD).await;
    assert_eq!(blob.text().await.unwrap(), "hello world");
}
