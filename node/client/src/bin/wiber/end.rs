//! The signals that ask a command for its end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::INTERRUPTED;

/// For a command that goes on by itself. From when this is made, a signal ends a wait instead of the process.
pub(crate) struct End {
    signals: [Signal; 3],
}

impl End {
    pub(crate) fn new() -> io::Result<Self> {
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
    pub(crate) fn new() -> io::Result<Self> {
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

/// For work that never waits for a future: becomes true at the first interrupt, and the second ends the process.
pub(crate) fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut interrupts = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let has_come = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&has_come);
    thread::spawn(move || {
        runtime.block_on(async {
            interrupts.recv().await;
            told.store(true, Ordering::Relaxed);
            interrupts.recv().await;
            std::process::exit(i32::from(INTERRUPTED));
        });
    });
    Ok(has_come)
}
