//! A page of the tags of a repository that has very many.

use std::{fs, hint::black_box, path::Path};

use criterion::Criterion;
use pakhuis::{
    oci::{Algorithm, Digest, RepositoryName},
    registry::{self, Registry},
    storage::{self, Storage},
};

const TAGS: usize = 100_000;
const PAGE: usize = 100;

pub(crate) fn tags(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let name: RepositoryName = "bench/tagged".parse().expect("a name");
    let storage = Storage::open(storage::Config::new(directory.path())).expect("a volume");
    write_tags(&storage.directory().join("repositories/bench/tagged/_manifests/tags"));
    let registry = Registry::new(storage, registry::Config::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("tags, page of 100 of 100,000");
    group.sample_size(20);
    for (place, last) in [("first", None), ("middle", Some("v050000"))] {
        group.bench_function(place, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| async { registry.tags(black_box(&name), last, PAGE).await.expect("a page") });
        });
    }
    group.finish();
}

/// As registry:2 writes them, without what they once named.
fn write_tags(tags: &Path) {
    let digest = Digest::of(Algorithm::Sha256, b"");
    for number in 0..TAGS {
        let current = tags.join(format!("v{number:06}/current"));
        fs::create_dir_all(&current).expect("a directory");
        fs::write(current.join("link"), digest.as_str()).expect("a link");
    }
}
