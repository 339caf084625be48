//! How requests are made up: steps that say what to ask of what is there, so that most requests make sense, and that
//! still mean something when the steps before them are left out.

use proptest::{prelude::*, sample::select};

use crate::{
    alphabet::{
        BAD_DIGESTS, BAD_REPOSITORIES, BAD_TAGS, BLOBS, DOCKER_MANIFEST, GOOD_MANIFESTS, MANIFESTS,
        OCI_INDEX, OCI_MANIFEST, REPOSITORIES, TAGS, UNKNOWN_UPLOADS, sha256, sha512,
    },
    call::{Call, Start},
    specification::Specification,
};

/// A request to one of the servers.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) server: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// All of it is known beforehand.
    Call(Call),
    /// To an upload, which has its name from the server.
    Upload(Which, ToUpload),
    /// About a digest that some request before has made.
    Known { repository: String, number: usize, about: AboutDigest },
}

#[derive(Clone, Debug)]
enum Which {
    /// One of the latest, counted back.
    Recent(usize),
    /// A recent one, asked for in another repository.
    Elsewhere(usize, String),
    Unknown(&'static str),
}

#[derive(Clone, Debug)]
enum ToUpload {
    Status,
    Cancel,
    Patch(Range, Vec<u8>),
    Put(PutDigest, Range, Vec<u8>),
}

#[derive(Clone, Debug)]
enum Range {
    None,
    Right,
    RightAsRfc,
    TooFar,
    TooShort,
    FromZero,
    Malformed(&'static str),
}

#[derive(Clone, Debug)]
enum PutDigest {
    Sha256,
    Sha512,
    OfOther,
    Malformed(&'static str),
    None,
}

#[derive(Clone, Debug)]
enum AboutDigest {
    Head,
    Get,
    DeleteBlob,
    Mount(Option<String>),
    Manifest,
    DeleteManifest,
    Referrers,
}

impl Step {
    /// The request itself, given what has happened.
    pub(crate) fn call(&self, so_far: &Specification) -> Call {
        match &self.what {
            What::Call(call) => call.clone(),
            What::Upload(which, what) => to_upload(which, what, so_far),
            What::Known { repository, number, about } => {
                let count = so_far.digests().count().max(1);
                let digest = so_far.digests().nth(number % count).cloned();
                about_digest(repository.clone(), digest.unwrap_or_else(|| sha256(b"")), about)
            }
        }
    }
}

fn to_upload(which: &Which, what: &ToUpload, so_far: &Specification) -> Call {
    let recent = |back: &usize| so_far.started_uploads().iter().rev().nth(*back).cloned();
    let nowhere = || (REPOSITORIES[0].to_owned(), UNKNOWN_UPLOADS[0].to_owned());
    let (repository, upload) = match which {
        Which::Recent(back) => recent(back).unwrap_or_else(nowhere),
        Which::Elsewhere(back, repository) => {
            (repository.clone(), recent(back).map_or_else(|| nowhere().1, |(_, upload)| upload))
        }
        Which::Unknown(upload) => (REPOSITORIES[0].to_owned(), (*upload).to_owned()),
    };
    let stored = so_far.upload(&repository, &upload).unwrap_or_default();
    match what {
        ToUpload::Status => Call::UploadStatus { repository, upload },
        ToUpload::Cancel => Call::CancelUpload { repository, upload },
        ToUpload::Patch(range, body) => {
            let range = range.of(stored.len(), body.len());
            Call::Patch { repository, upload, range, body: body.clone() }
        }
        ToUpload::Put(digest, range, body) => {
            let whole = [stored, body].concat();
            let digest = match digest {
                PutDigest::Sha256 => Some(sha256(&whole)),
                PutDigest::Sha512 => Some(sha512(&whole)),
                PutDigest::OfOther => Some(sha256(b"other")),
                PutDigest::Malformed(text) => Some((*text).to_owned()),
                PutDigest::None => None,
            };
            let range = range.of(stored.len(), body.len());
            Call::PutUpload { repository, upload, digest, range, body: body.clone() }
        }
    }
}

impl Range {
    fn of(&self, offset: usize, length: usize) -> Option<String> {
        let last = (offset + length).saturating_sub(1);
        Some(match self {
            Self::None => return None,
            Self::Right => format!("{offset}-{last}"),
            Self::RightAsRfc => format!("bytes {offset}-{last}/*"),
            Self::TooFar => format!("{}-{}", offset + 1, last + 1),
            Self::TooShort => format!("{offset}-{}", last + 1),
            Self::FromZero => format!("0-{}", length.saturating_sub(1)),
            Self::Malformed(text) => (*text).to_owned(),
        })
    }
}

fn about_digest(repository: String, digest: String, about: &AboutDigest) -> Call {
    let (range, etag) = (None, None);
    match about {
        AboutDigest::Head => Call::ReadBlob { repository, digest, head: true, range, etag },
        AboutDigest::Get => Call::ReadBlob { repository, digest, head: false, range, etag },
        AboutDigest::DeleteBlob => Call::DeleteBlob { repository, digest },
        AboutDigest::Mount(from) => {
            Call::StartUpload { repository, start: Start::Mount { digest, from: from.clone() } }
        }
        AboutDigest::Manifest => Call::ReadManifest { repository, reference: digest, head: false, etag },
        AboutDigest::DeleteManifest => Call::DeleteManifest { repository, reference: digest },
        AboutDigest::Referrers => Call::Referrers { repository, digest, artifact_type: None },
    }
}

/// Pushes of the blobs that most manifests need.
pub(crate) fn prelude() -> Vec<Step> {
    let repository = REPOSITORIES[0].to_owned();
    let pushes = BLOBS[..3].iter().map(|body| {
        let start = Start::Monolithic { digest: sha256(body), body: body.clone() };
        Step { server: 0, what: What::Call(Call::StartUpload { repository: repository.clone(), start }) }
    });
    pushes.collect()
}

/// Steps to `servers` servers.
pub(crate) fn step(servers: usize) -> impl Strategy<Value = Step> {
    (0..servers, what()).prop_map(|(server, what)| Step { server, what })
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => start_upload().prop_map(What::Call),
        14 => monolithic().prop_map(What::Call),
        4 => mount().prop_map(What::Call),
        22 => (which(), to_upload_strategy()).prop_map(|(which, what)| What::Upload(which, what)),
        8 => read_blob().prop_map(What::Call),
        1 => (repository(), digest())
            .prop_map(|(repository, digest)| What::Call(Call::DeleteBlob { repository, digest })),
        24 => put_manifest().prop_map(What::Call),
        16 => read_manifest().prop_map(What::Call),
        4 => delete_manifest().prop_map(What::Call),
        6 => list_tags().prop_map(What::Call),
        3 => (n(), last_repository()).prop_map(|(n, last)| What::Call(Call::Catalogue { n, last })),
        6 => referrers().prop_map(What::Call),
        14 => (repository(), 0..40_usize, about())
            .prop_map(|(repository, number, about)| What::Known { repository, number, about }),
        1 => other().prop_map(What::Call),
    ]
}

fn repository() -> impl Strategy<Value = String> {
    prop_oneof![
        80 => Just(REPOSITORIES[0]),
        25 => Just(REPOSITORIES[1]),
        12 => select(&REPOSITORIES[2..]),
        1 => select(&BAD_REPOSITORIES[..]),
    ]
    .prop_map(str::to_owned)
}

fn tag() -> impl Strategy<Value = String> {
    // One is meant to be met again and again.
    prop_oneof![20 => Just(TAGS[0].clone()), 20 => select(&TAGS[..]), 1 => select(&BAD_TAGS[..])]
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    // The long one is for ranges and pieces; the short ones are what manifests need.
    prop_oneof![6 => select(&BLOBS[..3]), 1 => select(&BLOBS[3..])]
}

fn digest() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => blob().prop_map(|bytes| sha256(&bytes)),
        4 => blob().prop_map(|bytes| sha512(&bytes)),
        4 => manifest_digest(),
        1 => select(&BAD_DIGESTS[..]).prop_map(str::to_owned),
    ]
}

