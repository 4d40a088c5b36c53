//! What everything in one run shares: the clock, the trace, the counters, and the first broken promise.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    count::{Count, Counters},
    mutants::Broken,
    oracle::Oracle,
};

/// One run. Clones share it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    seed: u64,
    start: Instant,
    broken: Option<Broken>,
    counters: Counters,
    oracle: Oracle,
    trace: Mutex<Trace>,
    failure: Mutex<Option<String>>,
    failed: Notify,
}

/// Every line goes into the hash; the text is kept only for a run that is to be read.
#[derive(Default)]
struct Trace {
    hash: u64,
    crc: u32,
    lines: u64,
    line: String,
    text: Option<String>,
}

impl World {
    /// Must be called inside the run's runtime.
    pub fn new(seed: u64, broken: Option<Broken>, is_kept: bool) -> Self {
        let trace = Trace {
            text: is_kept.then(String::new),
            ..Trace::default()
        };
        Self(Arc::new(Inner {
            seed,
            start: Instant::now(),
            broken,
            counters: Counters::default(),
            oracle: Oracle::default(),
            trace: Mutex::new(trace),
            failure: Mutex::default(),
            failed: Notify::new(),
        }))
    }

    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    pub fn is_broken(&self, promise: Broken) -> bool {
        self.0.broken == Some(promise)
    }

    /// Simulated microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// As [`Self::now_us`], in nanoseconds.
    pub fn now_ns(&self) -> i64 {
        i64::try_from(self.0.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    pub fn count(&self, count: Count) {
        self.0.counters.add(count);
    }

    pub fn oracle(&self) -> &Oracle {
        &self.0.oracle
    }

    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Writes a line of the trace.
    pub fn say(&self, who: &str, what: fmt::Arguments<'_>) {
        let now_us = self.now_us();
        let mut trace = self.0.trace.lock();
        let trace = &mut *trace;
        trace.line.clear();
        let (secs, millis) = (now_us / 1_000_000, now_us / 1000 % 1000);
        // Writing into a string cannot fail.
        _ = writeln!(trace.line, "{secs:4}.{millis:03} {who:<8} {what}");
        trace.lines += 1;
        trace.crc = crc32c::crc32c_append(trace.crc, trace.line.as_bytes());
        trace.hash = trace.hash.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(trace.crc);
        if let Some(text) = &mut trace.text {
            text.push_str(&trace.line);
        }
    }

    /// A promise was broken. The first one ends the run.
    pub fn fail(&self, what: String) {
        self.say("ORACLE", format_args!("{what}"));
        let mut failure = self.0.failure.lock();
        if failure.is_none() {
            *failure = Some(what);
            self.0.failed.notify_one();
        }
    }

    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().clone()
    }

    /// Waits for the first broken promise.
    pub async fn failed(&self) {
        while self.failure().is_none() {
            self.0.failed.notified().await;
        }
    }

    /// The hash of all lines, how many there were, and their text if it was kept.
    pub fn trace(&self) -> (u64, u64, String) {
        let trace = self.0.trace.lock();
        (trace.hash, trace.lines, trace.text.clone().unwrap_or_default())
    }
}

/// Writes a line of the trace.
#[macro_export]
macro_rules! say {
    ($world:expr, $who:expr, $($text:tt)*) => {
        $world.say(&$who, format_args!($($text)*))
    };
}
