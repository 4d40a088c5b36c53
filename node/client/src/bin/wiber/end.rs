//! The signals that ask a command for its end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// For a command that goes on by itself. From when this is made, a signal ends a wait instead of the process.
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

/// For a command that has something to say when Ctrl-C ends it. From when this is made, an interrupt ends a wait instead of
/// the process.
pub(crate) struct Interrupt {
    signal: Signal,
    has_come: bool,
}

impl Interrupt {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            signal: signal(SignalKind::interrupt())?,
            has_come: false,
        })
    }

    pub(crate) fn has_come(&self) -> bool {
        self.has_come
    }

    /// What came of it; `None` if an interrupt came before.
    pub(crate) async fn unless<T>(&mut self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.signal.recv() => {
                self.has_come = true;
                None
            }
            done = what => Some(done),
        }
    }
}
