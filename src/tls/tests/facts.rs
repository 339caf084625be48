use std::fs;

use super::*;

#[test]
fn facts_say_what_stands_in_the_certificate() {
    let (_directory, files) = started();
    let facts = inspect(&fs::read(&files.certificate).unwrap()).unwrap();
    assert_eq!(facts.dns_names, ["registry.test", "*.wild.test"]);
    let addresses: Vec<String> = facts.ip_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1", "::1"]);
    assert_eq!(facts.subject, "CN=registry.test");
    assert!(facts.issuer.starts_with("CN=Pakhuis private CA "), "{}", facts.issuer);
    assert_eq!(facts.sha256_fingerprint.len(), 32 * 3 - 1);
    assert!(!facts.is_ca);
    let authority = read_facts(&files.ca_certificate).unwrap();
    assert!(authority.is_ca);
    assert_eq!(authority.subject, facts.issuer);
}

#[test]
fn names_are_covered_as_clients_match_them() {
    let (_directory, files) = started();
    let facts = read_facts(&files.certificate).unwrap();
    let table = [
        ("registry.test", true),
        ("REGISTRY.Test.", true),
        ("a.wild.test", true),
        ("wild.test", false),
        ("a.b.wild.test", false),
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("::1", true),
        ("[::1]", true),
        ("0:0:0:0:0:0:0:1", true),
        ("registry.test:5000", false),
        ("", false),
    ];
    for (host, covered) in table {
        assert_eq!(covers_name(&facts, host), covered, "{host:?}");
    }
}

#[test]
fn subject_names_are_parsed_or_refused_with_a_reason() {
    let good = [
        ("Registry.Example.ORG.", "registry.example.org"),
        ("*.example.org", "*.example.org"),
        ("host_1", "host_1"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8::7]", "2001:db8::7"),
    ];
    for (text, name) in good {
        assert_eq!(text.parse::<SubjectName>().unwrap().to_string(), name);
    }
    let long = format!("{}.test", "a".repeat(64));
    let bad = [
        "",
        "host:5000",
        "https://host",
        "a b",
        "ümlaut.test",
        "a..b",
        "*",
        "a.*.b",
        "*.*.b",
        "-",
        "1.2.3",
        &long,
    ];
    for text in bad {
        assert!(matches!(text.parse::<SubjectName>(), Err(TlsError::Name { .. })), "{text:?}");
    }
}

#[test]
fn the_default_names_work_on_this_host() {
    let names = default_names();
    for local in ["localhost", "127.0.0.1", "::1"] {
        assert_eq!(names.iter().filter(|name| *name == local).count(), 1, "{names:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    assert!(first_start(directory.path(), &names).unwrap().created);
}

#[test]
fn what_is_handed_out_is_the_ca_byte_for_byte_and_never_a_key() {
    let (_directory, files) = started();
    let ca = fs::read_to_string(&files.ca_certificate).unwrap();
    assert_eq!(read_public_certificates(&files.ca_certificate).unwrap(), ca);
    let key = fs::read_to_string(&files.ca_key).unwrap();
    fs::write(&files.ca_certificate, format!("Subject: us\n{key}{ca}{key}")).unwrap();
    assert_eq!(read_public_certificates(&files.ca_certificate).unwrap(), ca);
}
