//! Every kind of request, what must be on the volume before it, and what it shall answer.

use crate::support::{
    client::{Answer, Client, NoAnswer},
    image::{Image, MANIFEST, sha256, sha512},
    registry::{expect, push, push_blobs, put_manifest},
};

/// The tag that images are pushed under.
pub(crate) const TAG: &str = "1.0";

/// Long enough for several blocks, so that a transfer is more than one call.
const LARGE: usize = 600_000;
const SMALL: usize = 900;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    StartUpload,
    PatchFirst,
    PatchSecond,
    Commit,
    CommitWithBody,
    CommitKnownContent,
    CommitOtherAlgorithm,
    CommitWrongDigest,
    Monolithic,
    Mount,
    MountFromAnywhere,
    UploadStatus,
    CancelUpload,
    HeadBlob,
    GetBlob,
    PutManifestByTag,
    MoveTag,
    PutManifestByDigest,
    PutManifestWithSubject,
    PutManifestAgain,
    HeadManifestByTag,
    GetManifestByTag,
    HeadManifestByDigest,
    GetManifestByDigest,
    Tags,
    Catalogue,
    Referrers,
    DeleteTag,
    DeleteManifest,
    DeleteReferrer,
    DeleteBlob,
}

use Request as R;

impl Request {
    pub(crate) const ALL: &[Self] = &[
        R::StartUpload,
        R::PatchFirst,
        R::PatchSecond,
        R::Commit,
        R::CommitWithBody,
        R::CommitKnownContent,
        R::CommitOtherAlgorithm,
        R::CommitWrongDigest,
        R::Monolithic,
        R::Mount,
        R::MountFromAnywhere,
        R::UploadStatus,
        R::CancelUpload,
        R::HeadBlob,
        R::GetBlob,
        R::PutManifestByTag,
        R::MoveTag,
        R::PutManifestByDigest,
        R::PutManifestWithSubject,
        R::PutManifestAgain,
        R::HeadManifestByTag,
        R::GetManifestByTag,
        R::HeadManifestByDigest,
        R::GetManifestByDigest,
        R::Tags,
        R::Catalogue,
        R::Referrers,
        R::DeleteTag,
        R::DeleteManifest,
        R::DeleteReferrer,
        R::DeleteBlob,
    ];

    /// What it answers when nothing fails.
    pub(crate) fn success(self) -> u16 {
        match self {
            R::StartUpload
            | R::PatchFirst
            | R::PatchSecond
            | R::DeleteTag
            | R::DeleteManifest
            | R::DeleteReferrer
            | R::DeleteBlob => 202,
            R::UploadStatus | R::CancelUpload => 204,
            R::CommitWrongDigest => 400,
            R::HeadBlob
            | R::GetBlob
            | R::HeadManifestByTag
            | R::GetManifestByTag
            | R::HeadManifestByDigest
            | R::GetManifestByDigest
            | R::Tags
            | R::Catalogue
            | R::Referrers => 200,
            _ => 201,
        }
    }

    /// Whether it has a session that an error must leave usable.
    pub(crate) fn continues_upload(self) -> bool {
        matches!(
            self,
            R::PatchFirst
                | R::PatchSecond
                | R::Commit
                | R::CommitWithBody
                | R::CommitKnownContent
                | R::CommitOtherAlgorithm
                | R::CommitWrongDigest
                | R::UploadStatus
                | R::CancelUpload
        )
    }

    /// Whether its success promises that something is on stable storage.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self.success(), 201)
            || matches!(self, R::PatchFirst | R::PatchSecond)
            || matches!(self, R::DeleteTag | R::DeleteManifest | R::DeleteReferrer | R::DeleteBlob)
    }

    pub(crate) fn is_delete(self) -> bool {
        matches!(self, R::DeleteTag | R::DeleteManifest | R::DeleteReferrer | R::DeleteBlob)
    }

    /// Whether it moves megabytes or needs only names.
    fn layer_size(self) -> usize {
        let large = matches!(
            self,
            R::PatchFirst
                | R::PatchSecond
                | R::CommitWithBody
                | R::CommitOtherAlgorithm
                | R::Monolithic
                | R::GetBlob
        );
        if large { LARGE } else { SMALL }
    }
}

/// What a request is about.
pub(crate) struct Scene {
    pub(crate) request: Request,
    pub(crate) client: Client,
    pub(crate) repository: String,
    /// The image that the request pushes, reads or deletes.
    pub(crate) image: Image,
    /// The image that was there before: the subject, or what the tag named.
    pub(crate) earlier: Image,
    /// The upload.
    pub(crate) location: String,
    /// How much of the layer the upload has.
    pub(crate) acknowledged: usize,
}

impl Scene {
    /// Brings about what the request needs; `number` makes its content and its repository like no other's.
    pub(crate) async fn prepare(request: Request, client: Client, number: u64) -> Self {
        let earlier = Image::new(number.wrapping_mul(2), SMALL, None);
        let refers = matches!(request, R::PutManifestWithSubject | R::Referrers | R::DeleteReferrer);
        let subject = refers.then_some(earlier.manifest.as_slice());
        let image = Image::new(number.wrapping_mul(2) + 1, request.layer_size(), subject);
        let repository = format!("team/case-{number}");
        let mut scene =
            Self { request, client, repository, image, earlier, location: String::new(), acknowledged: 0 };
        scene.set_up().await.unwrap_or_else(|error| panic!("{request:?}, before any fault: {error}"));
        scene
    }

