//! The one entrance of the API: parse, ask who it is, ask whether they may, then do it.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, Method, Uri, header, request::Parts};

use super::{
    ApiState, Route, base, blobs, catalog, error::ApiError, headers, manifests, pagination::query_value,
    referrers, tags, uploads,
};
use crate::{
    auth::{AuthError, Credentials, Decision, Identity, Place, RemoteAddress},
    observability::{Asked, AuthenticatedUser, Held},
    registry::{Action, JournalEntry},
};

/// Answers every request below `/v2`.
pub(super) async fn handle(State(state): State<ApiState>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let is_ping = matches!(request.uri().path(), "/v2" | "/v2/");
    let mut known = Known::default();
    let mut response = match answer(&state, request, &mut known).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    let warning = state.limits.warning.get().filter(|_| !is_ping);
    headers::complete(&mut response, head, warning.as_deref().map(String::as_str));
    known.tell(response.extensions_mut());
    response
}

/// What has become known of a request, also of one that fails.
#[derive(Default)]
struct Known {
    user: Option<AuthenticatedUser>,
    asked: Option<Asked>,
    place: Option<Place>,
}

impl Known {
    fn of_late_answers(&self) -> Extensions {
        let mut extensions = Extensions::new();
        if let Some(asked) = &self.asked {
            extensions.insert(asked.clone());
        }
        if let Some(user) = &self.user {
            extensions.insert(user.clone());
        }
        extensions
    }

    fn tell(self, extensions: &mut Extensions) {
        if let Some(user) = self.user {
            extensions.insert(user);
        }
        if let Some(asked) = self.asked {
            extensions.insert(asked);
        }
        if let Some(place) = self.place {
            Held::add(extensions, place);
        }
    }
}

fn asked(route: &Route, uri: &Uri) -> Asked {
    let (repository, reference) = route.subject();
    let mounted_from = match route {
        Route::StartUpload { .. } => query_value(uri, "from"),
        _ => None,
    };
    Asked {
        route: route.name(),
        template: route.template(),
        repository: repository.map(|name| Arc::from(name.as_str())),
        reference: reference.map(Arc::from),
        mounted_from: mounted_from.map(Arc::from),
    }
}

async fn answer(state: &ApiState, request: Request, known: &mut Known) -> Result<Response, ApiError> {
    // A body cannot be shared between threads, so the rest of the request is looked at apart from it.
    let (mut parts, body) = request.into_parts();
    let route = Route::parse(&parts.method, parts.uri.path());
    known.asked = Some(match &route {
        Ok(route) => asked(route, &parts.uri),
        Err(_) => Asked { route: "unknown", ..Asked::default() },
    });
    if route == Ok(Route::Preflight) {
        return Ok(base::preflight());
    }
    // Who asks comes before what is asked: a stranger learns nothing, not even what is out of grammar.
    let identity = authenticate(state, &parts).await?;
    if let Identity::User(name) = &identity {
        known.user = Some(AuthenticatedUser(Arc::from(name.as_str())));
    }
    known.place = Some(state.authenticator.admit(&identity).ok_or(ApiError::TooManyRequests)?);
    let route = route?;
    if let Some((access, repository)) = route.required_access()
        && state.policy.authorize(&identity, access, repository) == Decision::Deny
    {
        return Err(if identity == Identity::Anonymous {
            AuthError::Missing.into()
        } else {
            ApiError::Denied
        });
    }
    if matches!(parts.method, Method::PUT | Method::POST | Method::DELETE) {
        // For what is done when the answer is gone.
        parts.extensions.extend(known.of_late_answers());
    }
    dispatch(state, route, &identity, &parts, body).await
}

async fn authenticate(state: &ApiState, parts: &Parts) -> Result<Identity, ApiError> {
    let credentials = credentials(&parts.headers)?;
    let remote = parts.extensions.get().copied().unwrap_or(RemoteAddress(Ipv4Addr::UNSPECIFIED.into()));
    let answer = state.authenticator.authenticate(credentials.as_ref(), remote).await;
    if let (Err(AuthError::Rejected), Some(credentials)) = (&answer, &credentials) {
        // What is no user's name may be a password typed in the wrong place.
        let user = Some(credentials.user().as_str())
            .filter(|user| state.authenticator.session_stamp(user).is_some());
        state.registry.note(JournalEntry::new(Action::SignInFailed, user, Some(remote.0.to_string())));
    }
    Ok(answer?)
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

async fn dispatch(
    state: &ApiState,
    route: Route,
    identity: &Identity,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let registry = &state.registry;
    let (uri, headers) = (&parts.uri, &parts.headers);
    match route {
        Route::Preflight => Ok(base::preflight()),
        Route::Ping => Ok(base::ping()),
        Route::Catalog => catalog::list(state, identity, uri).await,
        Route::HeadBlob { repository, digest } => blobs::head(registry, &repository, &digest, headers).await,
        Route::GetBlob { repository, digest } => blobs::get(registry, &repository, &digest, headers).await,
        Route::DeleteBlob { repository, digest } => {
            blobs::delete(registry, identity, &repository, &digest, parts).await
        }
        Route::StartUpload { repository } => uploads::start(state, identity, &repository, parts, body).await,
        Route::UploadStatus { repository, upload } => uploads::status(registry, &repository, &upload).await,
        Route::PatchUpload { repository, upload } => {
            uploads::patch(registry, &repository, &upload, parts, body).await
        }
        Route::PutUpload { repository, upload } => {
            uploads::put(registry, &repository, &upload, parts, body).await
        }
        Route::CancelUpload { repository, upload } => uploads::cancel(registry, &repository, &upload).await,
        Route::HeadManifest { repository, reference } | Route::GetManifest { repository, reference } => {
            manifests::get(registry, &repository, &reference, headers).await
        }
        Route::PutManifest { repository, reference } => {
            manifests::put(state, identity, &repository, &reference, parts, body).await
        }
        Route::DeleteManifest { repository, reference } => {
            manifests::delete(registry, identity, &repository, &reference, parts).await
        }
        Route::ListTags { repository } => {
            tags::list(registry, &repository, uri, state.limits.tags_page).await
        }
        Route::ListReferrers { repository, digest } => {
            referrers::list(registry, &repository, &digest, uri).await
        }
    }
}
