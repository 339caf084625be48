//! An event as CNCF Distribution writes it (`notifications/event.go`, media type
//! `application/vnd.docker.distribution.events.v2+json`), one in each envelope.

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The media type of an envelope.
pub(super) const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v2+json";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the envelope")]
pub enum Action {
    Push,
    Pull,
    Mount,
    Delete,
}

impl std::str::FromStr for Action {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "push" => Self::Push,
            "pull" => Self::Pull,
            "mount" => Self::Mount,
            "delete" => Self::Delete,
            _ => return Err(()),
        })
    }
}

/// One event.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields of the envelope")]
pub struct Event {
    pub id: String,
    pub timestamp: String,
    pub action: Action,
    pub target: Content,
    pub request: RequestRecord,
    pub actor: Actor,
    pub source: Source,
    #[serde(skip)]
    pub is_blob: bool,
}

/// What it was done to.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields of the envelope")]
pub struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    pub repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// The request that did it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RequestRecord {
    pub id: String,
    pub addr: String,
    pub host: String,
    pub method: String,
    pub useragent: String,
}

/// Who did it.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields of the envelope")]
pub struct Actor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The server that tells.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    pub addr: String,
    #[serde(rename = "instanceID")]
    pub instance: String,
}

/// Now, as the envelope has it.
pub(super) fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

impl Event {
    /// A manifest, or a tag of one, was deleted other than by a request of the API.
    pub fn deletion(target: Content, by: Actor, addr: String) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            timestamp: now(),
            action: Action::Delete,
            target,
            request: RequestRecord { addr, ..RequestRecord::default() },
            actor: by,
            source: Source::default(),
            is_blob: false,
        }
    }

    /// The body that is sent.
    pub(super) fn envelope(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            events: [&'a Event; 1],
        }
        serde_json::to_vec(&Envelope { events: [self] }).unwrap_or_default()
    }
}
