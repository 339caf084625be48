//! Events, started; and what is deleted on pages as events of theirs.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    events::{self, Actor, Content, Event, Events},
    ui::TellDeletion,
};

/// Opens the queues.
pub(super) fn start(config: &events::Config) -> anyhow::Result<Events> {
    let queue = || format!("cannot keep events in {} (events.queue)", config.queue.display());
    Events::start(config).with_context(queue)
}

/// Puts an event into the queues for what the pages delete, as if it had been done by the API.
pub(super) fn teller(events: Events) -> TellDeletion {
    Arc::new(move |entry| {
        let target = Content {
            repository: entry.repository.map(|name| name.to_string()).unwrap_or_default(),
            tag: entry.tag.map(|tag| tag.to_string()),
            digest: entry.was.map(|digest| digest.to_string()),
            ..Content::default()
        };
        let event = Event::deletion(target, Actor { name: entry.user }, entry.address.unwrap_or_default());
        let events = events.clone();
        Box::pin(async move { events.record(event).await })
    })
}
