//! The one entrance of the API: parse, ask who it is, ask whether they may, then do it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, header};

use super::{ApiState, Route, base, blobs, catalog, error::ApiError, headers, manifests, referrers, tags, uploads};
use crate::{
    auth::{AuthError, Credentials, Decision, Identity, RemoteAddress},
    observability::AuthenticatedUser,
};

/// Answers every request below `/v2`.
pub(super) async fn handle(State(state): State<ApiState>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let mut user = None;
    let mut response = match answer(&state, request, &mut user).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    headers::complete(&mut response, head);
    if let Some(user) = user {
        response.extensions_mut().insert(user);
    }
    response
}

async fn answer(state: &ApiState, request: Request, user: &mut Option<AuthenticatedUser>) -> Result<Response, ApiError> {
    // Who asks comes before what is asked: a stranger learns nothing, not even what is out of grammar.
    let identity = match Route::parse(request.method(), request.uri().path()) {
        Ok(Route::Preflight) => return Ok(base::preflight()),
        _ => authenticate(state, &request).await?,
    };
    if let Identity::User(name) = &identity {
        *user = Some(AuthenticatedUser(Arc::from(name.as_str())));
    }
    let route = Route::parse(request.method(), request.uri().path())?;
    if let Some((access, repository)) = route.required_access()
        && state.policy.authorize(&identity, access, repository) == Decision::Deny
    {
        return Err(if identity == Identity::Anonymous { AuthError::Missing.into() } else { ApiError::Denied });
    }
    dispatch(state, route, request, &identity).await
}

async fn authenticate(state: &ApiState, request: &Request) -> Result<Identity, ApiError> {
    let credentials = credentials(request.headers())?;
    let remote = request.extensions().get().copied().unwrap_or(RemoteAddress::UNKNOWN);
    Ok(state.authenticator.authenticate(credentials.as_ref(), remote).await?)
}

fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // Two are a request put together by somebody in between.
        (Some(_), Some(_)) => Err(AuthError::Rejected.into()),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| AuthError::Rejected)?;
            Ok(Credentials::from_header(value).map_err(|_| AuthError::Rejected)?)
        }
    }
}

async fn dispatch(state: &ApiState, route: Route, request: Request, identity: &Identity) -> Result<Response, ApiError> {
    let registry = &state.registry;
    match route {
        Route::Preflight => Ok(base::preflight()),
        Route::Ping => Ok(base::ping()),
        Route::Catalog => catalog::list(registry, request.uri()).await,
        Route::HeadBlob { repository, digest } => blobs::head(registry, &repository, &digest, request.headers()).await,
        Route::GetBlob { repository, digest } => blobs::get(registry, &repository, &digest, request.headers()).await,
        Route::DeleteBlob { repository, digest } => blobs::delete(registry, &repository, &digest).await,
        Route::StartUpload { repository } => uploads::start(state, identity, &repository, request).await,
        Route::UploadStatus { repository, upload } => uploads::status(registry, &repository, &upload).await,
        Route::PatchUpload { repository, upload } => uploads::patch(registry, &repository, &upload, request).await,
        Route::PutUpload { repository, upload } => uploads::put(registry, &repository, &upload, request).await,
        Route::CancelUpload { repository, upload } => uploads::cancel(registry, &repository, &upload).await,
        Route::HeadManifest { repository, reference } | Route::GetManifest { repository, reference } => {
            manifests::get(registry, &repository, &reference, request.headers()).await
        }
        Route::PutManifest { repository, reference } => manifests::put(registry, &repository, &reference, request).await,
        Route::DeleteManifest { repository, reference } => manifests::delete(registry, &repository, &reference).await,
        Route::ListTags { repository } => tags::list(registry, &repository, request.uri()).await,
        Route::ListReferrers { repository, digest } => referrers::list(registry, &repository, &digest, request.uri()).await,
    }
}
