//! A sign-in that fails has the user file looked at.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::auth::verifier::looks::EVERY;

/// For what would never end if it went wrong, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

/// Nothing is seen by reading the file every few seconds.
fn never_read_again(config: &mut Config) {
    config.poll_interval = Duration::from_secs(3600);
}

fn bob() -> UserName {
    "bob".parse().unwrap()
}

/// A fixture that is followed, and the guard of that.
async fn followed(change: impl FnOnce(&mut Config)) -> (Fixture, tokio_util::sync::DropGuard) {
    let fixture = Fixture::with(change);
    let watch = fixture.watch();
    let gate = fixture.authenticator.gate.clone().unwrap();
    while !gate.looks.is_followed() {
        tokio::task::yield_now().await;
    }
    (fixture, watch)
}

impl Fixture {
    fn looks(&self) -> u64 {
        self.authenticator.gate.as_ref().unwrap().looks.begun()
    }
}

#[tokio::test]
async fn a_new_user_and_a_new_password_count_at_the_first_sign_in() {
    let (fixture, _watch) = followed(never_read_again).await;
    for round in 0..5 {
        assert_eq!(fixture.ask("bob", "his").await, Err(AuthError::Rejected), "round {round}");
        htpasswd::add_user(&fixture.file, &bob(), &hash("his", 4)).unwrap();
        assert_eq!(fixture.ask("bob", "his").await, Ok(Identity::User(bob())), "round {round}");
        let new = format!("new {round}");
        assert_eq!(fixture.ask("bob", &new).await, Err(AuthError::Rejected), "and is remembered");
        htpasswd::set_password(&fixture.file, &bob(), &hash(&new, 4)).unwrap();
        assert_eq!(fixture.ask("bob", &new).await, Ok(Identity::User(bob())), "round {round}");
        assert_eq!(fixture.ask("bob", "his").await, Err(AuthError::Rejected), "it was replaced");
        htpasswd::remove_user(&fixture.file, &bob()).unwrap();
        // Read because somebody else failed.
        assert_eq!(fixture.ask("nobody", "x").await, Err(AuthError::Rejected));
        assert_eq!(fixture.ask("bob", &new).await, Err(AuthError::Rejected), "he was removed");
    }
}

#[tokio::test]
async fn the_first_user_of_a_file_that_was_not_there_gets_in() {
    let (fixture, _watch) = followed(|config| {
        never_read_again(config);
        fs::remove_file(config.htpasswd.as_ref().unwrap()).unwrap();
    })
    .await;
    assert_eq!(fixture.ask("bob", "his").await, Err(AuthError::Rejected));
    htpasswd::add_user(&fixture.file, &bob(), &hash("his", 4)).unwrap();
    assert_eq!(fixture.ask("bob", "his").await, Ok(Identity::User(bob())));
}

