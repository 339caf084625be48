//! `config/service-create` in place of `config/stack.yml`: the same service, without compose.

use serde_json::{Value, json};

use super::PATIENCE;
use super::registry::{Registry, config};
use crate::support::cluster::Node;
use crate::support::sandbox::wait_until;

/// What a service is told, but for its name, its labels, and the network of its own that a stack gets.
#[track_caller]
pub(super) fn told(manager: &Node, service: &str) -> Value {
    let spec = manager.run("docker", &["service", "inspect", "--format", "{{json .Spec}}", service]).ok();
    let spec: Value = serde_json::from_str(&spec).expect("JSON");
    let task = &spec["TaskTemplate"];
    let container = &task["ContainerSpec"];
    let files = |kind: &str, name: &str| {
        let all = container[kind].as_array().expect("files").iter();
        let mut all: Vec<_> = all.map(|file| format!("{} {}", file[name], file["File"])).collect();
        all.sort();
        all
    };
    let mut ports = spec["EndpointSpec"]["Ports"].as_array().expect("ports").clone();
    ports.sort_by_key(|port| port["TargetPort"].as_u64());
    let taken = ["Image", "User", "ReadOnly", "CapabilityDrop", "StopGracePeriod", "Env", "Mounts"];
    json!({
        "container": taken.map(|name| json!([name, container[name]])),
        "configs": files("Configs", "ConfigName"),
        "secrets": files("Secrets", "SecretName"),
        "restart": task["RestartPolicy"],
        "constraints": task["Placement"]["Constraints"],
        "on one node": task["Placement"]["MaxReplicas"],
        "mode": spec["Mode"],
        "update": spec["UpdateConfig"],
        "rollback": spec["RollbackConfig"],
        "endpoint": spec["EndpointSpec"]["Mode"],
        "ports": ports,
    })
}

/// Puts the service of the script in the place of the stack's, and pulls from it.
#[track_caller]
pub(super) fn takes_the_place_of_the_stack(registry: &Registry, manager: &Node, stack: &Value) {
    let is_gone = || manager.docker("ps --quiet --filter name=registry").is_empty();
    assert!(wait_until(PATIENCE, is_gone), "the stack's server is still there");
    let said = registry.with_variables(
        manager,
        &format!(
            "docker config create pakhuis-config-1 \"$PAKHUIS_CONFIG_FILE\" && {} --detach",
            config("service-create").display()
        ),
    );
    let is_healthy =
        || !manager.docker("ps --quiet --filter name=registry --filter health=healthy").is_empty();
    let is_healthy = wait_until(PATIENCE, is_healthy);
    assert!(is_healthy, "{said}\n{}", manager.docker("service ps --no-trunc registry"));
    let script = told(manager, "registry");
    assert!(script == *stack, "by the script: {script:#}\nby the stack: {stack:#}");
    let image = "registry.test:5000/stager/db:1";
    let _ = manager.try_docker(&format!("rmi --force {image}"));
    manager.docker(&format!("pull --quiet {image}"));
    manager.docker("service rm registry");
}
