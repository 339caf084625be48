#![allow(clippy::unwrap_used)]

mod looks;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::{Password, PasswordHash, UserName, htpasswd};

const HERE: RemoteAddress = RemoteAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials::new(user.parse().unwrap(), Password::new(password.to_owned()))
}

fn hash(password: &str, cost: u32) -> PasswordHash {
    PasswordHash::create(&Password::new(password.to_owned()), cost).unwrap()
}

fn ana() -> UserName {
    "ana".parse().unwrap()
}

/// A user file with ana, whose password is "right", and an authenticator for it that is quick.
struct Fixture {
    _directory: tempfile::TempDir,
    file: PathBuf,
    authenticator: Authenticator,
}

impl Fixture {
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("htpasswd");
        htpasswd::add_user(&file, &ana(), &hash("right", 4)).unwrap();
        let mut config = quick(&file);
        change(&mut config);
        Self { _directory: directory, file, authenticator: Authenticator::open(config).unwrap() }
    }

    fn new() -> Self {
        Self::with(|_| ())
    }

    async fn ask(&self, user: &str, password: &str) -> Result<Identity, AuthError> {
        self.authenticator.authenticate(Some(&credentials(user, password)), HERE).await
    }

    fn watch(&self) -> tokio_util::sync::DropGuard {
        let shutdown = CancellationToken::new();
        let authenticator = self.authenticator.clone();
        let token = shutdown.clone();
        tokio::spawn(async move { authenticator.watch(token, |_| ()).await });
        shutdown.drop_guard()
    }

    /// Asks until the answer is `expected`; fails after 5 s, the promise for a change of the file.
    async fn until(&self, password: &str, expected: Result<Identity, AuthError>) {
        let begin = Instant::now();
        loop {
            let answer = self.ask("ana", password).await;
            if answer == expected {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(5), "still {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn quick(file: &Path) -> Config {
    Config {
        htpasswd: Some(file.to_owned()),
        bcrypt_cost: 4,
        max_failure_delay: Duration::ZERO,
        poll_interval: Duration::from_millis(50),
        ..Config::default()
    }
}

#[tokio::test]
async fn without_a_file_everybody_is_anonymous() {
    let open = Authenticator::open(Config::default()).unwrap();
    assert!(!open.requires_sign_in());
    assert_eq!(open.authenticate(None, HERE).await, Ok(Identity::Anonymous));
    assert_eq!(open.authenticate(Some(&credentials("x", "y")), HERE).await, Ok(Identity::Anonymous));
}

#[tokio::test]
async fn the_right_password_and_nothing_else() {
    let f = Fixture::new();
    assert_eq!(f.authenticator.authenticate(None, HERE).await, Err(AuthError::Missing));
    assert_eq!(f.ask("ana", "right").await, Ok(Identity::User(ana())));
    for (user, password) in
        [("ana", "wrong"), ("ana", ""), ("ana", "right\0right"), ("Ana", "right"), ("bob", "right")]
    {
        assert_eq!(f.ask(user, password).await, Err(AuthError::Rejected), "{user} {password}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_requests_with_one_new_credential_cost_one_hash() {
    let f = Fixture::new();
    for (password, hashes) in [("right", 1), ("wrong", 2)] {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let authenticator = f.authenticator.clone();
                tokio::spawn(async move {
                    authenticator.authenticate(Some(&credentials("ana", password)), HERE).await.is_ok()
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), password == "right");
        }
        assert_eq!(f.authenticator.hash_count(), hashes);
    }
    assert_eq!(f.authenticator.gate.as_ref().unwrap().flights.count(), 0);
    for _ in 0..5 {
        f.ask("ana", "right").await.unwrap();
        f.ask("ana", "wrong").await.unwrap_err();
    }
    assert_eq!(f.authenticator.hash_count(), 2, "proofs and failures are remembered");
}

#[tokio::test]
async fn who_goes_away_does_not_take_the_answer_along() {
    let f = Fixture::new();
    let first = f.authenticator.clone();
    let first =
        tokio::spawn(async move { first.authenticate(Some(&credentials("ana", "right")), HERE).await });
    tokio::task::yield_now().await;
    let second = f.authenticator.clone();
    let second =
        tokio::spawn(async move { second.authenticate(Some(&credentials("ana", "right")), HERE).await });
    tokio::task::yield_now().await;
    first.abort();
    assert_eq!(second.await.unwrap(), Ok(Identity::User(ana())));
    assert_eq!(f.authenticator.gate.as_ref().unwrap().flights.count(), 0);
}

#[tokio::test]
async fn a_proof_is_forgotten_after_its_lifetime() {
    let f = Fixture::with(|config| config.cache_lifetime = Duration::from_millis(50));
    f.ask("ana", "right").await.unwrap();
    tokio::time::sleep(Duration::from_millis(80)).await;
    f.ask("ana", "right").await.unwrap();
    assert_eq!(f.authenticator.hash_count(), 2);
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let f = Fixture::with(|config| {
        let file = config.htpasswd.as_ref().unwrap();
        htpasswd::set_password(file, &ana(), &hash("right", 10)).unwrap();
    });
    let gate = f.authenticator.gate.as_ref().unwrap();
    assert_eq!(gate.loaded.load().stand_in().cost(), 10, "the cost of the users there are");
    let mut times = [Duration::MAX; 2];
    let alike = |[known, unknown]: [Duration; 2]| known < unknown * 2 && unknown < known * 2;
    let mut round = 0;
    // The fastest of each is what it costs; a busy machine needs more tries until both had one undisturbed.
    while round < 3 || (round < 30 && !alike(times)) {
        for (user, time) in ["ana", "nobody"].into_iter().zip(&mut times) {
            let begin = Instant::now();
            f.ask(user, &format!("wrong{round}")).await.unwrap_err();
            *time = begin.elapsed().min(*time);
        }
        round += 1;
    }
    assert_eq!(f.authenticator.hash_count(), 2 * round);
    assert!(alike(times), "{times:?}");
}

#[tokio::test]
async fn failures_are_slowed_but_never_the_right_password() {
    let f = Fixture::with(|config| config.max_failure_delay = Duration::from_millis(400));
    let begin = Instant::now();
    for _ in 0..3 {
        f.ask("ana", "wrong").await.unwrap_err();
    }
    assert!(begin.elapsed() >= Duration::from_millis(700), "100 + 200 + 400 ms");
    let slowed = f.authenticator.clone();
    let slowed =
        tokio::spawn(async move { slowed.authenticate(Some(&credentials("ana", "wrong")), HERE).await });
    tokio::task::yield_now().await;
    let begin = Instant::now();
    f.ask("ana", "right").await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(300), "{:?}", begin.elapsed());
    assert_eq!(slowed.await.unwrap(), Err(AuthError::Rejected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_wrong_passwords_does_not_keep_another_address_out() {
    let f = Fixture::with(|config| {
        config.concurrent_hashes = NonZeroUsize::new(1);
        config.max_waiting_per_address = 4;
        // Dear enough that the crowd arrives faster than it is dealt with.
        let file = config.htpasswd.as_ref().unwrap();
        htpasswd::set_password(file, &ana(), &hash("right", 8)).unwrap();
    });
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let authenticator = f.authenticator.clone();
            tokio::spawn(async move {
                let credentials = credentials("ana", &format!("guess{n}"));
                let remote = RemoteAddress(IpAddr::from([192, 0, 2, 1]));
                authenticator.authenticate(Some(&credentials), remote).await
            })
        })
        .collect();
    assert_eq!(f.ask("ana", "right").await, Ok(Identity::User(ana())));
    let mut busy = 0;
    for task in tasks {
        match task.await.unwrap() {
            Err(AuthError::Busy) => busy += 1,
            answer => assert_eq!(answer, Err(AuthError::Rejected)),
        }
    }
    assert!(busy > 0, "at most five guesses are taken in at once");
    assert_eq!(f.authenticator.hash_count() + busy, 61, "who is turned away costs no hash");
}

#[tokio::test]
async fn a_change_of_the_file_counts_also_for_what_was_proven() {
    let f = Fixture::new();
    let _watch = f.watch();
    f.ask("ana", "right").await.unwrap();
    f.ask("ana", "other").await.unwrap_err();
    htpasswd::set_password(&f.file, &ana(), &hash("other", 4)).unwrap();
    f.until("other", Ok(Identity::User(ana()))).await;
    assert_eq!(f.ask("ana", "right").await, Err(AuthError::Rejected));
    htpasswd::remove_user(&f.file, &ana()).unwrap();
    f.until("other", Err(AuthError::Rejected)).await;
    htpasswd::add_user(&f.file, &ana(), &hash("right", 4)).unwrap();
    f.until("right", Ok(Identity::User(ana()))).await;
    fs::remove_file(&f.file).unwrap();
    f.until("right", Err(AuthError::Rejected)).await;
    assert_eq!(f.authenticator.user_count(), Some(0));
}

#[tokio::test]
async fn the_last_users_stay_for_a_while_when_the_file_cannot_be_read() {
    let f = Fixture::with(|config| config.read_error_grace = Duration::from_millis(600));
    let _watch = f.watch();
    fs::remove_file(&f.file).unwrap();
    fs::create_dir(&f.file).unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(f.ask("ana", "right").await, Ok(Identity::User(ana())));
    f.until("right", Err(AuthError::Unavailable)).await;
    assert_eq!(f.authenticator.user_count(), None);
    fs::remove_dir(&f.file).unwrap();
    htpasswd::add_user(&f.file, &ana(), &hash("right", 4)).unwrap();
    f.until("right", Ok(Identity::User(ana()))).await;
}

#[tokio::test]
async fn a_file_that_could_never_be_read_lets_nobody_in() {
    let directory = tempfile::tempdir().unwrap();
    let authenticator = Authenticator::open(quick(directory.path())).unwrap();
    let answer = authenticator.authenticate(Some(&credentials("ana", "right")), HERE).await;
    assert_eq!(answer, Err(AuthError::Unavailable));
    let authenticator = Authenticator::open(quick(&directory.path().join("absent"))).unwrap();
    let answer = authenticator.authenticate(Some(&credentials("ana", "right")), HERE).await;
    assert_eq!(answer, Err(AuthError::Rejected));
}

#[tokio::test]
async fn watching_ends_with_the_server() {
    for config in [Config::default(), Fixture::new().authenticator.gate.unwrap().config.clone()] {
        let shutdown = CancellationToken::new();
        let authenticator = Authenticator::open(config).unwrap();
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), authenticator.watch(shutdown, |_| ())).await.unwrap();
    }
}

#[tokio::test]
async fn the_file_is_read_at_once_when_asked_for_and_each_change_is_told() {
    let fixture = Fixture::with(|config| config.poll_interval = Duration::from_secs(3600));
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (authenticator, ears) = (fixture.authenticator.clone(), heard.clone());
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let watching = async move { authenticator.watch(token, |taken| ears.lock().unwrap().push(taken)).await };
    let (_guard, _watching) = (shutdown.drop_guard(), tokio::spawn(watching));
    htpasswd::set_password(&fixture.file, &ana(), &hash("other", 4)).unwrap();
    fixture.authenticator.look_at_once();
    fixture.until("other", Ok(Identity::User(ana()))).await;
    let text = fs::read_to_string(&fixture.file).unwrap();
    fs::write(&fixture.file, format!("{text}bob:plain text\n")).unwrap();
    fixture.authenticator.look_at_once();
    let begin = Instant::now();
    while heard.lock().unwrap().len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*heard.lock().unwrap(), [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_stays_changed_while_the_file_is_read_again() {
    let fixture = Fixture::with(|config| config.poll_interval = Duration::from_micros(50));
    let _guard = fixture.watch();
    let mut old = "right".to_owned();
    for round in 0..200 {
        let new = format!("password {round}");
        let [from, to] = [&old, &new].map(|password| Password::new(password.clone()));
        fixture.authenticator.change_password(&ana(), &from, &to, HERE).await.unwrap();
        let stamp = fixture.authenticator.session_stamp("ana");
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_micros(200)).await;
            assert_eq!(fixture.authenticator.session_stamp("ana"), stamp, "round {round}");
        }
        old = new;
    }
}
