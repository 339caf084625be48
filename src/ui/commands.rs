//! What to type to use an image, in the words of each client. Names and hosts are in grammar: none needs quoting.

use super::address;
use crate::oci::{Digest, Reference, RepositoryName};

/// A client, and what to type there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// Its name.
    pub(super) label: &'static str,
    /// How the line names the image, and the line.
    pub(super) lines: Vec<(&'static str, String)>,
}

const BY_TAG: &str = "By tag, what it names today";
const BY_DIGEST: &str = "By digest, always exactly this";

/// For a container image, by the reference asked for and, for what must not change, by digest.
pub(super) fn for_image(
    host: &str,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
) -> Vec<Tool> {
    let service = name.components().last().unwrap_or("app").replace(['.', '_'], "-");
    let mut names = vec![(BY_DIGEST, format!("{host}/{name}@{digest}"))];
    if matches!(reference, Reference::Tag(_)) {
        names.insert(0, (BY_TAG, format!("{host}/{}", address::image(name, reference))));
    }
    let tool = |label, line: &dyn Fn(&str) -> String| Tool {
        label,
        lines: names.iter().map(|(title, image)| (*title, line(image))).collect(),
    };
    vec![
        tool("Docker", &|image| format!("docker pull {image}")),
        tool("Podman", &|image| format!("podman pull {image}")),
        tool("Apptainer", &|image| format!("apptainer pull docker://{image}")),
        tool("Skopeo", &|image| format!("skopeo copy docker://{image} docker-archive:{service}.tar")),
        tool("Dockerfile", &|image| format!("FROM {image}")),
        tool("Compose", &|image| format!("services:\n  {service}:\n    image: {image}")),
        tool("Swarm", &|image| {
            format!("docker service create --with-registry-auth --name {service} {image}")
        }),
        tool("Kubernetes", &|image| format!("containers:\n  - name: {service}\n    image: {image}")),
    ]
}

/// For an artifact.
pub(super) fn for_artifact(
    host: &str,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
    is_helm_chart: bool,
) -> Vec<Tool> {
    let mut oras = vec![(BY_DIGEST, format!("oras pull {host}/{name}@{digest}"))];
    if matches!(reference, Reference::Tag(_)) {
        oras.insert(0, (BY_TAG, format!("oras pull {host}/{}", address::image(name, reference))));
    }
    let mut tools = vec![Tool { label: "ORAS", lines: oras }];
    if let (true, Reference::Tag(tag)) = (is_helm_chart, reference) {
        // Helm writes the `+` of a version as `_` in the tag.
        let version = tag.as_str().replace('_', "+");
        let line = format!("helm pull oci://{host}/{name} --version {version}");
        tools.insert(0, Tool { label: "Helm", lines: vec![(BY_TAG, line)] });
    }
    tools
}
