//! The small sets of names and contents that requests are made of: so few that they collide all the time.

use std::sync::LazyLock;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Largest manifest the servers of this test accept, in bytes.
pub(crate) const MANIFEST_LIMIT: usize = 6000;
/// Most tags and repositories in one page.
pub(crate) const TAGS_PAGE: usize = 4;
pub(crate) const CATALOGUE_PAGE: usize = 2;
/// Most `?tag=` in one push.
pub(crate) const TAG_PARAMETERS: usize = 3;

/// One lies in another, and one has a name that looks like a route.
pub(crate) const REPOSITORIES: [&str; 4] = ["a", "a/b", "a-b", "tags/list"];
pub(crate) const BAD_REPOSITORIES: [&str; 3] = ["A", "a//b", "_a"];

/// An upload that was never started, and names that no upload can have.
pub(crate) const UNKNOWN_UPLOADS: [&str; 3] =
    ["b0a3c9de-7f44-4d5b-8f0f-6f0f6a3e9d11", "B0A3C9DE-7F44-4D5B-8F0F-6F0F6A3E9D11", ".."];

pub(crate) const BAD_DIGESTS: [&str; 4] =
    ["sha256:baddigest", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:", "latest:1"];

/// Tags, the referrers tag of the first manifest among them.
pub(crate) static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let fallback = sha256(&MANIFESTS[0].bytes).replace(':', "-");
    ["v1", "v2", "V1", "latest", "_"]
        .into_iter()
        .map(str::to_owned)
        .chain([fallback, "t".repeat(128)])
        .collect()
});
pub(crate) static BAD_TAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| vec![".v1".to_owned(), "-".to_owned(), "t".repeat(129)]);

/// Contents of blobs; the last is a manifest too.
pub(crate) static BLOBS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let long: Vec<u8> = (0..300_000_u32).map(|i| (i * 7 + i / 251) as u8).collect();
    vec![Vec::new(), b"{}".to_vec(), b"0123456789".to_vec(), long, MANIFESTS[0].bytes.clone()]
});

/// A body to push as a manifest, and the type clients push it with.
pub(crate) struct Body {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
}

pub(crate) static MANIFESTS: LazyLock<Vec<Body>> = LazyLock::new(manifests);

/// How many of the manifests, from the first, are asked for by digest, named as subjects, and so on.
pub(crate) const GOOD_MANIFESTS: usize = 15;

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}

fn layer(bytes: &[u8]) -> Value {
    descriptor("application/vnd.oci.image.layer.v1.tar", bytes)
}

fn manifests() -> Vec<Body> {
    let config = descriptor("application/vnd.oci.image.config.v1+json", b"{}");
    let empty = descriptor("application/vnd.oci.empty.v1+json", b"{}");
    let digits = layer(b"0123456789");
    let body = |name, media_type: &'static str, json: Value| {
        let bytes = json.to_string().into_bytes();
        Body { name, bytes, media_type }
    };
    let image = |name, more: Value| {
        let mut json =
            json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [digits] });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body(name, OCI_MANIFEST, json)
    };
    let index = |name, more: Value| {
        let mut json = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body(name, OCI_INDEX, json)
    };
    let of = |body: &Body| descriptor(body.media_type, &body.bytes);

    let plain = image("image", json!({}));
    let other = image("image-2", json!({ "layers": [digits, layer(b"")], "annotations": { "n": "2" } }));
    let docker = body(
        "docker",
        DOCKER_MANIFEST,
        json!({ "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": null,
            "config": descriptor("application/vnd.docker.container.image.v1+json", b"{}") }),
    );
    let list = body(
        "docker-list",
        DOCKER_LIST,
        json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [of(&docker)] }),
    );
    let both = index("index", json!({ "manifests": [of(&plain), of(&other)] }));
    let sbom = image(
        "sbom",
        json!({ "artifactType": "application/x-sbom", "subject": of(&plain), "config": empty, "layers": [layer(b"")] }),
    );
    let signature = image(
        "signature",
        json!({ "subject": of(&plain), "layers": [], "annotations": { "by": "alice", "é": "\"" },
            "config": descriptor("application/x-signature", b"{}") }),
    );
    let untyped = index("untyped-referrer", json!({ "subject": of(&plain) }));
    let typed =
        index("index-referrer", json!({ "artifactType": "application/x-sbom", "subject": of(&both) }));
    let mut by_sha512 = of(&plain);
    by_sha512["digest"] = json!(sha512(&plain.bytes));
    let of_sha512 =
        image("sha512-referrer", json!({ "artifactType": "application/x-sbom", "subject": by_sha512 }));
    let absent = layer(b"never uploaded");
    let foreign_type = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let foreign = image("foreign-layer", json!({ "layers": [descriptor(foreign_type, b"never uploaded")] }));
    let mut with_urls = absent.clone();
    with_urls["urls"] = json!(["https://elsewhere.example/layer"]);
    let elsewhere = image("layer-elsewhere", json!({ "layers": [with_urls] }));
    let cache = index("cache-of-blobs", json!({ "manifests": [digits, config] }));
    let fallback = index("referrers-tag", json!({ "manifests": [of(&sbom), of(&other), of(&cache)] }));
    let mut bare = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    let no_type = body("no-media-type", OCI_MANIFEST, bare.clone());

    bare["schemaVersion"] = json!(1);
    let schema_one = body("schema-1", OCI_MANIFEST, bare);
    let missing = image("missing-layer", json!({ "layers": [absent] }));
    let missing_child =
        index("missing-child", json!({ "manifests": [descriptor(OCI_MANIFEST, b"never"), of(&plain)] }));
    let ambiguous = image("image-and-index", json!({ "manifests": [of(&plain)] }));
    let large = image("too-large", json!({ "annotations": { "a": "x".repeat(MANIFEST_LIMIT) } }));
    let fits = image("as-large-as-allowed", json!({ "annotations": { "a": "" } }));
    let padding = MANIFEST_LIMIT - fits.bytes.len();
    let fits = image(fits.name, json!({ "annotations": { "a": "x".repeat(padding) } }));
    let bad_digest = image("bad-digest-within", json!({ "config": { "digest": "sha256:x", "size": 1 } }));
    let no_json = Body { name: "no-json", bytes: b"{".to_vec(), media_type: OCI_MANIFEST };
    vec![
        plain,
        other,
        docker,
        list,
        both,
        sbom,
        signature,
        untyped,
        typed,
        of_sha512,
        foreign,
        elsewhere,
        cache,
        fallback,
        no_type,
        fits,
        schema_one,
        missing,
        missing_child,
        ambiguous,
        large,
        bad_digest,
        no_json,
    ]
}
