#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::oci::Algorithm;
use crate::oci::media_type;

fn digest(of: &str) -> Digest {
    Digest::of(Algorithm::Sha256, of.as_bytes())
}

fn descriptor(media_type: &str, of: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest(of).as_str(), "size": size })
}

fn summary(manifest: &Value, config: Option<&Value>) -> ImageSummary {
    let bytes = manifest.to_string();
    let config = config.map(Value::to_string);
    let parsed = Manifest::parse(bytes.as_bytes(), None).unwrap();
    ImageSummary::of_image(digest(&bytes), &parsed, bytes.len() as u64, config.as_ref().map(String::as_bytes))
}

fn image_facts(summary: &ImageSummary) -> &ImageFacts {
    let SummaryKind::Image(facts) = &summary.kind else { panic!("not an image: {:?}", summary.kind) };
    facts
}

fn artifact_facts(summary: &ImageSummary) -> &ArtifactFacts {
    let SummaryKind::Artifact(facts) = &summary.kind else { panic!("not an artifact: {:?}", summary.kind) };
    facts
}

/// As `docker build` before BuildKit wrote it.
fn docker_manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::DOCKER_MANIFEST,
        "config": descriptor(media_type::DOCKER_CONFIG, "config", 1500),
        "layers": [
            descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "base", 3_000_000),
            descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "app", 1_000_000),
        ],
    })
}

fn docker_config() -> Value {
    json!({
        "architecture": "amd64", "os": "linux", "created": "2026-03-04T05:06:07.123456789Z", "author": "ana",
        "config": {
            "Hostname": "", "AttachStdin": false, "User": "app:app", "ExposedPorts": { "8080/tcp": {} },
            "Env": ["PATH=/bin", "A=b"], "Cmd": ["serve"], "Entrypoint": ["/app"], "WorkingDir": "/srv",
            "Volumes": { "/data": {} }, "Labels": { "team": "x" }, "StopSignal": "SIGINT", "OnBuild": null,
        },
        "rootfs": { "type": "layers", "diff_ids": [] },
        "history": [
            { "created": "2026-03-01T00:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file in / " },
            { "created": "2026-03-01T00:00:01Z", "created_by": "/bin/sh -c #(nop)  CMD [\"sh\"]", "empty_layer": true },
            { "created": "2026-03-04T05:06:07Z", "created_by": "COPY app /app # buildkit", "comment": "buildkit.dockerfile.v0" },
        ],
    })
}

#[test]
fn a_docker_image() {
    let summary = summary(&docker_manifest(), Some(&docker_config()));
    assert_eq!(summary.media_type, media_type::DOCKER_MANIFEST);
    assert_eq!(summary.compressed_size, 4_001_500);
    assert_eq!(summary.platforms, ["linux/amd64"]);
    assert_eq!(summary.created.unwrap().year(), 2026);
    let facts = image_facts(&summary);
    let config = facts.config.as_ref().unwrap();
    assert_eq!((config.entrypoint.clone(), config.cmd.clone()), (vec!["/app".into()], vec!["serve".into()]));
    assert_eq!((&*config.user, &*config.working_directory), ("app:app", "/srv"));
    assert_eq!(
        (config.ports.clone(), config.volumes.clone()),
        (vec!["8080/tcp".into()], vec!["/data".into()])
    );
    assert_eq!(config.labels, [("team".to_owned(), "x".to_owned())]);
    assert!(!config.runs_as_root());
    let layers: Vec<_> = facts.steps.iter().map(|step| step.layer.as_ref().map(|layer| layer.size)).collect();
    assert_eq!(layers, [Some(3_000_000), None, Some(1_000_000)]);
}

#[test]
fn an_oci_image_with_nulls_a_variant_and_no_history() {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, "config", 2),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+zstd", "layer", 10)],
        "annotations": { "z": "1", "org.opencontainers.image.created": "2020-01-01T00:00:00+01:00" },
    });
    let config =
        json!({ "architecture": "arm64", "os": "linux", "variant": "v8", "config": null, "history": null });
    let summary = summary(&manifest, Some(&config));
    assert_eq!(summary.platforms, ["linux/arm64/v8"]);
    assert_eq!(summary.created.unwrap().year(), 2020, "the annotation stands in for the configuration");
    assert_eq!(summary.annotations[0].0, "org.opencontainers.image.created");
    let facts = image_facts(&summary);
    assert_eq!(facts.steps.len(), 1, "a layer without history is still a layer");
    assert!(facts.config.as_ref().unwrap().runs_as_root());
}