fn manifest_digest() -> impl Strategy<Value = String> {
    (0..GOOD_MANIFESTS, prop::bool::weighted(0.2)).prop_map(|(number, long)| {
        let bytes = &MANIFESTS[number].bytes;
        if long { sha512(bytes) } else { sha256(bytes) }
    })
}

fn start_upload() -> impl Strategy<Value = Call> {
    let start = prop_oneof![
        8 => Just(Start::Plain),
        1 => select(&["sha256", "sha512", "md5"][..]).prop_map(|name| Start::Algorithm(name.to_owned())),
    ];
    (repository(), start).prop_map(|(repository, start)| Call::StartUpload { repository, start })
}

fn monolithic() -> impl Strategy<Value = Call> {
    let named = prop_oneof![
        20 => Just(PutDigest::Sha256),
        3 => Just(PutDigest::Sha512),
        1 => Just(PutDigest::OfOther),
        1 => select(&BAD_DIGESTS[..]).prop_map(PutDigest::Malformed),
    ];
    (repository(), blob(), named).prop_map(|(repository, body, named)| {
        let digest = match named {
            PutDigest::Sha512 => sha512(&body),
            PutDigest::OfOther => sha256(b"other"),
            PutDigest::Malformed(text) => text.to_owned(),
            PutDigest::Sha256 | PutDigest::None => sha256(&body),
        };
        Call::StartUpload { repository, start: Start::Monolithic { digest, body } }
    })
}

