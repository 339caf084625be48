use std::fs;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::super::reload::Look;
use super::*;

/// The serial number that a new connection is shown, as in [`CertificateFacts::serial`].
fn serial_of(stream: &tokio_rustls::client::TlsStream<TcpStream>) -> String {
    let (_, session) = stream.get_ref();
    let leaf = &session.peer_certificates().unwrap()[0];
    super::super::facts::from_der(Path::new("peer"), leaf).unwrap().serial
}

#[tokio::test]
async fn live_connections_survive_the_swap_and_new_ones_see_the_new_certificate() {
    let (directory, files) = started();
    let reloading = Arc::new(load(&config(&files)).unwrap());
    let shutdown = CancellationToken::new();
    let watching = tokio::spawn(Arc::clone(&reloading).watch(shutdown.clone(), |_| ()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // An echo server, as long as the test lives.
    let acceptor = TlsAcceptor::from(reloading.server_config());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(acceptor.accept(stream).await.unwrap());
                tokio::io::copy(&mut read, &mut write).await.unwrap();
            });
        }
    });
    let connect = || async {
        let name = ServerName::try_from("registry.test").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let client = client_trusting(&files.ca_certificate);
        TlsConnector::from(client).connect(name, stream).await.unwrap()
    };
    let mut old = connect().await;
    echo(&mut old).await;
    let before = read_facts(&files.certificate).unwrap().serial;
    assert_eq!(serial_of(&old), before);

    let path = directory.path().to_owned();
    tokio::task::spawn_blocking(move || renew(&path, &renewal()).unwrap()).await.unwrap();
    let after = read_facts(&files.certificate).unwrap().serial;
    assert_ne!(before, after);
    let deadline = Instant::now() + Duration::from_secs(10);
    while reloading.facts().serial != after {
        assert!(Instant::now() < deadline, "the new certificate never came into service");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    echo(&mut old).await;
    let mut new = connect().await;
    assert_eq!(serial_of(&new), after);
    echo(&mut new).await;
    echo(&mut old).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), watching).await.unwrap().unwrap();
}

async fn echo(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) {
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
}

#[test]
fn a_bad_pair_keeps_the_old_one_and_is_reported_once_a_change() {
    let (_directory, files) = started();
    let (_other, other) = started();
    let reloading = load(&config(&files)).unwrap();
    let in_service = reloading.facts();
    assert_eq!(reloading.look(), Look::Unchanged);
    let reports = |reloading: &ReloadingCertificate| {
        assert_eq!(reloading.look(), Look::Suspect);
        let Look::Refused(text) = reloading.look() else { panic!("not reported") };
        assert_eq!(reloading.look(), Look::Unchanged, "reported twice");
        text
    };
    // Mismatched, then half written, then gone: three changes.
    fs::copy(&other.private_key, &files.private_key).unwrap();
    assert!(reports(&reloading).contains("does not belong"));
    fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    assert!(reports(&reloading).contains("server.crt"));
    fs::remove_file(&files.certificate).unwrap();
    assert!(reports(&reloading).contains("No such file"));
    assert_eq!(reloading.facts(), in_service);
    // And at last the whole new pair.
    fs::copy(&other.certificate, &files.certificate).unwrap();
    assert_eq!(reloading.look(), Look::Swapped);
    assert_eq!(reloading.facts(), read_facts(&other.certificate).unwrap());
    assert_eq!(reloading.look(), Look::Unchanged);
}

#[test]
fn a_fault_that_goes_away_is_forgotten() {
    let (_directory, files) = started();
    let reloading = load(&config(&files)).unwrap();
    let good = fs::read(&files.private_key).unwrap();
    for _ in 0..2 {
        fs::write(&files.private_key, "").unwrap();
        assert_eq!(reloading.look(), Look::Suspect);
        assert!(matches!(reloading.look(), Look::Refused(_)));
        fs::write(&files.private_key, &good).unwrap();
        assert_eq!(reloading.look(), Look::Unchanged);
    }
}

#[test]
fn new_contents_of_the_same_size_and_time_are_noticed() {
    let (directory, files) = started();
    let reloading = load(&config(&files)).unwrap();
    let time = fs::metadata(&files.certificate).unwrap().modified().unwrap();
    renew(directory.path(), &renewal()).unwrap();
    for path in [&files.certificate, &files.private_key] {
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    assert_eq!(reloading.look(), Look::Swapped);
}

#[tokio::test]
async fn the_files_are_read_at_once_when_asked_for_and_a_new_pair_is_told() {
    let (directory, files) = started();
    let slow = Config { poll_interval: Duration::from_secs(3600), ..config(&files) };
    let reloading = Arc::new(load(&slow).unwrap());
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let told = move |taken| told.send(taken).unwrap();
    let watching = tokio::spawn(Arc::clone(&reloading).watch(shutdown.clone(), told));
    // The first look, at the start, is over.
    tokio::time::sleep(Duration::from_millis(200)).await;
    renew(directory.path(), &renewal()).unwrap();
    reloading.look_at_once();
    let heard = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await;
    assert_eq!(heard.unwrap(), Some(true));
    assert_eq!(reloading.facts(), read_facts(&files.certificate).unwrap());
    shutdown.cancel();
    watching.await.unwrap();
}
