//! Pages for people: what is stored here, rendered on the server from the same registry that clients use.
//!
//! Everything works without JavaScript and under a Content-Security-Policy that allows nothing inline. A page is
//! shown to whoever signed in on [`sign_in`]'s form, by a cookie that means nothing under `/v2`; the password a
//! client sends there means nothing here. Reading order: [`address`] what a request asks for, [`visitor`] who
//! asks, then a file a page; [`display`] is how any value becomes HTML, [`session`] how a cookie is trusted.

mod account;
mod actions;
mod activity;
mod address;
mod assets;
mod catalogue;
mod commands;
mod compare;
mod compression;
pub mod display;
mod fields;
mod form_token;
mod found;
mod help;
mod image;
mod pages;
mod repository;
mod response;
mod search;
mod session;
mod sight;
mod sign_in;
mod status;
mod storage_page;
mod tag_row;
mod tag_table;
#[cfg(test)]
mod tests;
mod theme;
mod tree;
mod visitor;

use std::{fmt, pin::Pin, sync::Arc, time::SystemTime};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, Request, State, rejection::PathRejection},
    http::Method,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, Uri, header};
use tower::ServiceExt as _;
use tower_http::csrf::CsrfLayer;

use crate::{
    auth::{Authenticator, Policy, TrustedPeer},
    registry::{Action, JournalEntry, Registry},
};
use session::Sealer;

/// What pages need to know of their server.
#[derive(Clone)]
pub struct Config {
    /// `host[:port]` as clients write it; `None` takes it from each request.
    pub external_host: Option<String>,
    /// Port listened on, for the address shown when neither is known.
    pub listen_port: u16,
    /// The certificate of the private authority, for download. Nothing but certificates is given out.
    pub ca_certificate: Option<OfferedCertificate>,
    /// Seals session cookies. The same on every server of a volume, kept on it, and secret.
    pub session_key: [u8; 32],
    /// Whether this server speaks HTTPS; without it, a trusted proxy may say that a browser does.
    pub secure: bool,
    /// When the certificate in use ends; `None` without one.
    pub certificate_ends: Option<CertificateEnds>,
    /// Told of every deletion before the page that says so.
    pub tell_deletion: Option<TellDeletion>,
}

/// Tells others what was deleted; done when that cannot get lost.
pub type TellDeletion = Arc<dyn Fn(JournalEntry) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Reads the certificate of the authority as it is now, in PEM; blocks.
pub type OfferedCertificate = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// Says when the certificate in use ends.
pub type CertificateEnds = Arc<dyn Fn() -> Option<SystemTime> + Send + Sync>;

