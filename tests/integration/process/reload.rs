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
