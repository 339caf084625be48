//! What was asked of each name and what was answered, and whether one server alone could have answered so.
//!
//! A tag, a manifest in a repository and a blob in a repository are each a register: it holds a digest or
//! nothing. A write takes effect at one instant between its request and its answer, or at any time after its
//! request when no answer said what became of it. A read is wrong when no write explains it: none of its value had
//! begun, or another one that began after it had been answered before the read began.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// What a register holds: a digest, or nothing.
pub(crate) type Value = Option<String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Answered: it took place.
    Write,
    /// It may have taken place or not: it overwrites nothing for sure.
    Perhaps,
    Read,
}

#[derive(Clone, Debug)]
struct Event {
    kind: Kind,
    value: Value,
    server: usize,
    start: Instant,
    /// `None`: any time later.
    end: Option<Instant>,
}

/// The registers of a run.
#[derive(Default)]
pub(crate) struct History(Mutex<HashMap<String, Vec<Event>>>);

/// When a request was sent and by which server it was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) server: usize,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

impl History {
    /// A write that was acknowledged.
    pub(crate) fn wrote(&self, register: &str, value: Value, span: Span) {
        self.add(register, Kind::Write, value, span, Some(span.end));
    }

    /// A write of which nothing is known but when it was sent.
    pub(crate) fn may_have_written(&self, register: &str, value: Value, span: Span) {
        self.add(register, Kind::Perhaps, value, span, None);
    }

    /// A write that had its effect within the span, if it had any.
    pub(crate) fn may_have_written_within(&self, register: &str, value: Value, span: Span) {
        self.add(register, Kind::Perhaps, value, span, Some(span.end));
    }

    /// What was read.
    pub(crate) fn read(&self, register: &str, value: Value, span: Span) {
        self.add(register, Kind::Read, value, span, Some(span.end));
    }

    fn add(&self, register: &str, kind: Kind, value: Value, span: Span, end: Option<Instant>) {
        let event = Event { kind, value, server: span.server, start: span.start, end };
        let mut registers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registers.entry(register.to_owned()).or_default().push(event);
    }

    /// The registers whose name starts so.
    pub(crate) fn names(&self, start: &str) -> Vec<String> {
        let registers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registers.keys().filter(|name| name.starts_with(start)).cloned().collect()
    }

    /// Takes over what another history has read.
    pub(crate) fn add_reads_of(&self, other: &Self) {
        let read = std::mem::take(&mut *other.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut registers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (register, events) in read {
            registers.entry(register).or_default().extend(events);
        }
    }

    /// Each read that no order of the writes explains.
    pub(crate) fn wrong_reads(&self) -> Vec<String> {
        let registers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrong = Vec::new();
        for (register, events) in registers.iter() {
            let reads = events.iter().filter(|event| event.kind == Kind::Read);
            wrong.extend(
                reads.filter(|read| !explained(read, events)).map(|read| describe(register, read, events)),
            );
        }
        wrong
    }

    /// How many reads were judged.
    pub(crate) fn reads(&self) -> usize {
        let registers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registers.values().flatten().filter(|event| event.kind == Kind::Read).count()
    }
}

fn explained(read: &Event, events: &[Event]) -> bool {
    let read_end = read.end.expect("a read has an answer");
    // A write that was answered, of another value, all of it between `after` and the read.
    let overwritten_after = |after: Instant| {
        events.iter().any(|other| {
            other.kind == Kind::Write
                && other.value != read.value
                && other.start > after
                && effective_end(other, events).is_some_and(|end| end < read.start)
        })
    };
    // Nothing is there at first.
    if read.value.is_none()
        && !events.iter().any(|other| {
            other.kind == Kind::Write
                && other.value.is_some()
                && other.end.is_some_and(|end| end < read.start)
        })
    {
        return true;
    }
    let mut writes = events.iter().filter(|event| event.kind != Kind::Read && event.value == read.value);
    writes.any(|write| {
        write.start < read_end && effective_end(write, events).is_none_or(|end| !overwritten_after(end))
    })
}

/// Until when a write has taken effect: its answer, or, when it alone explains that value, the first answer that
/// shows it. Nothing is there before the first write too, so that value never shows a write.
fn effective_end(write: &Event, events: &[Event]) -> Option<Instant> {
    let same = |event: &&Event| event.value == write.value;
    let alone = write.value.is_some()
        && events.iter().filter(same).filter(|event| event.kind != Kind::Read).count() == 1;
    let seen = events.iter().filter(same).filter(|event| alone && event.kind == Kind::Read);
    seen.filter_map(|event| event.end).chain(write.end).min()
}

/// The read, and what happened to the register up to it.
fn describe(register: &str, read: &Event, events: &[Event]) -> String {
    let since = |time: Instant| {
        let (sign, span) = match time.checked_duration_since(read.start) {
            Some(later) => ("+", later),
            None => ("-", read.start.duration_since(time)),
        };
        format!("{sign}{:.3}", span.as_secs_f64())
    };
    let line = |event: &Event| {
        let value = event.value.as_deref().map_or("nothing", |digest| &digest[..digest.len().min(15)]);
        let end = event.end.map_or_else(|| "?".to_owned(), since);
        format!("{:?} {value} by {} from {} to {end}", event.kind, event.server, since(event.start))
    };
    let mut lines: Vec<_> = events.iter().filter(|event| event.kind != Kind::Read).collect();
    lines.sort_by_key(|event| event.start);
    let lines: Vec<_> = lines.iter().rev().take(8).rev().map(|event| line(event)).collect();
    format!("{register}: {}; writes: {}", line(read), lines.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn span(base: Instant, start: u64, end: u64) -> Span {
        let at = |seconds| base + Duration::from_secs(seconds);
        Span { server: 0, start: at(start), end: at(end) }
    }

    #[test]
    fn tells_what_one_server_could_have_answered() {
        let base = Instant::now();
        let value = |text: &str| Some(text.to_owned());
        let wrong_after = |reads: &[(Value, u64, u64)]| {
            let history = History::default();
            history.wrote("tag", value("one"), span(base, 10, 20));
            history.wrote("tag", value("two"), span(base, 30, 40));
            history.wrote("tag", None, span(base, 60, 70));
            for (read, start, end) in reads {
                history.read("tag", read.clone(), span(base, *start, *end));
            }
            history.wrong_reads().len()
        };
        assert_eq!(wrong_after(&[(None, 1, 5), (None, 11, 12), (value("one"), 11, 12)]), 0);
        assert_eq!(wrong_after(&[(value("one"), 31, 50), (value("two"), 31, 32), (None, 61, 62)]), 0);
        assert_eq!(wrong_after(&[(value("one"), 1, 5)]), 1, "before it was written");
        assert_eq!(wrong_after(&[(None, 21, 25)]), 1, "lost");
        assert_eq!(wrong_after(&[(value("one"), 41, 45)]), 1, "old");
        assert_eq!(wrong_after(&[(value("two"), 71, 75)]), 1, "deleted");
        assert_eq!(wrong_after(&[(value("three"), 41, 45)]), 1, "never written");
        assert_eq!(wrong_after(&[(value("two"), 31, 32), (value("one"), 33, 34)]), 1, "back and forth");
    }
}
