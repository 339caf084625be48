//! What to type to use an image, in the words of each client. Names and hosts are in grammar: none needs quoting.

use super::address;
use crate::oci::{Digest, Reference, RepositoryName};

/// A line to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The client.
    pub(super) label: &'static str,
    /// The line.
    pub(super) line: String,
}

fn command(label: &'static str, line: String) -> Command {
    Command { label, line }
}

/// `docker pull host/name:tag`.
fn docker_pull(host: &str, name: &RepositoryName, reference: &Reference) -> String {
    format!("docker pull {host}/{}", address::image(name, reference))
}

/// For a container image, by the reference asked for and, for what must not change, by digest.
pub(super) fn for_image(
    host: &str,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
) -> Vec<Command> {
    let image = format!("{host}/{}", address::image(name, reference));
    let pinned = format!("{host}/{name}@{digest}");
    let service = name.components().last().unwrap_or("app").replace(['.', '_'], "-");
    let mut commands = vec![
        command("Docker", docker_pull(host, name, reference)),
        command("Docker, by digest", format!("docker pull {pinned}")),
        command("Podman", format!("podman pull {image}")),
        command("Apptainer", format!("apptainer pull docker://{image}")),
        command("Skopeo, to a file", format!("skopeo copy docker://{image} docker-archive:{service}.tar")),
        command("Dockerfile", format!("FROM {pinned}")),
        command("Swarm", format!("docker service create --with-registry-auth --name {service} {pinned}")),
        command("Compose, Kubernetes", format!("image: {pinned}")),
    ];
    if matches!(reference, Reference::Digest(_)) {
        commands.remove(1);
    }
    commands
}

/// For an artifact.
pub(super) fn for_artifact(
    host: &str,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
    is_helm_chart: bool,
) -> Vec<Command> {
    let mut commands = Vec::new();
    if let (true, Reference::Tag(tag)) = (is_helm_chart, reference) {
        // Helm writes the `+` of a version as `_` in the tag.
        let version = tag.as_str().replace('_', "+");
        commands.push(command("Helm", format!("helm pull oci://{host}/{name} --version {version}")));
    }
    commands.push(command("ORAS", format!("oras pull {host}/{}", address::image(name, reference))));
    if matches!(reference, Reference::Tag(_)) {
        commands.push(command("ORAS, by digest", format!("oras pull {host}/{name}@{digest}")));
    }
    commands
}
