//! What the nodes print, as lines of the trace.

use std::fmt::{Debug, Write};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::Registry,
};

use crate::{process, say, world::World};

/// The node's own targets. The engine prints the machine's time.
const TARGETS: [&str; 5] = ["node", "raft", "rpc", "storage", "publish"];

struct Printed(World);

/// Prints into the trace as long as the guard lives, in this thread.
pub(crate) fn install(world: &World) -> DefaultGuard {
    tracing::subscriber::set_default(Registry::default().with(Printed(world.clone())))
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing into a string cannot fail.
            _ = write!(self.0, "{value:?}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Printed {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO && TARGETS.contains(&metadata.target())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        say!(self.0, process::running(), "says: {}", message.0);
    }
}