#[test]
fn history_and_layers_that_do_not_agree() {
    let mut config = docker_config();
    config["history"] = json!([{ "created_by": "one" }, { "created_by": "two" }, { "created_by": "three" }]);
    let long = summary(&docker_manifest(), Some(&config));
    assert_eq!(image_facts(&long).steps.iter().filter(|step| step.layer.is_some()).count(), 2);
    config["history"] = json!([{ "created_by": "one", "empty_layer": true }]);
    let short = summary(&docker_manifest(), Some(&config));
    assert_eq!(image_facts(&short).steps.len(), 3);
    assert_eq!(image_facts(&short).steps[0].layer, None);
}

/// As `docker buildx build --platform linux/amd64,linux/arm64` pushes it, with provenance.
fn index() -> Value {
    let entry = |name: &str, os: &str, architecture: &str| {
        let mut entry = descriptor(media_type::OCI_MANIFEST, name, 500);
        entry["platform"] = json!({ "os": os, "architecture": architecture });
        entry
    };
    let mut attestation = entry("attestation", "unknown", "unknown");
    attestation["annotations"] = json!({
        "vnd.docker.reference.digest": digest("amd").as_str(),
        "vnd.docker.reference.type": "attestation-manifest",
    });
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [entry("amd", "linux", "amd64"), entry("arm", "linux", "arm64"), attestation],
    })
}

fn child(name: &str, size: u64, created: &str) -> Arc<ImageSummary> {
    let mut config = docker_config();
    config["created"] = json!(created);
    let mut child = summary(&docker_manifest(), Some(&config));
    child.digest = digest(name);
    child.compressed_size = size;
    Arc::new(child)
}

fn index_of(manifest: &Value, children: &[Arc<ImageSummary>]) -> ImageSummary {
    let bytes = manifest.to_string();
    let parsed = Manifest::parse(bytes.as_bytes(), None).unwrap();
    ImageSummary::of_index(digest(&bytes), &parsed, bytes.len() as u64, children)
}

#[test]
fn an_index_adds_up_its_children_and_sets_attestations_apart() {
    let children = [
        child("arm", 200, "2026-01-02T00:00:00Z"),
        child("attestation", 7, "2027-01-01T00:00:00Z"),
        child("amd", 100, "2026-01-01T00:00:00Z"),
    ];
    let summary = index_of(&index(), &children);
    assert_eq!(summary.platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(summary.compressed_size, 307);
    assert_eq!((summary.created.unwrap().year(), summary.created.unwrap().day()), (2026, 2));
    let SummaryKind::Index(facts) = &summary.kind else { panic!("not an index") };
    assert_eq!(facts.size_range, Some((100, 200)));
    assert_eq!(facts.children[2].attests, Some(digest("amd")));
    assert_eq!(facts.children[2].platform, None);
}

#[test]
fn an_index_whose_children_are_elsewhere() {
    let summary = index_of(&index(), &[]);
    assert_eq!(summary.platforms, ["linux/amd64", "linux/arm64"]);
    let SummaryKind::Index(facts) = &summary.kind else { panic!("not an index") };
    assert_eq!((facts.size_range, summary.compressed_size, facts.child_count), (None, 0, 3));
    let empty =
        index_of(&json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] }), &[]);
    assert!(empty.platforms.is_empty());
}

#[test]
fn what_is_not_a_container_image_is_an_artifact() {
    let helm = summary(
        &json!({
            "schemaVersion": 2,
            "config": descriptor("application/vnd.cncf.helm.config.v1+json", "chart", 300),
            "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "tgz", 4000)],
        }),
        None,
    );
    assert_eq!(artifact_facts(&helm).artifact_type, "application/vnd.cncf.helm.config.v1+json");
    let cosign = summary(
        &json!({
            "schemaVersion": 2,
            "config": descriptor(media_type::OCI_CONFIG, "c", 233),
            "layers": [descriptor("application/vnd.dev.cosign.simplesigning.v1+json", "s", 252)],
        }),
        Some(&json!({ "architecture": "", "os": "" })),
    );
    assert!(cosign.platforms.is_empty());
    assert_eq!(artifact_facts(&cosign).file_count, 1);
    let mut layer = descriptor("text/plain", "hello", 6);
    layer["annotations"] = json!({ "org.opencontainers.image.title": "hello.txt" });
    let oras = summary(
        &json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "artifactType": "application/vnd.example",
            "config": descriptor(media_type::OCI_EMPTY, "{}", 2),
            "layers": [layer],
            "subject": descriptor(media_type::OCI_MANIFEST, "subject", 1),
        }),
        None,
    );
    assert_eq!(artifact_facts(&oras).artifact_type, "application/vnd.example");
    assert_eq!(artifact_facts(&oras).files[0].title.as_deref(), Some("hello.txt"));
    assert_eq!(oras.subject, Some(digest("subject")));
}

