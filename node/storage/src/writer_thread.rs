//! The thread that gives a writer its turns.

use std::{io, thread};

use crate::writer::Writer;

pub(crate) fn start(writer: Writer) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || run(Guard(writer)))
}

fn run(mut guard: Guard) {
    let writer = &mut guard.0;
    while let Some(commands) = writer.shared.wait_and_take(writer.has_leftovers()) {
        writer.turn(commands);
        if writer.is_failed() {
            break;
        }
    }
    writer.finish();
}

/// Nobody waits for ever if a callback panics: the log is poisoned and what waits is told.
struct Guard(Writer);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison(io::ErrorKind::Other, "the log's writer panicked");
        }
    }
}
