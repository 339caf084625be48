//! A directory that another server removes under a request, which on NFS is `ESTALE` at the next call in it.

use std::path::Path;

use crate::{
    each_call::Bench,
    requests::{Request, Scene},
    support::{
        server::Server,
        tracer::{Effect, Seen},
        volume::Volume,
    },
};

/// Calls with a name in a directory. Flushes of directories are not here: on NFS there are none.
const BY_NAME: [&str; 9] =
    ["open", "openat", "mkdir", "rename", "renameat", "link", "linkat", "unlink", "rmdir"];

/// Whether a call has such a name. What is in the directory of an upload goes with the upload, and this request with it;
/// a name that is opened once more was not found a moment ago.
fn is_by_name(calls: &[Seen], site: usize) -> bool {
    let call = &calls[site];
    let above = call.path.parent().and_then(Path::parent);
    let of_an_upload = above.is_some_and(|above| above.ends_with("_uploads"));
    let again =
        call.name.starts_with("open") && calls[..site].iter().any(|earlier| earlier.path == call.path);
    BY_NAME.contains(&call.name) && !of_an_upload && !again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_goes_on_when_its_directory_is_removed() {
    let volume = Volume::in_memory("size=64m");
    let mut bench = Bench { server: Server::traced(volume.root()), volume, number: 1 };
    let (mut cases, mut failed) = (0, Vec::new());
    for &request in Request::ALL {
        let calls = bench.calls_of(request).await;
        for site in (0..calls.len()).filter(|site| is_by_name(&calls, *site)) {
            bench.number += 1;
            let scene = Scene::prepare(request, bench.server.client(), bench.number).await;
            bench.server.tracer().arm(Some((site, Effect::Once("ESTALE"))));
            let answer = scene.send().await.expect("an answer");
            // The server may have done something of its own meanwhile.
            let calls = bench.server.tracer().disarm();
            let Some(call) = calls.get(site).filter(|_| is_by_name(&calls, site)) else { continue };
            cases += 1;
            if answer.status != request.success() {
                failed.push(format!("{request:?}: {} {}: {}", call.name, call.path.display(), answer.told()));
            }
            bench.volume.wipe();
        }
    }
    println!("stale: {cases} cases");
    assert!(cases > 300, "only {cases} cases met their call");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
