//! What a request asks for, from its method and path alone.

use http::Method;

use crate::{
    auth::Access,
    oci::{Digest, ErrorCode, GrammarError, Reference, RepositoryName, UploadId},
};

/// Every request the API answers. Parsed values only: a handler never sees a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is named after the operation of the specification")]
pub enum Route {
    Ping,
    Catalog,
    Preflight,
    HeadBlob { repository: RepositoryName, digest: Digest },
    GetBlob { repository: RepositoryName, digest: Digest },
    DeleteBlob { repository: RepositoryName, digest: Digest },
    StartUpload { repository: RepositoryName },
    UploadStatus { repository: RepositoryName, upload: UploadId },
    PatchUpload { repository: RepositoryName, upload: UploadId },
    PutUpload { repository: RepositoryName, upload: UploadId },
    CancelUpload { repository: RepositoryName, upload: UploadId },
    HeadManifest { repository: RepositoryName, reference: Reference },
    GetManifest { repository: RepositoryName, reference: Reference },
    PutManifest { repository: RepositoryName, reference: Reference },
    DeleteManifest { repository: RepositoryName, reference: Reference },
    ListTags { repository: RepositoryName },
    ListReferrers { repository: RepositoryName, digest: Digest },
}

/// Why a path is none of the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// Nothing is at this path.
    NotFound,
    /// The path is known, with these methods.
    MethodNotAllowed(&'static str),
    /// A part of the path is out of its grammar.
    Invalid(ErrorCode, GrammarError),
}

impl Route {
    /// Reads a request. Segments are matched from the right: `/v2/a/tags/list/manifests/latest` is the manifest
    /// `latest` of `a/tags/list`. The path is taken as it came: nothing is percent-decoded, so nothing that is
    /// encoded can become a slash or a dot afterwards.
    ///
    /// # Errors
    /// When there is no such route, or a name in it is out of grammar.
    pub fn parse(method: &Method, path: &str) -> Result<Self, RouteError> {
        let rest = path.strip_prefix("/v2").ok_or(RouteError::NotFound)?;
        let rest = match rest {
            "" | "/" => "",
            rest => rest.strip_prefix('/').ok_or(RouteError::NotFound)?,
        };
        if method == Method::OPTIONS {
            return Ok(Self::Preflight);
        }
        let segments: Vec<&str> = rest.split('/').collect();
        match segments.as_slice() {
            [""] => with_methods(method, "GET, HEAD", |m| matches!(m, "GET" | "HEAD").then_some(Self::Ping)),
            ["_catalog"] => {
                with_methods(method, "GET, HEAD", |m| matches!(m, "GET" | "HEAD").then_some(Self::Catalog))
            }
            // Clients differ in whether they write the slash at the end.
            [name @ .., "blobs", "uploads" | "uploads/"] | [name @ .., "blobs", "uploads", ""]
                if !name.is_empty() =>
            {
                let repository = repository_name(name)?;
                with_methods(method, "POST", |m| (m == "POST").then_some(Self::StartUpload { repository }))
            }
            [name @ .., "blobs", "uploads", upload] if !name.is_empty() => Self::upload(method, name, upload),
            [name @ .., "blobs", digest] if !name.is_empty() => Self::blob(method, name, digest),
            [name @ .., "manifests", reference] if !name.is_empty() => {
                Self::manifest(method, name, reference)
            }
            [name @ .., "tags", "list"] if !name.is_empty() => {
                let repository = repository_name(name)?;
                with_methods(method, "GET, HEAD", |m| {
                    matches!(m, "GET" | "HEAD").then_some(Self::ListTags { repository })
                })
            }
            [name @ .., "referrers", digest] if !name.is_empty() => {
                let repository = repository_name(name)?;
                let digest = parse(digest, ErrorCode::DigestInvalid)?;
                with_methods(method, "GET, HEAD", |m| {
                    matches!(m, "GET" | "HEAD").then_some(Self::ListReferrers { repository, digest })
                })
            }
            _ => Err(RouteError::NotFound),
        }
    }

    fn blob(method: &Method, name: &[&str], digest: &str) -> Result<Self, RouteError> {
        let repository = repository_name(name)?;
        let digest = parse(digest, ErrorCode::DigestInvalid)?;
        with_methods(method, "GET, HEAD, DELETE", |method| {
            Some(match method {
                "HEAD" => Self::HeadBlob { repository, digest },
                "GET" => Self::GetBlob { repository, digest },
                "DELETE" => Self::DeleteBlob { repository, digest },
                _ => return None,
            })
        })
    }

