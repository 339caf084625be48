//! What the gate runs on NFS 4.2, on one rig: it takes as long to boot as to load.

use crate::{
    faults, mixed,
    rig::{Registry, Rig},
    visibility, wire,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_visibility_calls_and_faults_on_nfs_4_2() {
    let mut rig = Rig::start(Registry::Pakhuis, "4.2");
    mixed::three_servers_answer_as_one(&rig).await;
    visibility::as_promised(&rig);
    wire::count_beside_the_reference(&mut rig).await;
    faults::each_fault(rig).await;
}
