//! Looks at what a cut left: through the library, as a server that starts on it would, and at the tree itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use pakhuis::{
    oci::{Digest, Reference, RepositoryName},
    registry::{BodyError, Config, Registry, RegistryError},
    storage::{self, Storage},
};
use tempfile::TempDir;

use crate::{
    history::{Seen, Thing},
    image::{Blob, Image},
    strict_file_system::crash::{Entry, Tree},
};

/// Where registry:2's tree is below the root that the servers were given.
const V2: &str = "docker/registry/v2/";

/// What must hold after one cut.
pub(crate) struct Expectation {
    pub(crate) things: BTreeMap<Thing, BTreeSet<Seen>>,
    pub(crate) images: Arc<BTreeMap<Digest, Image>>,
    /// What is pushed again, where and under which tag.
    pub(crate) push_again: Vec<(&'static str, Digest, Option<&'static str>)>,
}

/// What was found beyond violations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Tags that are listed and name nothing: a directory whose deciding file did not survive.
    pub(crate) ghosts: usize,
    /// Images that were pushed again.
    pub(crate) pushed_again: usize,
}

/// Digests of bytes that were looked at before: most files are the same after most cuts.
pub(crate) type Known = HashMap<*const u8, (Arc<Vec<u8>>, String)>;

/// The files themselves: no `data` that is not its digest, no `link` that is not one.
pub(crate) fn check_tree(tree: &Tree, known: &mut Known) -> Result<(), String> {
    for (path, entry) in &tree.0 {
        let (Some(path), Entry::File(bytes)) = (path.strip_prefix(V2), entry) else { continue };
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["blobs", algorithm, shard, hex, "data"] => {
                let found = digest_of(algorithm, bytes, known);
                if found != format!("{algorithm}:{hex}") || !hex.starts_with(shard) {
                    return Err(format!("{path} has the bytes of {found}, {} of them", bytes.len()));
                }
            }
            ["repositories", .., "_manifests", "tags", name] => {
                return Err(format!("{path}: registry:2 takes {name} for a tag"));
            }
            ["repositories", .., algorithm, hex, "link"]
                if hex != "current" && bytes.as_slice() != format!("{algorithm}:{hex}").as_bytes() =>
            {
                return Err(format!("{path} is {:?}", String::from_utf8_lossy(bytes)));
            }
            ["repositories", .., "_layers" | "revisions", algorithm, hex, "link"]
                if tree.file(&format!("{V2}blobs/{algorithm}/{}/{hex}/data", &hex[..2])).is_none() =>
            {
                return Err(format!("{path} names what is not stored"));
            }
            ["repositories", .., "link"] => {
                let digest = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Digest>().ok());
                if digest.is_none() {
                    return Err(format!("{path} is {:?}", String::from_utf8_lossy(bytes)));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn digest_of(algorithm: &str, bytes: &Arc<Vec<u8>>, known: &mut Known) -> String {
    let (_, digest) = known.entry(bytes.as_ptr()).or_insert_with(|| {
        let digest = algorithm.parse().map(|algorithm| Digest::of(algorithm, bytes).to_string());
        (bytes.clone(), digest.unwrap_or_default())
    });
    digest.clone()
}

/// What registry:2 needs to see a repository, and not to delete its data when it collects garbage.
fn check_repository(tree: &Tree, repository: &str) -> Result<(), String> {
    for part in ["_layers", "_manifests/revisions", "_manifests/tags"] {
        let path = format!("{V2}repositories/{repository}/{part}");
        if tree.0.get(&path) != Some(&Entry::Directory) {
            return Err(format!("{repository} has no {part}"));
        }
    }
    Ok(())
}

/// Opens what is left as a server does, and asks for everything.
pub(crate) async fn check_volume(root: &Path, tree: &Tree, expected: &Expectation) -> Result<Found, String> {
    let mut config = storage::Config::new(root);
    // What a dead server had is taken over at once.
    config.upload_takeover_after = std::time::Duration::ZERO;
    let storage = Storage::open(config).map_err(|error| format!("the volume cannot be opened: {error:?}"))?;
    let registry = Registry::new(storage, Config::default());
    let mut found = Found::default();
    for (thing, allowed) in &expected.things {
        let seen = look(&registry, thing, &expected.images).await?;
        if !allowed.contains(&seen) {
            return Err(format!("{thing:?} is {seen:?}, and may be {allowed:?}"));
        }
        if let (Thing::Manifest(repository, _), Some(_)) = (thing, &seen) {
            check_repository(tree, repository)?;
        }
    }
    found.ghosts = check_tags(&registry, expected).await?;
    for (repository, digest, tag) in &expected.push_again {
        push(&registry, repository, &expected.images[digest], *tag).await?;
        found.pushed_again += 1;
    }
    Ok(found)
}

/// What a client sees of a thing. It is an error when that is neither whole nor absent.
async fn look(registry: &Registry, thing: &Thing, images: &BTreeMap<Digest, Image>) -> Result<Seen, String> {
    let failed = |error: RegistryError| format!("{thing:?}: {error:?}");
    match thing {
        Thing::Blob(repository, digest) => match registry.open_blob(&name(repository), digest).await {
            Err(RegistryError::BlobUnknown(_)) => Ok(None),
            Err(error) => Err(failed(error)),
            Ok(reader) => {
                let bytes = read(&reader).await.map_err(|error| format!("{thing:?}: {error}"))?;
                let found = Digest::of(digest.algorithm(), &bytes);
                if found == *digest { Ok(Some(found)) } else { Err(format!("{thing:?} has other bytes")) }
            }
        },
        Thing::Manifest(repository, digest) => {
            manifest(registry, repository, Reference::Digest(digest.clone()), images).await
        }
        Thing::Tag(repository, tag) => {
            let tag = tag.parse().map_err(|error| format!("{tag}: {error:?}"))?;
            manifest(registry, repository, Reference::Tag(tag), images).await
        }
        Thing::Referrer(repository, subject, referrer) => {
            let page = registry.referrers(&name(repository), subject, None, None).await.map_err(failed)?;
            let listed = page.items.iter().find(|listed| listed.digest == *referrer);
            Ok(listed.map(|listed| listed.digest.clone()))
        }
    }
}

async fn read(reader: &pakhuis::registry::BlobReader) -> std::io::Result<Vec<u8>> {
    let Some(last) = reader.size().checked_sub(1) else { return Ok(Vec::new()) };
    let blocks: Vec<Bytes> = reader.read(0..=last).try_collect().await?;
    Ok(blocks.concat())
}

async fn manifest(
    registry: &Registry,
    repository: &str,
    reference: Reference,
    images: &BTreeMap<Digest, Image>,
) -> Result<Seen, String> {
    match registry.manifest(&name(repository), &reference).await {
        Err(RegistryError::ManifestUnknown(_)) => Ok(None),
        Err(error) => Err(format!("{repository} {reference:?}: {error:?}")),
        Ok(stored) => match images.get(&stored.digest) {
            Some(image) if image.manifest.bytes == stored.bytes => Ok(Some(stored.digest)),
            _ => Err(format!("{repository} {reference:?} leads to {:?}", stored.digest)),
        },
    }
}

/// Tags that certainly are there are listed. Returns how many are listed and lead nowhere.
async fn check_tags(registry: &Registry, expected: &Expectation) -> Result<usize, String> {
    let mut ghosts = 0;
    let repositories: BTreeSet<&str> = expected
        .things
        .keys()
        .filter_map(|thing| match thing {
            Thing::Tag(repository, _) => Some(*repository),
            _ => None,
        })
        .collect();
    for repository in repositories {
        let listed = match registry.tags(&name(repository), None, 1000).await {
            Err(RegistryError::NameUnknown(_)) => Vec::new(),
            Err(error) => return Err(format!("tags of {repository}: {error:?}")),
            Ok(page) => page.items,
        };
        for (thing, allowed) in &expected.things {
            if let Thing::Tag(of, tag) = thing
                && *of == repository
                && !allowed.contains(&None)
                && !listed.iter().any(|listed| listed.as_str() == *tag)
            {
                return Err(format!("{repository}:{tag} is not listed"));
            }
        }
        for tag in listed {
            let reference = Reference::Tag(tag);
            ghosts +=
                usize::from(manifest(registry, repository, reference, &expected.images).await?.is_none());
        }
    }
    Ok(ghosts)
}

/// The same push again, which must go through and be there then.
async fn push(registry: &Registry, repository: &str, image: &Image, tag: Option<&str>) -> Result<(), String> {
    let failed = |error: RegistryError| format!("pushing to {repository} again: {error:?}");
    let repository = name(repository);
    for Blob { digest, bytes } in &image.blobs {
        if registry.blob_size(&repository, digest).await.is_err() {
            let upload = registry.start_upload(&repository, digest.algorithm()).await.map_err(failed)?;
            let body = stream::iter([Ok::<_, BodyError>(bytes.clone())]).boxed();
            registry.commit_upload(&repository, &upload, None, body, digest, drop).await.map_err(failed)?;
        }
    }
    let digest = &image.manifest.digest;
    let tags: Vec<_> = tag.iter().filter_map(|tag| tag.parse().ok()).collect();
    let reference = Reference::Digest(digest.clone());
    let manifest = image.manifest.bytes.clone();
    let media_type = Some(image.media_type);
    // The images of an index may be lost with the cut, when they were not acknowledged: that is a right answer.
    match registry.put_manifest(&repository, &reference, &tags, media_type, manifest, drop).await {
        Err(RegistryError::ManifestBlobUnknown(_)) if image.blobs.is_empty() => return Ok(()),
        result => {
            if let Some(error) = result.map_err(failed)?.failure {
                return Err(failed(error.into()));
            }
        }
    }
    let reference = tags.first().map_or(reference, |tag| Reference::Tag(tag.clone()));
    let stored = registry.manifest(&repository, &reference).await.map_err(failed)?;
    if stored.digest != *digest {
        return Err(format!("{repository} {reference:?} was pushed again and is {:?}", stored.digest));
    }
    for blob in &image.blobs {
        let reader = registry.open_blob(&repository, &blob.digest).await.map_err(failed)?;
        if read(&reader).await.map_err(|error| error.to_string())? != blob.bytes {
            return Err(format!("{} was pushed again and has other bytes", blob.digest));
        }
    }
    Ok(())
}

fn name(repository: &str) -> RepositoryName {
    repository.parse().expect("a name of ours is a name")
}

/// A state is looked at in memory: nothing of it needs a disk.
pub(crate) fn memory_directory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let parent =
        if fs::metadata(&memory).is_ok_and(|found| found.is_dir()) { memory } else { env::temp_dir() };
    tempfile::Builder::new().prefix("pakhuis-power-loss-").tempdir_in(parent).expect("a directory")
}
