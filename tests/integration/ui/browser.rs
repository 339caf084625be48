//! A browser without a screen or scripts: keeps cookies, sends forms, follows redirects when told to.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use pakhuis::{
    auth::{self, Authenticator, Policy, RemoteAddress},
    registry::Registry,
    ui::{self, UiState},
};
use tower::ServiceExt;

/// Host that the browser asks for.
pub(crate) const HOST: &str = "registry.example:5000";
/// A key that servers of one volume share.
pub(crate) const KEY: [u8; 32] = [42; 32];

/// A server of `registry` whose users are in `htpasswd`; without it, anybody may look.
pub(crate) fn pages(registry: &Registry, htpasswd: Option<&Path>) -> Router {
    pages_of(registry, auth::Config { htpasswd: htpasswd.map(Path::to_path_buf), ..auth::Config::default() })
}

/// The same with rules.
pub(crate) fn pages_of(registry: &Registry, config: auth::Config) -> Router {
    pages_with(registry, config, |_| {})
}

/// The same with another configuration of the pages.
pub(crate) fn pages_with(
    registry: &Registry,
    config: auth::Config,
    change: impl FnOnce(&mut ui::Config),
) -> Router {
    let policy = Policy::new(&config);
    pages_under(registry, config, policy, change)
}

/// The same under rules that the caller can change.
pub(crate) fn pages_under(
    registry: &Registry,
    config: auth::Config,
    policy: Policy,
    change: impl FnOnce(&mut ui::Config),
) -> Router {
    let config = auth::Config { bcrypt_cost: 4, ..config };
    let ca = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n\
        -----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    let in_a_year = SystemTime::now() + Duration::from_secs(365 * 24 * 3600);
    let mut pages = ui::Config {
        ca_certificate: Some(Arc::new(move || Some(ca.to_vec()))),
        session_key: KEY,
        certificate_ends: Some(Arc::new(move || Some(in_a_year))),
        ..ui::Config::default()
    };
    change(&mut pages);
    ui::router(UiState {
        registry: registry.clone(),
        authenticator: Authenticator::open(config).unwrap(),
        policy,
        config: pages,
    })
}

/// The htpasswd file with one user.
pub(crate) fn write_user(file: &Path, user: &str, password: &str) {
    write_users(file, &[user], password);
}

/// The htpasswd file with users of one password.
pub(crate) fn write_users(file: &Path, users: &[&str], password: &str) {
    let hash = bcrypt::hash_with_result(password, 4).unwrap().format_for_version(bcrypt::Version::TwoY);
    let lines: String = users.iter().map(|user| format!("{user}:{hash}\n")).collect();
    std::fs::write(file, lines).unwrap();
}

pub(crate) struct Browser {
    pages: Router,
    /// `https`, or `http` without the promises of cookies that only `https` can keep.
    scheme: &'static str,
    pub(crate) cookies: BTreeMap<String, String>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }

    /// The fields of the form that posts to `action`, as the page has them.
    pub(crate) fn fields(&self, action: &str) -> Vec<(String, String)> {
        let form = self.text.split(&format!("action=\"{action}\"")).nth(1).expect("the form");
        let form = form.split("</form>").next().unwrap();
        let inputs = super::markup::elements(&format!(
            "<!doctype html><form{}</form>",
            &form[form.find('>').unwrap()..]
        ));
        let inputs = inputs.iter().filter(|element| element.name == "input");
        let kept =
            inputs.filter(|input| input.get("type") != Some("checkbox") || input.get("checked").is_some());
        kept.map(|input| {
            (input.get("name").unwrap().to_owned(), input.get("value").unwrap_or_default().to_owned())
        })
        .collect()
    }

    /// The value of a hidden field of the form that posts to `action`.
    pub(crate) fn token(&self, action: &str) -> String {
        let form = self.text.split(&format!("action=\"{action}\"")).nth(1).expect("the form");
        let field = form.split("name=\"token\" value=\"").nth(1).expect("its token");
        field.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    pub(crate) fn new(pages: Router) -> Self {
        Self { pages, scheme: "https", cookies: BTreeMap::new() }
    }

    /// Of a server without encryption.
    pub(crate) fn plain(pages: Router) -> Self {
        Self { scheme: "http", ..Self::new(pages) }
    }

    /// Another one for the same pages.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.pages.clone())
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path).header(header::ACCEPT, "text/html,*/*;q=0.8"), String::new()).await
    }

    /// Sends a form as a page of this server does.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::post(path)
            .header(header::ORIGIN, format!("{}://{HOST}", self.scheme))
            .header("sec-fetch-site", "same-origin");
        self.post_with(request, fields).await
    }

    pub(crate) async fn post_with(
        &mut self,
        request: http::request::Builder,
        fields: &[(&str, &str)],
    ) -> Answer {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, body.join("&")).await
    }

    /// Signs in and gives the answer to the form.
    pub(crate) async fn sign_in(&mut self, user: &str, password: &str, next: &str) -> Answer {
        let form = self.get("/ui/login").await;
        let token = form.token("/ui/login");
        let fields = [("username", user), ("password", password), ("next", next), ("token", &*token)];
        self.post("/ui/login", &fields).await
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder, body: String) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request
            .header(header::HOST, HOST)
            .header(header::COOKIE, cookies.join("; "))
            .extension(RemoteAddress(Ipv4Addr::LOCALHOST.into()))
            .body(Body::from(body))
            .unwrap();
        let response = self.pages.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Cookies as browsers take them: the prefix asks for Secure and Path=/.
    fn keep(&mut self, cookie: &str) {
        assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
        let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
        if self.scheme == "https" {
            let whole = cookie.contains("; Path=/;") && !cookie.contains("Domain");
            assert!(cookie.contains("; Secure") && whole, "{cookie}");
            assert!(name.starts_with("__Host-"), "{cookie}");
        }
        if cookie.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
