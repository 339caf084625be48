use rustls::ProtocolVersion;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;

#[tokio::test]
async fn webpki_accepts_the_server_under_our_ca_for_every_name_and_address() {
    let (_directory, files) = started();
    let server = load(&config(&files)).unwrap().server_config();
    for name in ["registry.test", "any.wild.test", "127.0.0.1", "::1"] {
        let seen = connect(server.clone(), client_trusting(&files.ca_certificate), name).await.unwrap();
        assert_eq!(seen.chain_length, 2, "leaf and CA are sent");
        assert_eq!(seen.alpn, b"h2");
        assert_eq!(seen.version, ProtocolVersion::TLSv1_3);
    }
}

#[tokio::test]
async fn webpki_refuses_the_server_without_our_ca_and_under_another_name() {
    let (_directory, files) = started();
    let (_other, other) = started();
    let server = load(&config(&files)).unwrap().server_config();
    let attempts = [
        (client(b""), "registry.test", "UnknownIssuer"),
        (client_trusting(&other.ca_certificate), "registry.test", "UnknownIssuer"),
        (client_trusting(&files.ca_certificate), "elsewhere.test", "not valid for name"),
        (client_trusting(&files.ca_certificate), "a.b.wild.test", "not valid for name"),
        (client_trusting(&files.ca_certificate), "127.0.0.2", "not valid for name"),
    ];
    for (client, name, reason) in attempts {
        let error = connect(server.clone(), client, name).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[test]
fn the_leaf_is_what_every_client_wants() {
    let (_directory, files) = started();
    let der = CertificateDer::from_pem_file(&files.certificate).unwrap();
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let constraints = leaf.basic_constraints().unwrap().expect("CA:FALSE is written out");
    assert!(!constraints.value.ca && !leaf.is_ca());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    let serial = leaf.raw_serial();
    assert!(serial.len() <= 20 && (0x01..0x80).contains(&serial[0]), "{serial:?}");
    let validity = leaf.validity();
    let ago = OffsetDateTime::now_utc() - validity.not_before.to_datetime();
    assert!((59..=61).contains(&ago.whole_minutes()), "{ago}");
    let life = validity.not_after.to_datetime() - validity.not_before.to_datetime();
    assert_eq!(life.whole_days(), 397);
    assert_eq!(leaf.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2", "ecdsa-with-SHA256");
}

#[test]
fn the_authority_signs_leaves_and_nothing_else() {
    let (_directory, files) = started();
    let der = CertificateDer::from_pem_file(&files.ca_certificate).unwrap();
    let (_, authority) = X509Certificate::from_der(&der).unwrap();
    let constraints = authority.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = authority.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    let validity = authority.validity();
    let life = validity.not_after.to_datetime() - validity.not_before.to_datetime();
    assert_eq!(life.whole_days(), 3652);
    assert!(authority.extended_key_usage().unwrap().is_none());
}

#[test]
fn the_life_of_a_leaf_is_1_to_825_days() {
    let (directory, files) = started();
    for days in [0, 826] {
        let refused = renew(directory.path(), &Renewal { days, ..renewal() });
        assert!(matches!(refused, Err(TlsError::Days { days: named }) if named == days));
    }
    for days in [1, 825] {
        renew(directory.path(), &Renewal { days, ..renewal() }).unwrap();
        let facts = read_facts(&files.certificate).unwrap();
        assert_eq!((facts.not_after - facts.not_before).whole_days(), i64::from(days));
    }
}

#[test]
fn a_leaf_never_outlives_an_authority_from_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let files = CertificateDirectory::at(directory.path());
    write_authority(&files, 30, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    renew(directory.path(), &renewal()).unwrap();
    let (leaf, authority) =
        (read_facts(&files.certificate).unwrap(), read_facts(&files.ca_certificate).unwrap());
    assert_eq!(leaf.not_after, authority.not_after);
    assert_eq!(issued_by(&files.certificate, &files.ca_certificate).unwrap(), None);
}

#[test]
fn an_expired_authority_and_a_certificate_that_is_none_do_not_sign() {
    let directory = tempfile::tempdir().unwrap();
    let files = CertificateDirectory::at(directory.path());
    write_authority(&files, -1, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert!(matches!(renew(directory.path(), &renewal()), Err(TlsError::AuthorityExpired { .. })));
    write_authority(&files, 30, rcgen::IsCa::ExplicitNoCa);
    assert!(matches!(renew(directory.path(), &renewal()), Err(TlsError::NotAnAuthority { .. })));
    assert!(!files.certificate.exists());
}

/// An authority made by someone else, valid for `days` from now.
fn write_authority(files: &CertificateDirectory, days: i64, is_ca: rcgen::IsCa) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Elsewhere");
    params.is_ca = is_ca;
    params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(&files.ca_certificate, certificate.pem()).unwrap();
    std::fs::write(&files.ca_key, key.serialize_pem()).unwrap();
}