#[tokio::test]
async fn a_removed_user_is_out_when_the_file_has_been_read_again() {
    let (fixture, _watch) = followed(|config| config.poll_interval = Duration::from_millis(100)).await;
    fixture.ask("ana", "right").await.unwrap();
    htpasswd::remove_user(&fixture.file, &ana()).unwrap();
    // The next one sees it, and has ended when the one after it begins.
    let seen = fixture.looks() + 2;
    let is_out = async {
        loop {
            let readings = fixture.looks();
            if fixture.ask("ana", "right").await.is_err() {
                break;
            }
            assert!(readings < seen, "{readings} readings");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, is_out).await.unwrap();
}

/// Has sign-ins of users who are not there fail, until `end`, and says how many did.
async fn fail(authenticator: Authenticator, task: u8, end: Arc<AtomicBool>) -> u64 {
    let remote = RemoteAddress(IpAddr::from([192, 0, 2, task]));
    let mut failed = 0;
    while !end.load(Ordering::Relaxed) {
        let guess = credentials(&format!("nobody-{task}-{failed}"), "guess");
        assert_eq!(authenticator.authenticate(Some(&guess), remote).await, Err(AuthError::Rejected));
        failed += 1;
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_failures_looks_no_more_often_and_does_not_delay_a_right_password() {
    let (fixture, _watch) = followed(never_read_again).await;
    let gate = fixture.authenticator.gate.clone().unwrap();
    let begin = Instant::now();
    let end = Arc::new(AtomicBool::new(false));
    let flood: Vec<_> =
        (0..20).map(|task| tokio::spawn(fail(fixture.authenticator.clone(), task, end.clone()))).collect();
    let mut times = Vec::new();
    while fixture.looks() < 8 {
        // A look has just ended: whoever waits for one now waits long.
        gate.looks.one_from_now().await;
        gate.proven.invalidate_all();
        let begin = Instant::now();
        fixture.ask("ana", "right").await.unwrap();
        times.push(begin.elapsed());
    }
    end.store(true, Ordering::Relaxed);
    let mut failed = 0;
    for task in flood {
        failed += task.await.unwrap();
    }
    let most = begin.elapsed().as_millis() / EVERY.as_millis() + 1;
    let looks = fixture.looks();
    assert!(failed > 2 * looks, "{failed} failures share {looks} looks");
    assert!(u128::from(looks) <= most, "{looks} looks for {failed} failures in {most} times {EVERY:?}");
    // A busy machine delays some of them; if they waited for a look, not one could be so quick.
    assert!(times.iter().any(|time| *time < EVERY * 3 / 4), "{times:?}");
}

#[tokio::test]
async fn who_is_in_the_file_and_who_is_not_take_the_same_steps() {
    for user in ["ana", "nobody"] {
        let (fixture, _watch) = followed(never_read_again).await;
        let steps = || (fixture.authenticator.hash_count(), fixture.looks());
        // The first look reads the file, since it has no stamp yet, and finds nothing new.
        for expected in [(1, 1), (1, 2)] {
            fixture.ask(user, "wrong").await.unwrap_err();
            assert_eq!(steps(), expected, "{user}");
        }
        htpasswd::add_user(&fixture.file, &bob(), &hash("his", 4)).unwrap();
        for expected in [(2, 3), (2, 4)] {
            fixture.ask(user, "wrong").await.unwrap_err();
            assert_eq!(steps(), expected, "{user}, another line has changed");
        }
        assert_eq!(fixture.authenticator.sign_ins().rejected, 4);
    }
}

#[tokio::test]
async fn who_goes_away_during_the_look_has_failed_all_the_same() {
    let (fixture, _watch) = followed(never_read_again).await;
    fixture.ask("ana", "wrong").await.unwrap_err();
    let answer = tokio::time::timeout(EVERY / 4, fixture.ask("ana", "wrong")).await;
    assert!(answer.is_err(), "it waits for a look, and the last one was just now");
    assert_eq!(fixture.authenticator.sign_ins().rejected, 2);
    htpasswd::add_user(&fixture.file, &bob(), &hash("his", 4)).unwrap();
    fixture.ask("bob", "his").await.unwrap();
    assert_eq!(fixture.authenticator.sign_ins().rejected, 2, "who got in was not refused");
}

#[tokio::test]
async fn a_file_server_that_hangs_keeps_nobody_for_long() {
    let (fixture, _watch) = followed(never_read_again).await;
    fs::remove_file(&fixture.file).unwrap();
    // Opening it waits for somebody who writes.
    rustix::fs::mkfifoat(rustix::fs::CWD, &fixture.file, 0o600.into()).unwrap();
    for _ in 0..2 {
        let answer = tokio::time::timeout(LONG, fixture.ask("bob", "his")).await;
        assert_eq!(answer.unwrap(), Err(AuthError::Rejected));
    }
    assert_eq!(fixture.ask("ana", "right").await, Ok(Identity::User(ana())));
    assert_eq!(fixture.looks(), 1, "one waits for the file server, and no other");
    let hung = fixture.file.with_extension("hung");
    fs::rename(&fixture.file, &hung).unwrap();
    htpasswd::add_user(&fixture.file, &bob(), &hash("his", 4)).unwrap();
    drop(fs::OpenOptions::new().write(true).open(hung).unwrap());
    assert_eq!(fixture.ask("bob", "his").await, Ok(Identity::User(bob())));
}