fn mount() -> impl Strategy<Value = Call> {
    (repository(), digest(), prop::option::weighted(0.7, repository())).prop_map(
        |(repository, digest, from)| Call::StartUpload { repository, start: Start::Mount { digest, from } },
    )
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        20 => (0..3_usize).prop_map(Which::Recent),
        1 => (0..3_usize, repository()).prop_map(|(back, repository)| Which::Elsewhere(back, repository)),
        1 => select(&UNKNOWN_UPLOADS[..]).prop_map(Which::Unknown),
    ]
}

fn to_upload_strategy() -> impl Strategy<Value = ToUpload> {
    let put = prop_oneof![
        20 => Just(PutDigest::Sha256),
        4 => Just(PutDigest::Sha512),
        2 => Just(PutDigest::OfOther),
        2 => select(&BAD_DIGESTS[..]).prop_map(PutDigest::Malformed),
        2 => Just(PutDigest::None),
    ];
    prop_oneof![
        3 => Just(ToUpload::Status),
        1 => Just(ToUpload::Cancel),
        8 => (range(), chunk()).prop_map(|(range, body)| ToUpload::Patch(range, body)),
        6 => (put, range(), chunk()).prop_map(|(digest, range, body)| ToUpload::Put(digest, range, body)),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    prop_oneof![
        16 => Just(Range::None),
        10 => Just(Range::Right),
        2 => Just(Range::RightAsRfc),
        3 => Just(Range::TooFar),
        1 => Just(Range::TooShort),
        3 => Just(Range::FromZero),
        2 => select(&["x", "5-2", "0-", "-5", "bytes=0-1", ""][..]).prop_map(Range::Malformed),
    ]
}

fn chunk() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => select(&["", "01234", "56789", "0123456789", "{}", "{", "}"][..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => select(&BLOBS[3..]),
    ]
}

fn read_blob() -> impl Strategy<Value = Call> {
    const RANGES: [&str; 16] = [
        "bytes=0-0",
        "bytes=0-3",
        "bytes=2-",
        "bytes=-2",
        "bytes=-0",
        "bytes=5-2",
        "bytes=9-",
        "bytes=10-",
        "bytes=100-200",
        "bytes=1-100000000",
        "bytes=0-1,3-4",
        "bytes=7-8, 0-1,50-60",
        "bytes=0-9,0-9,1-9",
        "bytes=x",
        "items=0-1",
        "bytes=262143-262144",
    ];
    let range = prop::option::weighted(0.5, select(&RANGES[..]).prop_map(str::to_owned));
    (repository(), digest(), any::<bool>(), range, prop::option::weighted(0.1, digest())).prop_map(
        |(repository, digest, head, range, etag)| {
            let etag = etag.map(|digest| format!("\"{digest}\""));
            Call::ReadBlob { repository, digest, head, range, etag }
        },
    )
}

fn put_manifest() -> impl Strategy<Value = Call> {
    let number = prop_oneof![8 => select(&[0, 1, 5, 6, 8][..]), 8 => 0..GOOD_MANIFESTS, 1 => GOOD_MANIFESTS..MANIFESTS.len()];
    let reference = prop_oneof![
        12 => tag().prop_map(Some),
        6 => Just(None),
        1 => manifest_digest().prop_map(Some),
        1 => select(&BAD_DIGESTS[..]).prop_map(|text| Some(text.to_owned())),
    ];
    let tags = prop_oneof![6 => Just(Vec::new()), 2 => prop::collection::vec(tag(), 1..5)];
    let media_type = prop_oneof![
        20 => Just(Some(None)),
        2 => Just(None),
        2 => select(&["application/json; charset=utf-8", OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, "text/html"][..])
            .prop_map(|text| Some(Some(text))),
    ];
    (repository(), number, reference, prop::bool::weighted(0.15), tags, media_type).prop_map(
        |(repository, number, reference, long, tags, media_type)| {
            let manifest = &MANIFESTS[number];
            let own = || if long { sha512(&manifest.bytes) } else { sha256(&manifest.bytes) };
            let media_type = media_type.map(|other| other.unwrap_or(manifest.media_type).to_owned());
            let reference = reference.unwrap_or_else(own);
            Call::PutManifest { repository, reference, tags, media_type, body: manifest.bytes.clone() }
        },
    )
}

fn reference() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => tag(),
        5 => manifest_digest(),
        1 => digest(),
    ]
}

