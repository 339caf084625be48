//! The parts of one request: its route, its credentials, a manifest, the digest of what is pushed.

use std::{fs, hint::black_box, net::Ipv4Addr};

use criterion::{Criterion, Throughput};
use http::Method;
use pakhuis::{
    api::Route,
    auth::{self, Authenticator, Credentials, RemoteAddress},
    oci::{Algorithm, DigestHasher, Manifest, media_type},
};

const BLOCK: usize = 1 << 20;

/// The layers of a large image.
const LAYERS: usize = 40;

pub(crate) fn route(criterion: &mut Criterion) {
    let digest = "a".repeat(64);
    let paths = [
        ("manifest by tag", "/v2/team/project/app/manifests/1.2.3".to_owned()),
        ("blob", format!("/v2/team/project/app/blobs/sha256:{digest}")),
        ("upload", "/v2/team/project/app/blobs/uploads/8321ce74-c786-43aa-8bab-7a065cb6fc6a".to_owned()),
    ];
    let mut group = criterion.benchmark_group("route");
    for (name, path) in &paths {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| Route::parse(&Method::GET, black_box(path)).expect("a route"));
        });
    }
    group.finish();
}

/// A password that was proven before: what all requests but the first cost.
pub(crate) fn credentials(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let htpasswd = directory.path().join("htpasswd");
    let hash = bcrypt::hash("a password of a bench", 4).expect("a hash");
    fs::write(&htpasswd, format!("bench:{hash}\n")).expect("a file");
    let config = auth::Config { htpasswd: Some(htpasswd), ..auth::Config::default() };
    let authenticator = Authenticator::open(config).expect("an authenticator");
    let header = "Basic YmVuY2g6YSBwYXNzd29yZCBvZiBhIGJlbmNo";
    let remote = RemoteAddress(Ipv4Addr::LOCALHOST.into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    criterion.bench_function("credentials, proven before", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let credentials = Credentials::from_header(black_box(header)).expect("a header");
            authenticator.authenticate(credentials.as_ref(), remote).await.expect("the right password")
        });
    });
}

pub(crate) fn manifest(criterion: &mut Criterion) {
    let text = image_manifest();
    let mut group = criterion.benchmark_group("manifest");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse, 40 layers", |bencher| {
        bencher.iter(|| {
            Manifest::parse(black_box(text.as_bytes()), Some(media_type::OCI_MANIFEST)).expect("a manifest")
        });
    });
    group.finish();
}

fn image_manifest() -> String {
    let descriptor = |kind: &str, number: usize| {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{number:064x}","size":{number}}}"#)
    };
    let layers: Vec<_> = (1..=LAYERS)
        .map(|number| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", number))
        .collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        descriptor("application/vnd.oci.image.config.v1+json", 0),
        layers.join(",")
    )
}

pub(crate) fn digest(criterion: &mut Criterion) {
    let block = vec![0x5a; BLOCK];
    let mut group = criterion.benchmark_group("digest of 1 MiB");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        group.bench_function(algorithm.as_str(), |bencher| {
            let mut hasher = DigestHasher::new(algorithm);
            bencher.iter(|| hasher.update(black_box(&block)));
        });
    }
    group.finish();
}
