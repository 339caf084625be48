//! Files that change under a running server.

use rustix::process::Signal;

use super::served::{PASSWORD, Served, wait_for};

fn warning(reply: &reqwest::Response) -> String {
    reply.headers().get("warning").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_changed_configuration_is_followed_by_itself_and_at_once_on_sighup() {
    let server = Served::start("registry.warning = \"before\"\n");
    assert!(warning(&server.get("/v2/_catalog", PASSWORD).await).contains("before"));
    server.reconfigure("registry.warning = \"after\"\nregistry.delete_enabled = false\n");
    wait_for("the change is seen", || server.log().contains("the configuration was read again"));
    assert!(warning(&server.get("/v2/_catalog", PASSWORD).await).contains("after"));
    assert!(server.log().contains(r#""settings":"registry.delete_enabled""#), "{}", server.log());

    server.reconfigure("auth.max_requests_per_user = 0\n");
    server.signal(Signal::HUP);
    wait_for("SIGHUP is heard", || server.log().contains("auth.max_requests_per_user"));
    let reply = server.get("/v2/_catalog", PASSWORD).await;
    assert_eq!(reply.status(), 429);
    assert_eq!(warning(&reply), "");
    assert!(reply.text().await.unwrap().contains("TOOMANYREQUESTS"));
}

#[tokio::test]
async fn a_bad_configuration_is_refused_loudly_and_the_old_one_stays() {
    let mut server = Served::start("registry.warning = \"before\"\n");
    for mistake in ["registry.warnin = \"x\"\n", "registry.warning = \n", "auth.bcrypt_cost = 99\n"] {
        let before = server.log().matches("is refused").count();
        server.reconfigure(mistake);
        server.signal(Signal::HUP);
        wait_for("the refusal", || server.log().matches("is refused").count() > before);
        assert!(warning(&server.get("/v2/_catalog", PASSWORD).await).contains("before"), "{mistake}");
    }
    std::fs::remove_file(server.path("pakhuis.toml")).unwrap();
    let before = server.log().matches("is refused").count();
    server.signal(Signal::HUP);
    wait_for("the refusal", || server.log().matches("is refused").count() > before);
    assert!(warning(&server.get("/v2/_catalog", PASSWORD).await).contains("before"));
    server.stop();
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_gone_without_a_restart() {
    let rule = |allow: &str| {
        format!("auth.access = [{{ users = [\"alice\"], repositories = [\"*\"], allow = [{allow}] }}]\n")
    };
    let server = Served::start(&rule("\"pull\", \"push\""));
    server.push("team/app", "1").await;
    server.reconfigure(&rule("\"pull\""));
    server.signal(Signal::HUP);
    wait_for("the change is seen", || server.log().contains(r#""changed":"auth.access""#));
    let push = server.request(reqwest::Method::POST, "/v2/team/app/blobs/uploads/");
    assert_eq!(push.basic_auth("alice", Some(PASSWORD)).send().await.unwrap().status(), 403);
    assert_eq!(server.get("/v2/team/app/manifests/1", PASSWORD).await.status(), 200);
    assert!(!server.log().contains("need a restart"), "{}", server.log());

    server.reconfigure(&format!("{}auth.admins = [\"alice\"]\n", rule("\"pull\"")));
    server.signal(Signal::HUP);
    wait_for("an admin is made", || server.log().contains(r#""changed":"auth.admins""#));
    server.push("team/app", "2").await;
}

#[tokio::test]
async fn a_changed_token_of_a_target_is_told_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let target = |token: &str| {
        format!(
            "[events]\nqueue = {:?}\n[[events.target]]\nname = \"ci\"\nurl = \"http://127.0.0.1:9/hook?token={token}\"\n",
            directory.path()
        )
    };
    let server = Served::start(&target("hush-one"));
    server.reconfigure(&target("hush-two"));
    server.signal(Signal::HUP);
    wait_for("it is told", || server.log().contains(r#""settings":"events.target""#));
    assert!(server.log().contains("need a restart") && !server.log().contains("hush"), "{}", server.log());
}

#[tokio::test]
async fn users_are_read_again_on_sighup_and_each_refusal_is_counted_from_nothing() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics = format!("metrics.listen = \"{address}\"\n");
    let server = Served::start(&metrics);
    let count = async |what: &str, outcome: &str| {
        let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        let name = format!("pakhuis_reloads_total{{what=\"{what}\",outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name}is not in\n{text}"))
    };
    for what in ["configuration", "certificate", "users"] {
        assert_eq!([count(what, "taken").await, count(what, "refused").await], ["0", "0"], "{what}");
    }
    let users = std::fs::read_to_string(server.path("htpasswd")).unwrap();
    std::fs::write(server.path("htpasswd"), format!("{users}bob:no hash\n")).unwrap();
    server.reconfigure(&format!("{metrics}no = 1\n"));
    server.signal(Signal::HUP);
    wait_for("both are refused", || {
        server.log().contains("configuration is refused")
            && server.log().matches("read the user file").count() == 2
    });
    assert_eq!(count("configuration", "refused").await, "1");
    assert_eq!(count("users", "refused").await, "1");
}
