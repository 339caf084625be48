use std::fs;

use super::*;

#[test]
fn each_fault_is_named_with_its_file() {
    let (_directory, files) = started();
    let (_other, other) = started();
    let read = || load(&config(&files)).unwrap_err();
    let restore = |path: &Path, content: &[u8]| fs::write(path, content).unwrap();
    let (certificate, key) = (fs::read(&files.certificate).unwrap(), fs::read(&files.private_key).unwrap());

    fs::copy(&other.private_key, &files.private_key).unwrap();
    let error = read();
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
    assert!(error.to_string().contains("server.key"), "{error}");

    restore(&files.private_key, b"");
    assert!(matches!(read(), TlsError::NoPrivateKey { path } if path == files.private_key));
    restore(
        &files.private_key,
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert!(matches!(read(), TlsError::EncryptedPrivateKey { path } if path == files.private_key));
    restore(&files.private_key, &vec![b'x'; 1024 * 1024 + 1]);
    assert!(matches!(read(), TlsError::TooLarge { path } if path == files.private_key));
    fs::remove_file(&files.private_key).unwrap();
    assert!(matches!(read(), TlsError::Read { path, .. } if path == files.private_key));
    restore(&files.private_key, &key);

    restore(&files.certificate, &key);
    assert!(matches!(read(), TlsError::NoCertificate { path } if path == files.certificate));
    restore(&files.certificate, &certificate[..certificate.len() / 4]);
    assert!(matches!(read(), TlsError::InvalidCertificate { path, .. } if path == files.certificate));
    restore(&files.certificate, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(matches!(read(), TlsError::InvalidCertificate { path, .. } if path == files.certificate));
    restore(&files.certificate, &certificate);
    load(&config(&files)).unwrap();
}

#[test]
fn no_error_or_debug_text_carries_key_material() {
    let (_directory, files) = started();
    let key = fs::read_to_string(&files.private_key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let damaged = [
        key.replace("-----END PRIVATE KEY-----", ""),
        key.replace("-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY "),
        key.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"),
        key.replacen(secret, &format!("{secret}!!"), 1),
        key.replacen(secret, &secret[4..], 1),
    ];
    let loaded = format!("{:?}", load(&config(&files)).unwrap());
    assert!(loaded.contains("registry.test") && !loaded.contains(&secret[..16]));
    for content in damaged {
        // In the key's own file, and pasted into the certificate's.
        for path in [&files.private_key, &files.certificate] {
            let before = fs::read(path).unwrap();
            fs::write(path, &content).unwrap();
            let error = load(&config(&files)).unwrap_err();
            let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(!text.contains(&secret[4..20]), "{text}");
            // Some parser errors list the line as bytes.
            let bytes = format!("{:?}", &secret.as_bytes()[4..20]);
            assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
            fs::write(path, before).unwrap();
        }
    }
}

#[tokio::test]
async fn sessions_resume_in_tls_1_3_and_1_2() {
    let (_directory, files) = started();
    let server = load(&config(&files)).unwrap().server_config();
    // Without it sessions would still resume, but only the last 256, out of rustls' own memory.
    assert!(server.ticketer.enabled());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca_certificate).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(crate::tls::identity::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        let first = connect(server.clone(), client.clone(), "registry.test").await.unwrap();
        assert_eq!(first.version, version.version);
        assert_ne!(first.kind, HandshakeKind::Resumed);
        let second = connect(server.clone(), client, "registry.test").await.unwrap();
        assert_eq!(second.kind, HandshakeKind::Resumed, "{:?}", version.version);
    }
}