    fn upload(method: &Method, name: &[&str], upload: &str) -> Result<Self, RouteError> {
        let repository = repository_name(name)?;
        let upload = parse(upload, ErrorCode::BlobUploadUnknown)?;
        with_methods(method, "GET, HEAD, PATCH, PUT, DELETE", |method| {
            Some(match method {
                "GET" | "HEAD" => Self::UploadStatus { repository, upload },
                "PATCH" => Self::PatchUpload { repository, upload },
                "PUT" => Self::PutUpload { repository, upload },
                "DELETE" => Self::CancelUpload { repository, upload },
                _ => return None,
            })
        })
    }

    fn manifest(method: &Method, name: &[&str], reference: &str) -> Result<Self, RouteError> {
        let repository = repository_name(name)?;
        let code = if reference.contains(':') { ErrorCode::DigestInvalid } else { ErrorCode::TagInvalid };
        let reference = parse(reference, code)?;
        with_methods(method, "GET, HEAD, PUT, DELETE", |method| {
            Some(match method {
                "HEAD" => Self::HeadManifest { repository, reference },
                "GET" => Self::GetManifest { repository, reference },
                "PUT" => Self::PutManifest { repository, reference },
                "DELETE" => Self::DeleteManifest { repository, reference },
                _ => return None,
            })
        })
    }

    /// A short name, for the metrics and the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Catalog => "catalog",
            Self::Preflight => "preflight",
            Self::HeadBlob { .. } => "head_blob",
            Self::GetBlob { .. } => "get_blob",
            Self::DeleteBlob { .. } => "delete_blob",
            Self::StartUpload { .. } => "start_upload",
            Self::UploadStatus { .. } => "upload_status",
            Self::PatchUpload { .. } => "patch_upload",
            Self::PutUpload { .. } => "put_upload",
            Self::CancelUpload { .. } => "cancel_upload",
            Self::HeadManifest { .. } => "head_manifest",
            Self::GetManifest { .. } => "get_manifest",
            Self::PutManifest { .. } => "put_manifest",
            Self::DeleteManifest { .. } => "delete_manifest",
            Self::ListTags { .. } => "list_tags",
            Self::ListReferrers { .. } => "list_referrers",
        }
    }

    /// The path, with words in place of what varies: names a span.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Ping | Self::Preflight => "/v2/",
            Self::Catalog => "/v2/_catalog",
            Self::HeadBlob { .. } | Self::GetBlob { .. } | Self::DeleteBlob { .. } => {
                "/v2/{name}/blobs/{digest}"
            }
            Self::StartUpload { .. } => "/v2/{name}/blobs/uploads/",
            Self::UploadStatus { .. }
            | Self::PatchUpload { .. }
            | Self::PutUpload { .. }
            | Self::CancelUpload { .. } => "/v2/{name}/blobs/uploads/{upload}",
            Self::HeadManifest { .. }
            | Self::GetManifest { .. }
            | Self::PutManifest { .. }
            | Self::DeleteManifest { .. } => "/v2/{name}/manifests/{reference}",
            Self::ListTags { .. } => "/v2/{name}/tags/list",
            Self::ListReferrers { .. } => "/v2/{name}/referrers/{digest}",
        }
    }

    /// The repository it is about, and the tag or digest in its path.
    pub(super) fn subject(&self) -> (Option<&RepositoryName>, Option<String>) {
        let reference = match self {
            Self::HeadManifest { reference, .. }
            | Self::GetManifest { reference, .. }
            | Self::PutManifest { reference, .. }
            | Self::DeleteManifest { reference, .. } => Some(reference.to_string()),
            Self::HeadBlob { digest, .. }
            | Self::GetBlob { digest, .. }
            | Self::DeleteBlob { digest, .. }
            | Self::ListReferrers { digest, .. } => Some(digest.to_string()),
            _ => None,
        };
        (self.required_access().and_then(|(_, repository)| repository), reference)
    }

    /// What the caller must be allowed to do; `None` when anybody may ask. A new route does not compile without
    /// an answer here.
    pub fn required_access(&self) -> Option<(Access, Option<&RepositoryName>)> {
        Some(match self {
            // A browser sends no credentials with it.
            Self::Preflight => return None,
            Self::Ping => (Access::Ping, None),
            Self::Catalog => (Access::Catalog, None),
            Self::HeadBlob { repository, .. }
            | Self::GetBlob { repository, .. }
            | Self::HeadManifest { repository, .. }
            | Self::GetManifest { repository, .. }
            | Self::ListTags { repository }
            | Self::ListReferrers { repository, .. } => (Access::Pull, Some(repository)),
            Self::StartUpload { repository }
            | Self::UploadStatus { repository, .. }
            | Self::PatchUpload { repository, .. }
            | Self::PutUpload { repository, .. }
            | Self::CancelUpload { repository, .. }
            | Self::PutManifest { repository, .. } => (Access::Push, Some(repository)),
            Self::DeleteBlob { repository, .. } | Self::DeleteManifest { repository, .. } => {
                (Access::Delete, Some(repository))
            }
        })
    }
}

