use std::ffi::OsString;
use std::fs;

use clap::Parser;
use tempfile::TempDir;
use time::Duration as Span;

use super::*;
use crate::tls::{CertificateDirectory, covers_name, read_facts};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    cert: Cert,
}

/// One run: exit code, standard output, standard error.
struct Ran(ExitCode, String, String);

fn try_run(arguments: &[&str], now: OffsetDateTime) -> anyhow::Result<Ran> {
    let program = Program::try_parse_from([&["cert"], arguments].concat())?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match program.cert.action {
        Action::Generate(generate) => generate.run(&mut out, &mut err),
        Action::Show(show) => show.run(&mut out),
        Action::Check(check) => check.run(&mut out, now),
    }?;
    Ok(Ran(code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap()))
}

fn run(arguments: &[&str]) -> Ran {
    try_run(arguments, OffsetDateTime::now_utc()).unwrap()
}

/// A directory made by `cert generate --name registry.test`, as text and as paths.
fn generated() -> (TempDir, String, CertificateDirectory) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let Ran(code, ..) =
        run(&["generate", "--directory", &path, "--name", "registry.test", "--name", "127.0.0.1"]);
    assert_eq!(code, ExitCode::SUCCESS);
    let files = CertificateDirectory::at(directory.path());
    (directory, path, files)
}

#[track_caller]
fn check(arguments: &[&str], in_days: i64, code: u8, text: &str) {
    let now = OffsetDateTime::now_utc() + Span::days(in_days);
    let Ran(actual, out, _) = try_run(&[&["check"], arguments].concat(), now).unwrap();
    assert_eq!(actual, ExitCode::from(code), "{out}");
    assert!(out.contains(text), "{out}");
}

#[test]
fn check_exit_codes_follow_the_calendar() {
    let (_keep, path, _) = generated();
    let directory = ["--directory", &path];
    check(&directory, 0, 0, "ok, 396 days left");
    check(&directory, 366, 0, "ok");
    check(&directory, 368, 3, "expires in 28 days");
    check(&[&directory[..], &["--within", "12h"]].concat(), 368, 0, "ok");
    check(&directory, 398, 3, "server.crt: expired on");
    check(&directory, -2, 3, "not valid before");
    check(&directory, 3640, 3, "ca.crt: expires in");
}

#[test]
fn check_finds_a_wrong_name_key_and_ca() {
    let (_keep, path, files) = generated();
    let (_other_keep, _, other) = generated();
    let directory = ["--directory", path.as_str()];
    let with = |more: &[&'static str]| [&directory[..], more].concat();
    check(&with(&["--name", "registry.test", "--name", "127.0.0.1"]), 0, 0, "ok");
    check(&with(&["--name", "registry.test", "--name", "other.test"]), 0, 3, "not for \"other.test\"");
    fs::copy(&other.ca_certificate, &files.ca_certificate).unwrap();
    check(&directory, 0, 3, "UnknownIssuer");
    fs::remove_file(&files.ca_certificate).unwrap();
    check(&directory, 0, 0, "ok");
    fs::copy(&other.private_key, &files.private_key).unwrap();
    check(&directory, 0, 3, "does not belong");
    let (certificate, key) = (files.certificate.to_str().unwrap(), files.private_key.to_str().unwrap());
    check(&["--certificate", certificate], 0, 0, "ok");
    check(&["--certificate", certificate, "--key", key], 0, 3, "does not belong");
}

#[test]
fn check_fails_when_it_cannot_read() {
    let (_keep, path, files) = generated();
    fs::write(&files.private_key, "nothing").unwrap();
    let now = OffsetDateTime::now_utc();
    assert!(try_run(&["check", "--directory", &path], now).is_err());
    fs::remove_file(&files.certificate).unwrap();
    assert!(try_run(&["check", "--directory", &path], now).is_err());
}

#[test]
fn generate_prints_the_paths_and_then_what_to_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/certs");
    let path = path.to_str().unwrap();
    let Ran(_, out, err) =
        run(&["generate", "--directory", path, "--name", "registry.test", "--port", "5443"]);
    let written = ["ca.key", "ca.crt", "server.key", "server.crt"].map(|name| format!("{path}/{name}\n"));
    assert_eq!(out, written.concat());
    assert!(
        err.contains(&format!("cp {path}/ca.crt /etc/docker/certs.d/registry.test:5443/ca.crt")),
        "{err}"
    );
}

