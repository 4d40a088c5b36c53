//! From a `tracing` event to a [`Line`] in every output's queue.

use std::{
    collections::HashMap,
    fmt::{Debug, Display},
    sync::Arc,
};

use parking_lot::Mutex;
use tracing::{Event, Metadata, Subscriber, callsite::Identifier, field::Field};
use tracing_subscriber::layer::{Context, Layer};

use super::{format::Line, output::Queue};
use crate::clock::Clock;

/// A place in a library's code is heard at most this often.
const LIBRARY_INTERVAL_US: u64 = 5_000_000;
/// `emphasis = true` in an event makes its line stand out.
const EMPHASIS_FIELD: &str = "emphasis";

pub(super) struct ConsoleLayer {
    queues: Vec<Arc<Queue>>,
    clock: Arc<dyn Clock>,
    /// One entry per place in the libraries' code that ever printed: their code bounds it.
    throttled: Mutex<HashMap<Identifier, Throttle>>,
}

/// What is known about one noisy place.
#[derive(Debug, Default)]
struct Throttle {
    heard_us: u64,
    left_out: u64,
}

impl ConsoleLayer {
    pub(super) fn new(queues: Vec<Arc<Queue>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            queues,
            clock,
            throttled: Mutex::default(),
        }
    }

    /// `None` to leave the event out, else how many were left out before it.
    fn admit(&self, metadata: &Metadata<'_>) -> Option<u64> {
        if is_ours(metadata.target()) {
            return Some(0);
        }
        let now_us = self.clock.monotonic_us();
        let mut throttled = self.throttled.lock();
        let Some(place) = throttled.get_mut(&metadata.callsite()) else {
            throttled.insert(
                metadata.callsite(),
                Throttle {
                    heard_us: now_us,
                    left_out: 0,
                },
            );
            return Some(0);
        };
        if now_us - place.heard_us < LIBRARY_INTERVAL_US {
            place.left_out += 1;
            return None;
        }
        place.heard_us = now_us;
        Some(std::mem::take(&mut place.left_out))
    }
}

impl<S: Subscriber> Layer<S> for ConsoleLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(alike) = self.admit(metadata) else { return };
        let mut line = Line {
            at_us: self.clock.wall_us(),
            level: *metadata.level(),
            target: short(metadata.target()).to_owned(),
            message: String::new(),
            fields: Vec::new(),
            emphasis: false,
            alike,
        };
        event.record(&mut Fields(&mut line));
        let line = Arc::new(line);
        for queue in &self.queues {
            queue.push(Arc::clone(&line));
        }
    }
}

/// Our targets are single words, or our crates' modules.
fn is_ours(target: &str) -> bool {
    !target.contains("::") && target != "openraft" || target.starts_with("wiber_")
}

/// The crate of a module path; a word stays what it is.
fn short(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
}

struct Fields<'a>(&'a mut Line);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Display) {
        match field.name() {
            "message" => self.0.message = value.to_string(),
            name => self.0.fields.push((name, value.to_string())),
        }
    }
}

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            EMPHASIS_FIELD => self.0.emphasis = value,
            _ => self.put(field, value),
        }
    }
}