    async fn set_up(&mut self) -> Result<(), String> {
        let half = self.image.layer().len() / 2;
        match self.request {
            R::StartUpload | R::Monolithic => Ok(()),
            R::PatchFirst => self.begin(0).await,
            R::PatchSecond | R::CommitWithBody | R::UploadStatus | R::CancelUpload => self.begin(half).await,
            R::Commit | R::CommitOtherAlgorithm | R::CommitWrongDigest => self.begin(half * 2).await,
            R::CommitKnownContent => {
                push_blobs(&self.client, "team/other", &self.image).await?;
                self.begin(half * 2).await
            }
            R::Mount | R::MountFromAnywhere => push_blobs(&self.client, "team/other", &self.image).await,
            R::PutManifestByTag | R::PutManifestByDigest => {
                push_blobs(&self.client, &self.repository, &self.image).await
            }
            R::MoveTag | R::PutManifestWithSubject => {
                push(&self.client, &self.repository, TAG, &self.earlier).await?;
                push_blobs(&self.client, &self.repository, &self.image).await
            }
            R::Referrers | R::DeleteReferrer => {
                push(&self.client, &self.repository, TAG, &self.earlier).await?;
                push_blobs(&self.client, &self.repository, &self.image).await?;
                let digest = self.image.digest();
                put_manifest(&self.client, &self.repository, &digest, &self.image).await
            }
            _ => push(&self.client, &self.repository, TAG, &self.image).await,
        }
    }

    /// Starts an upload that has the first bytes of the layer.
    async fn begin(&mut self, bytes: usize) -> Result<(), String> {
        let started = self.client.try_send("POST", &self.uploads(), &[], Vec::new()).await;
        let started = expect(started, &[202], "POST of an upload")?;
        started.header("location").clone_into(&mut self.location);
        self.acknowledged = bytes;
        if bytes > 0 {
            let chunk = self.image.layer()[..bytes].to_vec();
            let patched = self.client.try_send("PATCH", &self.location, &[], chunk).await;
            expect(patched, &[202], "PATCH of an upload")?;
        }
        Ok(())
    }

    pub(crate) fn uploads(&self) -> String {
        format!("/v2/{}/blobs/uploads/", self.repository)
    }

    pub(crate) fn blob(&self) -> String {
        format!("/v2/{}/blobs/{}", self.repository, self.digest_of_layer())
    }

    pub(crate) fn manifest(&self, reference: &str) -> String {
        format!("/v2/{}/manifests/{reference}", self.repository)
    }

    /// The digest that the layer is pushed under.
    pub(crate) fn digest_of_layer(&self) -> String {
        let sha512s = self.request == R::CommitOtherAlgorithm;
        if sha512s { sha512(self.image.layer()) } else { sha256(self.image.layer()) }
    }

    /// Sends the request itself.
    pub(crate) async fn send(&self) -> Result<Answer, NoAnswer> {
        let (layer, digest) = (self.image.layer(), self.image.digest());
        let rest = layer[self.acknowledged..].to_vec();
        let wrong = self.request == R::CommitWrongDigest;
        let committed = if wrong { sha256(b"something else") } else { self.digest_of_layer() };
        let commit = format!("{}?digest={committed}", self.location);
        let mount = format!("{}?mount={}", self.uploads(), sha256(layer));
        let (method, path, body) = match self.request {
            R::StartUpload => ("POST", self.uploads(), Vec::new()),
            R::PatchFirst | R::PatchSecond => ("PATCH", self.location.clone(), rest),
            R::Commit
            | R::CommitWithBody
            | R::CommitKnownContent
            | R::CommitOtherAlgorithm
            | R::CommitWrongDigest => ("PUT", commit, rest),
            R::Monolithic => ("POST", format!("{}?digest={}", self.uploads(), sha256(layer)), rest),
            R::Mount => ("POST", format!("{mount}&from=team/other"), Vec::new()),
            R::MountFromAnywhere => ("POST", mount, Vec::new()),
            R::UploadStatus => ("GET", self.location.clone(), Vec::new()),
            R::CancelUpload => ("DELETE", self.location.clone(), Vec::new()),
            R::HeadBlob => ("HEAD", self.blob(), Vec::new()),
            R::GetBlob => ("GET", self.blob(), Vec::new()),
            R::PutManifestByTag | R::MoveTag | R::PutManifestAgain => {
                ("PUT", self.manifest(TAG), self.image.manifest.clone())
            }
            R::PutManifestByDigest | R::PutManifestWithSubject => {
                ("PUT", self.manifest(&digest), self.image.manifest.clone())
            }
            R::HeadManifestByTag => ("HEAD", self.manifest(TAG), Vec::new()),
            R::GetManifestByTag => ("GET", self.manifest(TAG), Vec::new()),
            R::HeadManifestByDigest => ("HEAD", self.manifest(&digest), Vec::new()),
            R::GetManifestByDigest => ("GET", self.manifest(&digest), Vec::new()),
            R::Tags => ("GET", format!("/v2/{}/tags/list", self.repository), Vec::new()),
            R::Catalogue => ("GET", "/v2/_catalog".to_owned(), Vec::new()),
            R::Referrers => ("GET", self.referrers(), Vec::new()),
            R::DeleteTag => ("DELETE", self.manifest(TAG), Vec::new()),
            R::DeleteManifest | R::DeleteReferrer => ("DELETE", self.manifest(&digest), Vec::new()),
            R::DeleteBlob => ("DELETE", self.blob(), Vec::new()),
        };
        let kind = if path.contains("/manifests/") { MANIFEST } else { "application/octet-stream" };
        self.client.try_send(method, &path, &[("content-type", kind)], body).await
    }

    pub(crate) fn referrers(&self) -> String {
        format!("/v2/{}/referrers/{}", self.repository, self.earlier.digest())
    }
}