impl Default for Config {
    /// With a session key nobody knows, so that forgetting to set one is not a hole: sessions end on restart.
    fn default() -> Self {
        let mut session_key = [0; 32];
        // Without random bytes there is no secret to be had, and no server: Linux always has them.
        getrandom::fill(&mut session_key).expect("the operating system has random bytes");
        Self {
            external_host: None,
            listen_port: 5000,
            ca_certificate: None,
            session_key,
            secure: true,
            certificate_ends: None,
            tell_deletion: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("external_host", &self.external_host)
            .field("listen_port", &self.listen_port)
            .field("ca_certificate", &self.ca_certificate.is_some())
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

/// What pages are made from.
#[derive(Clone)]
pub struct UiState {
    /// What is stored.
    pub registry: Registry,
    /// Who may sign in.
    pub authenticator: Authenticator,
    /// What they may see.
    pub policy: Policy,
    /// About this server.
    pub config: Config,
}

/// [`UiState`] with what is made of it once.
struct Ui {
    registry: Registry,
    authenticator: Authenticator,
    policy: Policy,
    config: Config,
    sealer: Sealer,
    started: SystemTime,
}

/// Largest form, in bytes: a thousand tags with what they name.
const MAX_FORM: usize = 512 * 1024;

impl Ui {
    fn new(UiState { registry, authenticator, policy, config }: UiState) -> Self {
        let sealer = Sealer::new(config.session_key);
        Self { registry, authenticator, policy, sealer, config, started: SystemTime::now() }
    }

    /// Notes what somebody did on a page, in the journal and in the audit log.
    fn note(&self, entry: JournalEntry) {
        tracing::info!(
            target: crate::observability::audit::TARGET,
            action = entry.action.as_str(),
            outcome = if entry.action == Action::SignInFailed { "failed" } else { "done" },
            by = "page",
            user = entry.user,
            remote = entry.address,
            repository = entry.repository.as_ref().map(|name| name.as_str()),
            reference = entry.tag.as_ref().map(|tag| tag.as_str()),
            digest = entry.was.as_ref().map(|digest| digest.as_str()),
        );
        self.registry.note(entry);
    }

    /// Notes that a manifest or a tag was deleted and, if that `is_told`, tells whoever wants to know.
    async fn note_deletion(&self, entry: JournalEntry, is_told: bool) {
        self.note(entry.clone());
        if let Some(tell) = self.config.tell_deletion.as_ref().filter(|_| is_told) {
            tell(entry).await;
        }
    }
}

/// All pages. The fallback answers every path that no other router does.
pub fn router(state: UiState) -> Router {
    if state.config.secure {
        return pages_of(state);
    }
    // Without TLS here a proxy in front may speak it: its browsers get the cookies of HTTPS.
    let encrypted = UiState { config: Config { secure: true, ..state.config.clone() }, ..state.clone() };
    pages_of(state).layer(middleware::from_fn_with_state(pages_of(encrypted), by_proxy))
}

/// Answers with `encrypted` whom a trusted proxy says to have come by HTTPS.
async fn by_proxy(State(encrypted): State<Router>, request: Request, next: Next) -> Response {
    if !TrustedPeer::says_https(request.extensions(), request.headers()) {
        return next.run(request).await;
    }
    match encrypted.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn pages_of(state: UiState) -> Router {
    let ui = Arc::new(Ui::new(state));
    let csrf = csrf_layer(&ui.config);
    Router::new()
        .route("/", get(|| async { response::see_other(address::CATALOGUE) }))
        .route("/ui", get(|| async { response::see_other(address::CATALOGUE) }))
        .route("/ui/r/", get(|| async { response::see_other(address::CATALOGUE) }))
        .route("/ui/", get(catalogue::show))
        .route("/ui/r/{*reference}", get(reference))
        .route("/ui/help", get(help::show))
        .route("/ui/help/ca.crt", get(help::authority))
        .route("/ui/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/ui/logout", axum::routing::post(sign_in::sign_out))
        .route("/ui/compare", get(compare::show))
        .route("/ui/storage", get(storage_page::show))
        .route("/ui/activity", get(activity::show))
        .route("/ui/status", get(status::show))
        .route("/ui/account", get(account::show).post(account::change))
        .route("/ui/-/untag", actions::route::<actions::UntagPage>())
        .route("/ui/-/delete", actions::route::<actions::DeletePage>())
        .route("/ui/-/delete-repository", actions::route::<actions::DeleteRepositoryPage>())
        .route("/ui/theme", axum::routing::post(theme::choose))
        .route("/ui/static/{hash}/{file}", get(assets::show))
        .method_not_allowed_fallback(|| async { response::Failure::NotAllowed.into_response() })
        .fallback(anything_else)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(csrf)
        .layer(middleware::map_response(response::add_headers))
        .layer(compression::layer())
        .layer(middleware::map_request(compression::plain_for_other_sites))
        .with_state(ui)
}

/// Refuses a POST that another site made a browser send: by `Sec-Fetch-Site`, else by `Origin` against `Host`.
fn csrf_layer(
    config: &Config,
) -> CsrfLayer<impl FnMut(tower_http::csrf::ProtectionError) -> Response + Clone + use<>> {
    let mut layer = CsrfLayer::new();
    // A proxy in front may rewrite Host; what people see in the address bar is the configured name.
    for scheme in ["https", "http"] {
        let origin = config.external_host.as_ref().map(|host| format!("{scheme}://{host}"));
        if let Some(Ok(trusting)) = origin.map(|origin| layer.clone().add_trusted_origin(origin)) {
            layer = trusting;
        }
    }
    layer.with_rejection_response(|_| response::Failure::OtherSite.into_response())
}

/// `/ui/r/...`: a repository, or an image in one.
async fn reference(
    State(ui): State<Arc<Ui>>,
    visitor: visitor::Viewer,
    path: Result<Path<String>, PathRejection>,
    fields: fields::Fields,
) -> Response {
    match path.ok().and_then(|path| address::Target::parse(&path)) {
        Some(address::Target::Repository(name)) => {
            visitor.answer(repository::page(&ui, &visitor, &name, &fields).await)
        }
        Some(address::Target::Image(name, reference)) => match fields.get("show") {
            "" => visitor.answer(image::page(&ui, &visitor, &name, &reference, &fields).await),
            what if fields.get("download") == "1" => {
                image::download(&ui, &visitor, &name, &reference, what).await
            }
            what => visitor.answer(image::raw_page(&ui, &visitor, &name, &reference, what).await),
        },
        None => visitor.fail(response::Failure::NotFound),
    }
}

/// An image reference pasted into a browser leads to its page; anything else is not here.
async fn anything_else(visitor: visitor::Visitor, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let wants_html = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")));
    let reads = matches!(method, Method::GET | Method::HEAD);
    match address::pasted_reference(uri.path()).filter(|_| wants_html && reads) {
        Some(target) => response::redirect(StatusCode::FOUND, &target.path()),
        None => visitor.fail(response::Failure::NotFound),
    }
}