#[test]
fn a_configuration_that_is_garbage_is_not_shown() {
    let bytes = docker_manifest().to_string();
    let manifest = Manifest::parse(bytes.as_bytes(), None).unwrap();
    let deep = format!("{{\"config\":{}", "[".repeat(100_000));
    let deep_unknown = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for config in ["", "null", "[1]", "\"x\"", "{", "\u{feff}{}", "{\"history\":7}", &deep, &deep_unknown] {
        let summary = ImageSummary::of_image(digest("x"), &manifest, 1, Some(config.as_bytes()));
        let facts = image_facts(&summary);
        assert!(facts.config.is_none() || facts.config.as_ref().unwrap().env.is_empty());
        assert_eq!(facts.steps.len(), 2, "the layers are shown in any case: {config:.40}");
    }
    assert!(ImageSummary::of_image(digest("x"), &manifest, 1, Some(&[0xff, 0xfe])).platforms.is_empty());
}

#[test]
fn a_field_of_the_wrong_type_costs_only_itself() {
    let config = json!({
        "os": "linux", "architecture": ["amd64"], "created": 7, "author": null,
        "config": { "Env": "A=b", "Cmd": [1, "x", null, { "a": [1] }], "Labels": { "n": 1, "l": [[1]], "s": "t" },
                    "User": true, "ExposedPorts": ["80"], "Volumes": null, "Entrypoint": { "a": "b" } },
        "history": [{ "created_by": 1, "empty_layer": "yes" }],
    });
    let summary = summary(&docker_manifest(), Some(&config));
    let config = image_facts(&summary).config.as_ref().unwrap();
    assert_eq!((config.env.clone(), config.cmd.clone()), (vec!["A=b".into()], vec!["x".into()]));
    assert_eq!(config.labels.last().unwrap(), &("s".to_owned(), "t".to_owned()));
    assert!(config.ports.is_empty() && config.entrypoint.is_empty() && config.user.is_empty());
    assert_eq!(summary.created, None);
}

#[test]
fn nothing_grows_over_its_limit() {
    let many: Vec<String> = (0..2000).map(|number| format!("V{number}={}", "é".repeat(5000))).collect();
    let labels: serde_json::Map<_, _> = (0..2000).map(|number| (format!("l{number}"), json!("x"))).collect();
    let history: Vec<_> =
        (0..2000).map(|_| json!({ "created_by": "x".repeat(9000), "empty_layer": true })).collect();
    let config = json!({ "config": { "Env": many, "Labels": labels }, "history": history });
    let mut manifest = docker_manifest();
    manifest["annotations"] = (0..2000).map(|n| (format!("a{n}"), json!("y".repeat(9000)))).collect();
    manifest["layers"] = (0..2000)
        .map(|n| {
            descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &n.to_string(), u64::MAX / 2)
        })
        .collect();
    let summary = summary(&manifest, Some(&config));
    let facts = image_facts(&summary);
    let config = facts.config.as_ref().unwrap();
    let lists = [config.env.len(), config.labels.len(), facts.steps.len(), summary.annotations.len()];
    assert_eq!(lists, [MAX_ENTRIES; 4]);
    let texts = config.env.iter().chain(facts.steps.iter().map(|step| &step.instruction));
    assert!(
        texts.chain(summary.annotations.iter().map(|(_, value)| value)).all(|text| text.len() <= MAX_TEXT)
    );
    assert_eq!(summary.compressed_size, u64::MAX, "sizes that add up to more than fits do not overflow");
    assert_eq!(facts.layer_count, 2000);
    assert!(summary.weight() > 1_000_000);
}
