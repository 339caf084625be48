//! A tag that has moved although the push that moved it failed: the flush of its name did.

use crate::{
    each_call::Bench,
    late::journal,
    requests::{Request, Scene},
    support::{
        registry::wait_for,
        server::Server,
        tracer::{Effect, Seen},
        volume::Volume,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tag_whose_flush_failed_is_in_the_journal() {
    let volume = Volume::in_memory("size=64m");
    let mut bench = Bench { server: Server::traced(volume.root()), volume, number: 1 };
    let calls = bench.calls_of(Request::MoveTag).await;
    let is_flush = |call: &Seen| call.name == "fsync" && call.path.ends_with("tags/1.0/current");
    let site = calls.iter().position(is_flush).expect("the flush of the tag's name");
    bench.number += 1;
    let scene = Scene::prepare(Request::MoveTag, bench.server.client(), bench.number).await;
    bench.server.tracer().arm(Some((site, Effect::Once("EIO"))));
    let answer = scene.send().await.expect("an answer");
    assert!(bench.server.tracer().disarm().get(site).is_some_and(is_flush), "another call was met");
    assert_eq!(answer.status, 503, "{}", answer.told());
    let digest = scene.image.digest();
    let tag = format!("/v2/{}/manifests/1.0", scene.repository);
    let named = scene.client.send("HEAD", &tag, b"").await;
    assert_eq!(named.header("docker-content-digest"), digest, "it has moved");
    let is_noted = || journal(bench.volume.root()).iter().any(|line| line["now"] == digest.as_str());
    wait_for("the journal", || async { is_noted() }).await;
}
