//! Traces, as a collector gets them; and a collector that does not answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use reqwest::Method;

use super::served::{PASSWORD, Served, free_address, serve_router, wait_for};

const TOKEN: &str = "Bearer hush-collector";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a collector got, and how many spans of each batch it says that it rejects.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Bytes>>>, i64);

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    if headers["authorization"] != TOKEN || headers["content-type"] != "application/x-protobuf" {
        return (StatusCode::UNAUTHORIZED, Vec::new());
    }
    collector.0.lock().unwrap().push(body);
    let said = ExportTracePartialSuccess { rejected_spans: collector.1, error_message: String::new() };
    let answer = ExportTraceServiceResponse { partial_success: (collector.1 > 0).then_some(said) };
    (StatusCode::OK, answer.encode_to_vec())
}

impl Collector {
    fn listen(&self, address: SocketAddr) -> tokio::task::JoinHandle<()> {
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        tokio::spawn(async move {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            serve_router(listener, router).await;
        })
    }

    /// Every span, with what its resource says.
    fn spans(&self) -> Vec<(BTreeMap<String, String>, Span)> {
        let bodies = self.0.lock().unwrap().clone();
        let decoded = bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).unwrap());
        let mut spans = Vec::new();
        for of_resource in decoded.flat_map(|request| request.resource_spans) {
            let resource = attributes(&of_resource.resource.unwrap().attributes);
            let found = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(found.map(|span| (resource.clone(), span)));
        }
        spans
    }

    fn named(&self, name: &str) -> Option<Span> {
        self.spans().into_iter().map(|(_, span)| span).find(|span| span.name == name)
    }
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    list.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn configuration(directory: &std::path::Path, address: SocketAddr, more: &str) -> String {
    let headers = directory.join("headers");
    std::fs::write(&headers, format!("Authorization: {TOKEN}\n")).unwrap();
    format!("traces.endpoint = \"http://{address}\"\ntraces.headers_file = {headers:?}\n{more}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_a_pull_are_traced_below_what_a_trusted_proxy_says_and_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let trust = "server.trusted_proxies = [\"127.0.0.1\"]";
    let mut server = Served::start(&configuration(directory.path(), address, trust));
    // Nobody listens yet: what is made meanwhile waits.
    server.push("team/app", "1.0").await;
    wait_for("it is told", || server.log().contains("traces cannot be delivered"));
    let collector = Collector::default();
    let _listening = collector.listen(address);
    let pull = server.request(Method::GET, "/v2/team/app/manifests/1.0?token=hush-query");
    let pull = pull.header("traceparent", PARENT).header("x-forwarded-proto", "https");
    let pull = pull.header("user-agent", "docker/29").header("cookie", "hush=cookie");
    assert_eq!(pull.basic_auth("alice", Some(PASSWORD)).send().await.unwrap().status(), 200);
    assert_eq!(server.get("/v2/team/app/manifests/absent", PASSWORD).await.status(), 404);
    assert_eq!(server.get("/hush-path", PASSWORD).await.status(), 404);
    assert_eq!(server.get("/v2/", "hush-wrong-password").await.status(), 401);
    assert_eq!(server.get("/healthz", PASSWORD).await.status(), 200);
    // What was not sent yet is at the end.
    server.stop();

    let spans = collector.spans();
    let push = collector.named("PUT /v2/{name}/manifests/{reference}").expect("the push");
    let facts = attributes(&push.attributes);
    for (name, value) in [
        ("http.request.method", "PUT"),
        ("http.route", "/v2/{name}/manifests/{reference}"),
        ("http.response.status_code", "201"),
        ("user.name", "alice"),
        ("pakhuis.repository", "team/app"),
        ("pakhuis.reference", "1.0"),
        ("url.scheme", "http"),
        ("url.path", "/v2/team/app/manifests/1.0"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("pakhuis.outcome", "done"),
    ] {
        assert_eq!(facts.get(name).map(String::as_str), Some(value), "{name} in {facts:#?}");
    }
    assert_eq!((push.kind(), push.parent_span_id.len()), (SpanKind::Server, 0));
    assert!(push.end_time_unix_nano > push.start_time_unix_nano);
    let calls: Vec<_> = spans.iter().filter(|(_, span)| span.parent_span_id == push.span_id).collect();
    assert!(calls.iter().any(|(_, span)| span.name == "volume write"), "{calls:#?}");
    assert_eq!(facts["pakhuis.volume.calls"], calls.len().to_string());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(
        server.log().contains(&format!(r#""trace":"{}""#, hex(&push.trace_id))),
        "the log names the trace"
    );

    let pulls =
        spans.iter().map(|(_, span)| span).filter(|span| span.name == "GET /v2/{name}/manifests/{reference}");
    let (below, alone): (Vec<_>, Vec<_>) =
        pulls.partition(|span| hex(&span.parent_span_id) == "b7ad6b7169203331");
    assert_eq!((below.len(), alone.len()), (1, 1));
    assert_eq!(hex(&below[0].trace_id), "0af7651916cd43dd8448eb211c80319c");
    let told = attributes(&below[0].attributes);
    assert_eq!((&*told["user_agent.original"], &*told["url.scheme"]), ("docker/29", "https"));
    let absent = attributes(&alone[0].attributes);
    assert_eq!(
        (absent["http.response.status_code"].as_str(), absent["error.type"].as_str()),
        ("404", "MANIFEST_UNKNOWN")
    );
    assert_eq!(alone[0].status.as_ref().unwrap().code(), SpanStatus::Unset, "a mistake of the client");
    let nowhere = spans.iter().map(|(_, span)| attributes(&span.attributes));
    let nowhere: Vec<_> =
        nowhere.filter(|facts| facts.get("url.path").is_some_and(|path| path == "REDACTED")).collect();
    assert_eq!(nowhere.len(), 1, "no route, no path: {nowhere:#?}");
    let resource = &spans[0].0;
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.version"].as_str()),
        ("pakhuis", env!("CARGO_PKG_VERSION"))
    );
    assert!(!resource["host.name"].is_empty() && !resource["service.instance.id"].is_empty());

    assert!(!spans.iter().any(|(_, span)| span.name.contains("healthz")), "{spans:#?}");
    for body in collector.0.lock().unwrap().iter() {
        let text = String::from_utf8_lossy(body);
        for secret in [PASSWORD, "hush", "Basic ", "Authorization", "cookie"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    assert!(!server.log().contains("hush-collector") && !server.log().contains("lost"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_not_asked_what_is_traced_and_the_ratio_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let collector = Collector::default();
    let _listening = collector.listen(address);
    for (more, traced) in
        [("", 1), ("traces.sample_ratio = 0\n", 0), ("server.trusted_proxies = [\"::1\"]\n", 1)]
    {
        collector.0.lock().unwrap().clear();
        let mut server = Served::start(&configuration(directory.path(), address, more));
        let ping = server.request(Method::GET, "/v2/").header("traceparent", PARENT);
        assert_eq!(ping.basic_auth("alice", Some(PASSWORD)).send().await.unwrap().status(), 200);
        server.stop();
        let spans = collector.spans();
        assert_eq!(spans.len(), traced, "{more}: {spans:#?}");
        assert!(spans.iter().all(|(_, span)| span.parent_span_id.is_empty()), "{spans:#?}");
    }
    // Where nobody asks for traces there are none, though a collector is there.
    let mut server = Served::start("");
    server.push("team/app", "1").await;
    server.stop();
    assert!(!server.log().contains(r#""trace""#), "{}", server.log());
}

/// A counter of `/metrics`.
async fn count(metrics: SocketAddr, name: &str) -> u64 {
    let text = reqwest::get(format!("http://{metrics}/metrics")).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("pakhuis_{name}_total ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_says_it_rejects_is_not_counted_as_sent_and_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let (address, metrics) = (free_address(), free_address());
    let collector = Collector(Arc::default(), 1);
    let _listening = collector.listen(address);
    let more = format!("metrics.listen = \"{metrics}\"");
    let mut server = Served::start(&configuration(directory.path(), address, &more));
    for batch in 1..=2 {
        assert_eq!(server.get("/v2/", PASSWORD).await.status(), 200);
        assert_eq!(server.get("/v2/", PASSWORD).await.status(), 200);
        wait_for("a batch", || collector.0.lock().unwrap().len() >= batch);
    }
    let mut counts = (0, 0);
    for _ in 0..100 {
        counts = (count(metrics, "spans_sent").await, count(metrics, "spans_lost").await);
        if counts.0 + counts.1 >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
    let batches = collector.0.lock().unwrap().len() as u64;
    let spans = collector.spans().len() as u64;
    assert_eq!(counts, (spans - batches, batches), "one of each batch");
    assert_eq!(server.log().matches("the collector rejects spans").count(), 1, "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_nothing_up_and_what_it_does_not_take_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    // Connections are made, and nobody answers.
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = free_address();
    let more = format!("metrics.listen = \"{metrics}\"");
    let mut server = Served::start(&configuration(directory.path(), hanging.local_addr().unwrap(), &more));
    server.push("team/app", "1").await;
    // More spans than may wait.
    let mut slowest = Duration::ZERO;
    let mut asked = 0;
    while count(metrics, "spans_lost").await == 0 {
        for _ in 0..200 {
            let begin = Instant::now();
            assert_eq!(server.get("/v2/team/app/manifests/1", PASSWORD).await.status(), 200);
            slowest = slowest.max(begin.elapsed());
            asked += 1;
        }
        assert!(asked < 20_000, "spans wait without an end");
    }
    assert!(asked > 1000, "{asked}: some may wait");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}: less than the collector is waited for");
    assert_eq!(count(metrics, "spans_sent").await, 0);
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(server.log().contains("the last spans are lost"), "{}", server.log());
}

#[test]
fn a_file_of_headers_that_cannot_be_used_is_a_reason_not_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pakhuis.toml");
    std::fs::write(directory.path().join("headers"), "Bearer hush\n").unwrap();
    std::fs::write(&path, "traces = { endpoint = \"http://127.0.0.1:9\", headers_file = \"headers\" }\n")
        .unwrap();
    let mut command = super::served::pakhuis();
    command.args(["serve", "--listen", "127.0.0.1:0", "--no-tls", "--no-auth", "--config"]).arg(&path);
    let output = command.current_dir(directory.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("traces cannot be sent") && said.contains("line 1") && !said.contains("hush"),
        "{said}"
    );
}