fn read_manifest() -> impl Strategy<Value = Call> {
    (repository(), reference(), any::<bool>(), prop::option::weighted(0.1, manifest_digest())).prop_map(
        |(repository, reference, head, etag)| {
            let etag = etag.map(|digest| format!("\"{digest}\""));
            Call::ReadManifest { repository, reference, head, etag }
        },
    )
}

fn delete_manifest() -> impl Strategy<Value = Call> {
    (repository(), reference())
        .prop_map(|(repository, reference)| Call::DeleteManifest { repository, reference })
}

fn list_tags() -> impl Strategy<Value = Call> {
    let last = prop::option::of(prop_oneof![
        3 => select(&TAGS[..]),
        1 => select(&["", "L", "v", "v11", "~"][..]).prop_map(str::to_owned),
    ]);
    (repository(), n(), last).prop_map(|(repository, n, last)| Call::ListTags { repository, n, last })
}

fn n() -> impl Strategy<Value = Option<String>> {
    let text = prop_oneof![
        5 => select(&["1", "2", "3", "4", "100", "99999999999999999999999"][..]),
        1 => Just("0"),
        1 => select(&["-1", "x", "", "1.5"][..]),
    ];
    prop::option::of(text.prop_map(str::to_owned))
}

fn last_repository() -> impl Strategy<Value = Option<String>> {
    prop::option::of(
        select(&["a", "a/b", "a/a", "a/b/c", "a-b", "tags", "tags/list", "zz", ""][..])
            .prop_map(str::to_owned),
    )
}

fn referrers() -> impl Strategy<Value = Call> {
    // Most name the first manifest as their subject.
    let subject = prop_oneof![
        6 => Just(sha256(&MANIFESTS[0].bytes)),
        1 => Just(sha512(&MANIFESTS[0].bytes)),
        2 => digest(),
        2 => manifest_digest(),
    ];
    let artifact_type = prop::option::of(
        select(&["application/x-sbom", "application/x-signature", "application/x-none"][..])
            .prop_map(str::to_owned),
    );
    (repository(), subject, artifact_type).prop_map(|(repository, digest, artifact_type)| Call::Referrers {
        repository,
        digest,
        artifact_type,
    })
}

fn about() -> impl Strategy<Value = AboutDigest> {
    prop_oneof![
        4 => Just(AboutDigest::Head),
        4 => Just(AboutDigest::Get),
        1 => Just(AboutDigest::DeleteBlob),
        3 => prop::option::of(repository()).prop_map(AboutDigest::Mount),
        6 => Just(AboutDigest::Manifest),
        1 => Just(AboutDigest::DeleteManifest),
        1 => Just(AboutDigest::Referrers),
    ]
}

fn other() -> impl Strategy<Value = Call> {
    const OTHERS: [(&str, &str); 9] = [
        ("GET", "/v2/"),
        ("GET", "/v2"),
        ("POST", "/v2/a/tags/list"),
        ("PUT", "/v2/_catalog"),
        ("PATCH", "/v2/"),
        ("GET", "/v2/a/blobs/uploads/"),
        ("OPTIONS", "/v2/a/tags/list"),
        ("GET", "/v2/a/unknown"),
        ("DELETE", "/v2/a"),
    ];
    select(&OTHERS[..]).prop_map(|(method, path)| Call::Other { method, path: path.to_owned() })
}
