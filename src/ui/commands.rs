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

/// Commands that name an image in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// What way that is.
    pub(super) title: &'static str,
    pub(super) commands: Vec<Command>,
}

const BY_TAG: &str = "By tag: what it names today";
const BY_DIGEST: &str = "By digest: always exactly this";

/// For a container image, by the reference asked for and, for what must not change, by digest.
pub(super) fn for_image(
    host: &str,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
) -> Vec<Group> {
    let service = name.components().last().unwrap_or("app").replace(['.', '_'], "-");
    let pinned =
        Group { title: BY_DIGEST, commands: image_commands(&format!("{host}/{name}@{digest}"), &service) };
    match reference {
        Reference::Digest(_) => vec![pinned],
        Reference::Tag(_) => {
            let image = format!("{host}/{}", address::image(name, reference));
            vec![Group { title: BY_TAG, commands: image_commands(&image, &service) }, pinned]
        }
    }
}

fn image_commands(image: &str, service: &str) -> Vec<Command> {
    vec![
        command("Docker", format!("docker pull {image}")),
        command("Podman", format!("podman pull {image}")),
        command("Apptainer", format!("apptainer pull docker://{image}")),
        command("Skopeo, to a file", format!("skopeo copy docker://{image} docker-archive:{service}.tar")),
        command("Dockerfile", format!("FROM {image}")),
        command("Compose", format!("services:\n  {service}:\n    image: {image}")),
        command("Swarm", format!("docker service create --with-registry-auth --name {service} {image}")),
        command("Kubernetes", format!("containers:\n  - name: {service}\n    image: {image}")),
    ]
}

/// For an artifact.
pub(super) fn for_artifact(
    host: &str,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
    is_helm_chart: bool,
) -> Vec<Group> {
    let pinned = Group {
        title: BY_DIGEST,
        commands: vec![command("ORAS", format!("oras pull {host}/{name}@{digest}"))],
    };
    if matches!(reference, Reference::Digest(_)) {
        return vec![pinned];
    }
    let mut commands = Vec::new();
    if let (true, Reference::Tag(tag)) = (is_helm_chart, reference) {
        // Helm writes the `+` of a version as `_` in the tag.
        let version = tag.as_str().replace('_', "+");
        commands.push(command("Helm", format!("helm pull oci://{host}/{name} --version {version}")));
    }
    commands.push(command("ORAS", format!("oras pull {host}/{}", address::image(name, reference))));
    vec![Group { title: BY_TAG, commands }, pinned]
}