fn repository_name(segments: &[&str]) -> Result<RepositoryName, RouteError> {
    parse(&segments.join("/"), ErrorCode::NameInvalid)
}

fn parse<T: std::str::FromStr<Err = GrammarError>>(text: &str, code: ErrorCode) -> Result<T, RouteError> {
    text.parse().map_err(|error| RouteError::Invalid(code, error))
}

fn with_methods(
    method: &Method,
    allowed: &'static str,
    route: impl FnOnce(&str) -> Option<Route>,
) -> Result<Route, RouteError> {
    route(method.as_str()).ok_or(RouteError::MethodNotAllowed(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<Route, RouteError> {
        Route::parse(&Method::GET, path)
    }

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn names_that_look_like_routes_are_matched_from_the_right() {
        for repository in [
            "a",
            "a/tags/list",
            "a/manifests",
            "blobs/uploads",
            "a/blobs",
            "a/referrers/b",
            "tags/list",
            "manifests",
        ] {
            let repository_name = name(repository);
            let manifest = get(&format!("/v2/{repository}/manifests/latest"));
            assert!(
                matches!(manifest, Ok(Route::GetManifest { repository, .. }) if repository == repository_name),
                "{repository}"
            );
            let tags = get(&format!("/v2/{repository}/tags/list"));
            assert_eq!(tags, Ok(Route::ListTags { repository: repository_name.clone() }));
            let blob = get(&format!("/v2/{repository}/blobs/{D}"));
            assert!(
                matches!(blob, Ok(Route::GetBlob { repository, .. }) if repository == repository_name),
                "{repository}"
            );
            let upload = Route::parse(&Method::POST, &format!("/v2/{repository}/blobs/uploads/"));
            assert_eq!(upload, Ok(Route::StartUpload { repository: repository_name.clone() }));
            let upload = Route::parse(&Method::POST, &format!("/v2/{repository}/blobs/uploads"));
            assert_eq!(upload, Ok(Route::StartUpload { repository: repository_name }));
        }
    }

    #[test]
    fn what_is_out_of_grammar_is_named_by_its_code() {
        let code = |path: &str| match get(path) {
            Err(RouteError::Invalid(code, _)) => Some(code),
            _ => None,
        };
        for path in [
            "/v2/A/tags/list",
            "/v2/a%2Fb/tags/list",
            "/v2/a/../b/tags/list",
            "/v2//a/tags/list",
            "/v2/a//tags/list",
            "/v2/_a/tags/list",
            "/v2/a\0/tags/list",
            "/v2/./tags/list",
        ] {
            assert_eq!(code(path), Some(ErrorCode::NameInvalid), "{path}");
        }
        assert_eq!(code("/v2/a/manifests/sha256:baddigest"), Some(ErrorCode::DigestInvalid));
        assert_eq!(code("/v2/a/manifests/.."), Some(ErrorCode::TagInvalid));
        assert_eq!(code("/v2/a/manifests/a%2e"), Some(ErrorCode::TagInvalid));
        assert_eq!(code("/v2/a/manifests/"), Some(ErrorCode::TagInvalid));
        assert_eq!(code("/v2/a/blobs/latest"), Some(ErrorCode::DigestInvalid));
        assert_eq!(code("/v2/a/referrers/x"), Some(ErrorCode::DigestInvalid));
        assert_eq!(code("/v2/a/blobs/uploads/.."), Some(ErrorCode::BlobUploadUnknown));
    }

    #[test]
    fn unknown_paths_and_methods() {
        for path in [
            "/v2/a",
            "/v2/tags/list",
            "/v2/manifests/latest",
            "/v2x",
            "/v2/_oci/ext/discover",
            "/v1/search",
            "/v2/a/",
        ] {
            assert_eq!(get(path), Err(RouteError::NotFound), "{path}");
        }
        assert_eq!(get("/v2"), Ok(Route::Ping));
        assert_eq!(get("/v2/"), Ok(Route::Ping));
        assert_eq!(
            Route::parse(&Method::PUT, "/v2/_catalog"),
            Err(RouteError::MethodNotAllowed("GET, HEAD"))
        );
        assert_eq!(Route::parse(&Method::OPTIONS, "/v2/a/tags/list"), Ok(Route::Preflight));
    }
}
