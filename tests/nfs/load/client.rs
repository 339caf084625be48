//! Requests, each to the next server: nothing is sticky, and nothing is sent twice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{Method, header::HeaderMap};

use super::{Report, history::Span};

/// Longer than a server takes to say that the volume does not answer.
const PATIENCE: Duration = Duration::from_secs(150);

/// A client of all the servers.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    servers: Arc<Vec<SocketAddr>>,
    next: Arc<AtomicUsize>,
    pub(crate) report: Arc<Report>,
    /// Whether a fault is under way: then a refusal is a right answer.
    faults: bool,
}

/// An operation that cannot go on: the report has the reason.
pub(crate) struct Stopped;

/// An answer with its whole body.
pub(crate) struct Answer {
    /// 0 when there was none.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) span: Span,
    what: String,
}

impl Answer {
    /// A header as text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Path and query of the `Location`: the next request of an upload may go to any server.
    pub(crate) fn location(&self) -> String {
        let location = self.header("location");
        let path = location.find("://").and_then(|scheme| {
            let host = scheme + 3;
            location[host..].find('/').map(|slash| &location[host + slash..])
        });
        path.unwrap_or(location).to_owned()
    }
}

/// A request that is not sent yet.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) headers: &'a [(&'static str, String)],
}

impl Client {
    pub(crate) fn new(servers: &[SocketAddr], report: Arc<Report>, faults: bool) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .timeout(PATIENCE)
            .connect_timeout(Duration::from_secs(10))
            .build()
            .expect("a client");
        Self { http, servers: Arc::new(servers.to_vec()), next: Arc::default(), report, faults }
    }

    /// The same, once all faults are over: a refusal is a failure.
    pub(crate) fn without_faults(&self) -> Self {
        Self { faults: false, ..self.clone() }
    }

    /// The server whose turn it is.
    pub(crate) fn next_server(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len()
    }

    /// The numbers of all servers.
    pub(crate) fn all_servers(&self) -> std::ops::Range<usize> {
        0..self.servers.len()
    }

    /// Sends to one server; every outcome is an answer.
    pub(crate) async fn send(&self, server: usize, request: Request<'_>) -> Answer {
        let Request { method, path, body, headers } = request;
        let what = format!("{method} {path} on {server}");
        let mut builder = self.http.request(method, format!("http://{}{path}", self.servers[server]));
        builder = builder.header("accept", super::image::MANIFEST).body(body);
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        let start = Instant::now();
        let answer = async {
            let response = builder.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, response.bytes().await?))
        };
        let (status, headers, body) =
            answer.await.unwrap_or_else(|error| (0, HeaderMap::new(), Bytes::from(format!("{error:?}"))));
        Answer { status, headers, body, span: Span { server, start, end: Instant::now() }, what }
    }

    /// Gives the answer back when it has one of these statuses; else reports it.
    pub(crate) fn expect(&self, answer: Answer, statuses: &[u16]) -> Result<Answer, Stopped> {
        if statuses.contains(&answer.status) {
            self.report.answered(answer.span.end - answer.span.start);
            return Ok(answer);
        }
        if self.faults && matches!(answer.status, 0 | 503) {
            self.report.refused(answer.status);
            return Err(Stopped);
        }
        let method = answer.what.split(' ').next().unwrap_or_default();
        let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
        let kind = match (answer.status, method) {
            (0, method) => format!("{method} of {}: no answer", part(&answer.what)),
            (status, method) => format!("{method} of {}: {status}", part(&answer.what)),
        };
        self.report.failed(kind, format!("{}: {body}", answer.what));
        Err(Stopped)
    }

    /// Reports content that is not what it should be.
    pub(crate) fn mismatch(&self, kind: &str, answer: &Answer) -> Stopped {
        self.report.failed(kind, answer.what.clone());
        Stopped
    }
}

/// Which kind of thing a path names.
fn part(what: &str) -> &'static str {
    ["/blobs/uploads", "/manifests/", "/blobs/", "/tags/list"]
        .into_iter()
        .find(|part| what.contains(part))
        .unwrap_or("something else")
}
