//! A stack like that of the institute's data stager: a database, a service that is reached by an alias, and pages.

use std::fs;
use std::time::Duration;

use crate::support::cluster::Node;
use crate::support::sandbox::wait_until;

pub(super) struct Stack<'a> {
    manager: &'a Node,
}

impl<'a> Stack<'a> {
    pub(super) fn new(manager: &'a Node) -> Self {
        Self { manager }
    }

    /// Deploys it with these tags of its images.
    #[track_caller]
    pub(super) fn deploy(&self, service: &str, others: &str) {
        let data = self.manager.path().join("data");
        fs::create_dir_all(&data).expect("a directory to bind");
        let name = "registry.test:5000/stager";
        let text = format!(
            r#"version: "3.8"
services:
  db:
    image: {name}/db:{others}
    networks: {{inside: {{aliases: [database]}}}}
    volumes: ["{data}:/data"]
    deploy: {{endpoint_mode: dnsrr, placement: {{constraints: ["node.hostname == node1"]}}}}
  service:
    image: {name}/service:{service}
    networks: {{inside: {{aliases: [stager-api]}}}}
    stop_grace_period: 2s
    deploy:
      endpoint_mode: dnsrr
      placement: {{constraints: ["node.role == worker"], preferences: []}}
      update_config: {{order: stop-first, monitor: 2s}}
  ui:
    image: {name}/ui:{others}
    networks: [inside]
    ports: [{{target: 8080, published: 8080, mode: host}}]
    deploy: {{endpoint_mode: dnsrr, placement: {{constraints: ["node.hostname == node1"]}}}}
networks:
  inside: {{}}
"#,
            data = data.display()
        );
        let file = self.manager.path().join("stack.yml");
        fs::write(&file, text).expect("a stack file");
        self.manager
            .docker(&format!("stack deploy --with-registry-auth --compose-file {} stager", file.display()));
    }

    /// The digest that the registry names for a tag.
    #[track_caller]
    pub(super) fn digest_of(&self, name: &str) -> String {
        let said = self.manager.docker(&format!("pull registry.test:5000/{name}"));
        let start = said.find("sha256:").unwrap_or_else(|| panic!("no digest in: {said}"));
        said[start..start + "sha256:".len() + 64].to_owned()
    }

    /// Waits until a service runs, and insists that it is pinned to `digest`.
    #[track_caller]
    pub(super) fn assert_runs(&self, service: &str, digest: &str, patience: Duration) {
        let pinned = self.manager.docker(&format!(
            "service inspect --format {{{{.Spec.TaskTemplate.ContainerSpec.Image}}}} stager_{service}"
        ));
        assert!(pinned.ends_with(&format!("@{digest}")), "{service} is pinned to {pinned}, not {digest}");
        let filter = format!(
            "service ps --no-trunc --filter desired-state=running --format {{{{.Image}}}}|{{{{.CurrentState}}}} stager_{service}"
        );
        let running = wait_until(patience, || {
            let said = self.manager.docker(&filter);
            said.lines().count() == 1 && said.contains(digest) && said.contains("|Running")
        });
        assert!(running, "{}", self.told(service));
    }

    /// Waits until a service runs on a node.
    #[track_caller]
    pub(super) fn assert_runs_on(&self, service: &str, node: &str, patience: Duration) {
        let filter = format!(
            "service ps --filter desired-state=running --format {{{{.Node}}}}|{{{{.CurrentState}}}} stager_{service}"
        );
        let expected = format!("{node}|Running");
        let running = wait_until(patience, || self.manager.docker(&filter).starts_with(&expected));
        assert!(running, "{service} does not run on {node}\n{}", self.told(service));
    }

    /// Asks the service by its alias from the pages' container, over the network between the nodes.
    #[track_caller]
    pub(super) fn assert_answers(&self, text: &str) {
        let mut said = String::new();
        let answered = wait_until(Duration::from_secs(60), || {
            let container =
                self.manager.docker("ps --quiet --filter label=com.docker.swarm.service.name=stager_ui");
            // By hand: the wget of Debian's static busybox crashes.
            let ask = r#"printf "GET /text HTTP/1.0\r\n\r\n" | /bin/busybox nc -w 3 stager-api 8080"#;
            let asked = self.manager.run("docker", &["exec", &container, "/bin/busybox", "sh", "-c", ask]);
            said = format!("{}{}", asked.stdout, asked.stderr);
            asked.stdout.ends_with(&format!("\r\n\r\n{text}"))
        });
        assert!(answered, "stager-api says {said:?}, not {text:?}\n{}", self.told("service"));
    }

    /// Starts a service anew on a node that has forgotten its image, and so has to pull it.
    #[track_caller]
    pub(super) fn start_anew(&self, service: &str, node: &Node) {
        self.manager.docker(&format!("service scale --detach stager_{service}=0"));
        let running = format!("ps --quiet --filter name=stager_{service}");
        assert!(wait_until(Duration::from_secs(60), || node.docker(&running).is_empty()), "still there");
        // Docker keeps those that ended for a while, and their image with them.
        for container in node.docker(&running.replacen("ps", "ps --all", 1)).lines() {
            let _ = node.try_docker(&format!("rm --force {container}"));
        }
        let images = format!("images --quiet registry.test:5000/stager/{service}");
        for image in node.docker(&images).lines() {
            let _ = node.try_docker(&format!("rmi --force {image}"));
        }
        assert_eq!(node.docker(&images), "", "images are left");
        self.manager.docker(&format!("service scale --detach stager_{service}=1"));
    }

    pub(super) fn drain(&self, node: &str) {
        self.manager.docker(&format!("node update --availability drain {node}"));
    }

    pub(super) fn activate(&self, node: &str) {
        self.manager.docker(&format!("node update --availability active {node}"));
    }

    pub(super) fn remove(&self) {
        self.manager.docker("stack rm stager registry");
    }

    fn told(&self, service: &str) -> String {
        self.manager.docker(&format!("service ps --no-trunc stager_{service}"))
    }
}
