//! The audit log, and that no log has a secret.

use std::{fs, io::Write as _, process::Stdio};

use reqwest::Method;
use serde_json::Value;

use super::served::{PASSWORD, Served, pakhuis, wait_for};

fn records(server: &Served) -> Vec<Value> {
    let text = fs::read_to_string(server.path("audit.log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn find(records: &[Value], action: &str, outcome: &str) -> Value {
    let found = records.iter().find(|record| record["action"] == action && record["outcome"] == outcome);
    found.unwrap_or_else(|| panic!("no {action}, {outcome} in {records:#?}")).clone()
}

#[tokio::test]
async fn who_did_what_is_told_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    let server = Served::start(&format!("log.audit = {log:?}\n"));
    // As the helper looks for it.
    std::os::unix::fs::symlink(&log, server.path("audit.log")).unwrap();

    assert_eq!(server.get("/v2/", "hunter2hunter2").await.status(), 401);
    let stranger = server.request(Method::GET, "/v2/").basic_auth("my-password-by-mistake", Some("x"));
    assert_eq!(stranger.send().await.unwrap().status(), 401);
    let digest = server.push("team/app", "1.0").await;
    let delete = |path: &str| server.request(Method::DELETE, path).basic_auth("alice", Some(PASSWORD)).send();
    assert_eq!(delete("/v2/team/app/manifests/1.0").await.unwrap().status(), 202);
    assert_eq!(delete("/v2/team/app/manifests/absent").await.unwrap().status(), 404);
    let tagged = server.put_index(&format!("/v2/team/app/manifests/{digest}?tag=2.0&tag=2.1")).await;
    assert_eq!(tagged.status(), 201);
    let mut added = pakhuis();
    added.args(["add-user", "bob", "--password-stdin", "--config"]).arg(server.path("pakhuis.toml"));
    let mut added = added.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    added.stdin.take().unwrap().write_all(b"another long secret").unwrap();
    assert!(added.wait().unwrap().success());
    let bob = server.request(Method::GET, "/v2/").basic_auth("bob", Some("another long secret"));
    assert_eq!(bob.send().await.unwrap().status(), 200, "at once");

    for command in ["reindex", "export-referrers", "cert generate"] {
        let mut command = command.split(' ').fold(pakhuis(), |mut whole, word| {
            whole.arg(word);
            whole
        });
        command.arg("--config").arg(server.path("pakhuis.toml")).current_dir(directory.path());
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }

    wait_for("the records", || records(&server).len() >= 12);
    let records = records(&server);
    assert_eq!(find(&records, "sign-in", "done")["user"], "alice");
    assert_eq!(find(&records, "sign-in", "failed")["user"], "alice");
    let push = find(&records, "push", "done");
    assert_eq!(push["user"], "alice");
    assert_eq!(push["remote"], "127.0.0.1");
    assert_eq!(push["repository"], "team/app");
    assert_eq!(push["reference"], "1.0");
    assert_eq!(push["digest"], digest.as_str());
    assert!(push["span"]["id"].is_string(), "the id of the request: {push}");
    assert_eq!(find(&records, "delete", "done")["reference"], "1.0");
    assert_eq!(find(&records, "delete", "failed")["cause"], "MANIFEST_UNKNOWN");
    assert_eq!(find(&records, "add-user", "done")["about"], "bob");
    let sign_ins: Vec<_> = records.iter().filter(|record| record["action"] == "sign-in").collect();
    let told = |user: Value| sign_ins.iter().filter(|record| record["user"] == user).count();
    // Who was refused by the users of before was not refused.
    assert_eq!((sign_ins.len(), told("bob".into()), told(Value::Null)), (4, 1, 1), "{sign_ins:#?}");
    let by_digest = records.iter().find(|record| record["reference"] == digest.as_str()).unwrap();
    assert_eq!((&by_digest["action"], &by_digest["tags"]), (&"push".into(), &"2.0 2.1".into()));
    let volume = server.path("volume").to_string_lossy().into_owned();
    for (command, about) in
        [("reindex", volume.as_str()), ("export-referrers", &volume), ("cert generate", "./certs")]
    {
        let record = find(&records, command, "done");
        assert!(
            record["about"].as_str().unwrap().starts_with(about) && record["uid"].is_number(),
            "{record}"
        );
    }

    let everything = server.log() + &fs::read_to_string(&log).unwrap();
    for secret in [PASSWORD, "hunter2hunter2", "my-password-by-mistake", "another long secret", "Basic "] {
        assert!(!everything.contains(secret), "{secret} is in\n{everything}");
    }
    let line = server.log().lines().find(|line| line.contains("manifests/1.0")).unwrap().to_owned();
    for part in [r#""user":"alice""#, r#""repository":"team/app""#, r#""received":"#, r#""milliseconds":"#] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn an_audit_log_that_cannot_be_kept_is_a_reason_not_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/audit.log");
    let mut command = pakhuis();
    command.args(["serve", "--listen", "127.0.0.1:0", "--no-tls", "--no-auth"]);
    let output = command.env("PAKHUIS_AUDIT", &missing).current_dir(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write the audit log") && said.contains("missing/audit.log"), "{said}");
}
