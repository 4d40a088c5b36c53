//! The signals that ask a command which goes on by itself for its end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From when this is made, a signal ends a wait instead of the process.
pub(crate) struct End {
    signals: [Signal; 3],
}

impl End {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    /// What came of it; `None` if an end was asked for before.
    pub(crate) async fn unless<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            biased;
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            _ = hangup.recv() => None,
            done = what => Some(done),
        }
    }
}
