//! Makes events of answered requests: in front of the API, behind which everything is decided already.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts};
use tokio::runtime::Handle;

use super::{
    Action, Event, Events,
    envelope::{Actor, Content, RequestRecord, Source, now},
};
use crate::{
    auth::RemoteAddress,
    observability::{Asked, AuthenticatedUser, LateAnswer, ReceivedBytes, request_log::RequestId},
};

/// Middleware: puts what a request did into the queue, and only then lets its answer out, but that of a pull. What it
/// does after its answer, because the volume was slow, goes there when it is done.
pub async fn layer(State(events): State<Events>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let seen = Arc::new(Seen::of(&parts));
    parts.extensions.insert(late(&events, &seen));
    let response = next.run(Request::from_parts(parts, body)).await;
    for event in seen.events(&response) {
        events.record(event).await;
    }
    response
}

fn late(events: &Events, seen: &Arc<Seen>) -> LateAnswer {
    let (events, seen, async_threads) = (events.clone(), Arc::clone(seen), Handle::current());
    LateAnswer(Arc::new(move |answer| {
        let (events, late) = (events.clone(), seen.events(&answer));
        async_threads.spawn(async move {
            for event in late {
                events.record(event).await;
            }
        });
    }))
}

/// What of a request is needed when it is over.
struct Seen {
    method: Method,
    uri: Uri,
    content_type: Option<String>,
    received: Option<ReceivedBytes>,
    record: RequestRecord,
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

impl Seen {
    fn of(parts: &Parts) -> Self {
        let extensions = &parts.extensions;
        let record = RequestRecord {
            id: extensions.get().map(|RequestId(id)| id.to_string()).unwrap_or_default(),
            addr: extensions.get().map(|RemoteAddress(address)| address.to_string()).unwrap_or_default(),
            host: text(&parts.headers, header::HOST).unwrap_or_default(),
            method: parts.method.to_string(),
            useragent: text(&parts.headers, header::USER_AGENT).unwrap_or_default(),
        };
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            content_type: text(&parts.headers, header::CONTENT_TYPE),
            received: extensions.get().cloned(),
            record,
        }
    }

    /// What happened: nothing, or one event, or one for each tag that was pushed.
    fn events(&self, response: &Response) -> Vec<Event> {
        let Some(asked) = response.extensions().get::<Asked>() else { return Vec::new() };
        let Some((action, is_blob)) = self.action(asked, response.status()) else { return Vec::new() };
        let Some(repository) = asked.repository.as_deref() else { return Vec::new() };
        let headers = response.headers();
        let reference = asked.reference.as_deref().filter(|_| !is_blob);
        let tag = reference.filter(|reference| !reference.contains(':'));
        let digest = text(headers, "docker-content-digest")
            .or_else(|| asked.reference.as_deref().filter(|text| text.contains(':')).map(str::to_owned));
        let (media_type, size) = match action {
            Action::Push if !is_blob => {
                (self.content_type.clone(), self.received.as_ref().map(ReceivedBytes::get))
            }
            Action::Pull => (
                text(headers, header::CONTENT_TYPE),
                text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            ),
            _ => (None, None),
        };
        let kind = if is_blob { "blobs" } else { "manifests" };
        let content = Content {
            media_type,
            size,
            length: size,
            repository: repository.to_owned(),
            from_repository: asked
                .mounted_from
                .as_deref()
                .filter(|_| action == Action::Mount)
                .map(str::to_owned),
            url: digest
                .as_ref()
                .filter(|_| action != Action::Delete)
                .map(|digest| format!("https://{}/v2/{repository}/{kind}/{digest}", self.record.host)),
            digest,
            tag: tag.map(str::to_owned),
        };
        let user = response.extensions().get().map(|AuthenticatedUser(user)| user.to_string());
        let event = |content: Content| Event {
            id: uuid::Uuid::new_v4().to_string(),
            timestamp: now(),
            action,
            target: content,
            request: self.record.clone(),
            actor: Actor { name: user.clone() },
            source: Source { addr: self.record.host.clone(), ..Source::default() },
            is_blob,
        };
        // The tag in the path, and those that were asked for by `?tag=`.
        let more = headers.get_all("oci-tag").iter().filter_map(|tag| tag.to_str().ok());
        let tags = tag.into_iter().chain(more.filter(|more| tag != Some(*more)));
        let tagged: Vec<Event> =
            tags.map(|tag| event(Content { tag: Some(tag.to_owned()), ..content.clone() })).collect();
        if tagged.is_empty() { vec![event(content)] } else { tagged }
    }

    /// What was done, and whether to a blob.
    fn action(&self, asked: &Asked, status: StatusCode) -> Option<(Action, bool)> {
        let mounted = self.uri.query().is_some_and(|query| query.split('&').any(|p| p.starts_with("mount=")));
        Some(match (asked.route, status.as_u16()) {
            ("put_manifest", 201) => (Action::Push, false),
            ("delete_manifest", 202) => (Action::Delete, false),
            ("delete_blob", 202) => (Action::Delete, true),
            ("put_upload", 201) => (Action::Push, true),
            ("start_upload", 201) if mounted => (Action::Mount, true),
            ("start_upload", 201) => (Action::Push, true),
            // A client asks by HEAD what it may have already.
            ("get_manifest", 200) if self.method == Method::GET => (Action::Pull, false),
            ("get_blob", 200) if self.method == Method::GET => (Action::Pull, true),
            _ => return None,
        })
    }
}