#[test]
fn generate_again_renews_only_the_server_and_keeps_its_names() {
    let (_keep, path, files) = generated();
    let before = (fs::read(&files.ca_certificate).unwrap(), read_facts(&files.certificate).unwrap());
    let Ran(code, out, err) = run(&["generate", "--directory", &path, "--days", "90"]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(out, format!("{path}/server.key\n{path}/server.crt\n"));
    assert!(err.contains("nothing to do on other machines"), "{err}");
    let after = read_facts(&files.certificate).unwrap();
    assert_eq!(fs::read(&files.ca_certificate).unwrap(), before.0);
    assert_ne!(after.serial, before.1.serial);
    assert!(covers_name(&after, "registry.test") && covers_name(&after, "127.0.0.1"));
    assert_eq!((after.not_after - after.not_before).whole_days(), 90);
    let Ran(_, out, err) = run(&["generate", "--directory", &path, "--renew-ca"]);
    assert!(out.contains("ca.crt") && err.contains("certs.d/registry.test:5000/ca.crt"), "{err}");
    assert_ne!(fs::read(&files.ca_certificate).unwrap(), before.0);
}

#[test]
fn generate_refuses_with_the_exit_code_for_the_reason() {
    let (keep, path, files) = generated();
    for wrong in [["--name", "registry.test:5000"], ["--days", "826"], ["--days", "0"]] {
        let Ran(code, out, err) = run(&["generate", "--directory", &path, wrong[0], wrong[1]]);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{err}");
        assert!(err.starts_with("error: "), "{err}");
    }
    let lock = fs::File::create(keep.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(run(&["generate", "--directory", &path]).0, ExitCode::from(5));
    drop(lock);
    fs::remove_file(&files.ca_key).unwrap();
    let error = try_run(&["generate", "--directory", &path], OffsetDateTime::now_utc()).err().unwrap();
    assert!(error.to_string().contains("--renew-ca"), "{error}");
}

#[test]
fn show_ca_is_the_file_and_nothing_else() {
    let (_keep, path, files) = generated();
    let Ran(_, out, _) = run(&["show", "--directory", &path, "--ca"]);
    assert_eq!(out, fs::read_to_string(&files.ca_certificate).unwrap());
}

#[test]
fn show_speaks_to_people_and_to_programs() {
    let (_keep, path, files) = generated();
    let fingerprint = read_facts(&files.certificate).unwrap().sha256_fingerprint;
    let Ran(_, out, _) = run(&["show", "--directory", &path]);
    for text in
        ["ca.crt\n", "server.crt\n", "registry.test", "yes, it is a CA", "(396 days left)", &fingerprint]
    {
        assert!(out.contains(text), "{text}: {out}");
    }
    let Ran(_, out, _) = run(&["show", "--certificate", files.certificate.to_str().unwrap(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["dns_names"][0], "registry.test");
    assert_eq!(json[0]["ip_addresses"][0], "127.0.0.1");
    assert_eq!(json[0]["is_ca"], false);
    assert_eq!(json[0]["sha256_fingerprint"], fingerprint);
}

#[test]
fn durations_have_a_unit() {
    let good =
        [("30d", 30 * 86_400), ("12h", 43_200), ("90m", 5400), ("45s", 45), ("2w", 14 * 86_400), ("0d", 0)];
    for (text, seconds) in good {
        assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "30", "d", "-1d", "1.5h", "30 d", "30y", "99999999999d", "3é"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn every_help_ends_with_two_examples() {
    for arguments in [&["--help"][..], &["generate", "--help"], &["show", "--help"], &["check", "--help"]] {
        let arguments = [&["cert"], arguments].concat().into_iter().map(OsString::from);
        let help = Program::try_parse_from(arguments).err().unwrap().to_string();
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        assert_eq!(examples.trim_end().lines().count(), 2, "{help}");
    }
}
