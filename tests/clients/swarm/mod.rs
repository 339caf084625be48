//! The registry as a service of the swarm that depends on it: put there by the files in `config`, deployed from,
//! updated while images are pulled, and left alone when a node goes.

mod images;
mod registry;
mod script;
mod stack;

use std::time::{Duration, Instant};

use crate::support::cluster::{Cluster, address};
use images::{build, push};
use registry::Registry;
use stack::Stack;

/// How long a service may take to run somewhere else: a crash is seen after 12 to 14 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// The whole life of a stack in one go: nodes, engines and the registry are the dear part.
#[test]
fn a_stack_lives_from_a_registry_that_is_a_service_of_its_swarm() {
    let begin = Instant::now();
    let told = |what: &str| println!("{:5.1} s: {what}", begin.elapsed().as_secs_f64());
    // Both servers of the registry under one name, as a name server would give them.
    let hosts = format!("{} registry.test\n{} registry.test\n", address(1), address(2));
    let mut cluster = Cluster::start(3, &hosts);
    told("three nodes");
    let registry = Registry::prepare(&cluster);
    registry.deploy(&cluster);
    told("the registry runs on two of them, from config/stack.yml");

    // Before the node trusts and signs in: what a person sees.
    let image = "registry.test:5000/stager/service:1";
    let node = &cluster.nodes[2];
    node.try_docker(&format!("pull {image}"))
        .refused_with(&["x509: certificate signed by unknown authority"]);
    registry.trust(&cluster);
    node.try_docker(&format!("pull {image}")).refused_with(&["no basic auth credentials", "unauthorized"]);
    Registry::sign_in(&cluster.nodes[0], "alice");
    Registry::sign_in(node, "deploy");
    told("nodes trust and sign in, by config/trust and docker login");

    let manager = &cluster.nodes[0];
    let first = push(manager, &build(manager, "stager/service:1", "one"));
    let _ = push(manager, &build(manager, "stager/db:1", "db"));
    let _ = push(manager, &build(manager, "stager/ui:1", "ui"));
    let stack = Stack::new(manager);
    // The stack has a user of its own, which may pull and nothing else.
    Registry::sign_in(manager, "stager");
    manager.docker(&format!("pull --quiet {image}"));
    manager.try_docker(&format!("push {image}")).refused_with(&["you are signed in, but may not do this"]);
    manager.docker(&format!("rmi {image}"));
    stack.deploy("1", "1");
    stack.assert_runs("service", &first, PATIENCE);
    stack.assert_runs("ui", &stack.digest_of("stager/ui:1"), PATIENCE);
    stack.assert_answers("one");
    told("the stack runs, pinned to the digests that the registry names");

    Registry::sign_in(manager, "alice");
    let second = push(manager, &build(manager, "stager/service:2", "two"));
    assert_ne!(first, second);
    Registry::sign_in(manager, "stager-2");
    stack.deploy("2", "1");
    stack.assert_runs("service", &second, PATIENCE);
    stack.assert_answers("two");
    told("updated to a new tag");

    let pulls = Registry::update_while_pulling(&cluster, image);
    println!("{} pulls while both servers were replaced, {} failed", pulls.done, pulls.failed.len());
    assert!(pulls.failed.is_empty(), "{:#?}", pulls.failed);
    assert!(pulls.done >= 5, "too few to tell: {}", pulls.done);
    told("the registry was replaced, one server after the other");

    let pulls = registry.roll_back_while_pulling(&cluster, image);
    println!("{} pulls while an update failed and was taken back, {} failed", pulls.done, pulls.failed.len());
    assert!(pulls.failed.is_empty(), "{:#?}", pulls.failed);
    assert!(pulls.done >= 5, "too few to tell: {}", pulls.done);
    told("an update to an image that does not become healthy was taken back by the swarm");

    stack.drain("node3");
    stack.assert_runs_on("service", "node2", PATIENCE);
    stack.assert_answers("two");
    stack.activate("node3");
    told("a node was drained");

    cluster.nodes[1].crash();
    let manager = &cluster.nodes[0];
    let stack = Stack::new(manager);
    stack.assert_runs_on("service", "node3", PATIENCE);
    stack.assert_answers("two");
    // One of the two servers of the registry went with the node; the other one serves.
    manager.docker(&format!("rmi --force {image}"));
    manager.docker(&format!("pull --quiet {image}"));
    told("a node crashed, with one server of the registry on it");

    registry.revoke(&cluster.nodes[0], &["deploy", "stager"], &cluster.nodes[2]);
    told("the user of the node was revoked, and the user that the stack had first");
    stack.start_anew("service", &cluster.nodes[2]);
    stack.assert_runs("service", &second, PATIENCE);
    stack.assert_answers("two");
    told("a node pulls for the stack as the user that it was rotated to");

    let by_the_stack = script::told(manager, "registry_registry");
    stack.remove();
    script::takes_the_place_of_the_stack(&registry, manager, &by_the_stack);
    told("config/service-create made the same service, and an image was pulled from it");
}
