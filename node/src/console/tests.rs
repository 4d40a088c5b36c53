//! From an event to the written line, with outputs that are slow or broken.

use std::{io::Write, sync::mpsc, time::Duration};

use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt;

use super::{
    output::{MAX_QUEUED_LINES, Queue},
    *,
};
use crate::clock::ManualClock;

/// What an output wrote, for the test to read.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// The lines without the date and their times of day.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let event = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
        text.lines().filter_map(event).collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that waits for a word of the test before each write.
struct Gated {
    gate: mpsc::Receiver<()>,
    written: Written,
    fails: u32,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.gate.recv();
        if self.fails > 0 {
            self.fails -= 1;
            return Err(io::Error::other("no space left"));
        }
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn printing(queue: Arc<Queue>, clock: Arc<ManualClock>, filter: &str, events: impl FnOnce()) {
    let layer = ConsoleLayer::new(vec![queue], clock);
    let subscriber = tracing_subscriber::registry()
        .with(parse_filter(filter).unwrap())
        .with(layer);
    tracing::subscriber::with_default(subscriber, events);
}

/// The lines that `events` print with `filter`.
fn printed(filter: &str, events: impl FnOnce(&ManualClock)) -> Vec<String> {
    let written = Written::default();
    let clock = Arc::new(ManualClock::new(0));
    let output = Output::start("test", written.clone(), false).unwrap();
    printing(output.queue(), Arc::clone(&clock), filter, || events(&clock));
    drop(output);
    written.lines()
}

#[test]
fn an_event_becomes_a_line_for_people() {
    let lines = printed("info", |_| {
        let votes = "n2,n3";
        tracing::info!(target: "raft", term = 7, %votes, emphasis = true, "leader");
        tracing::warn!(target: "storage", took_ms = 6.8, reason = "a slow disk", "slow fsync");
        tracing::error!("without a target");
        tracing::debug!(target: "raft", "not asked for");
    });
    let expected = [
        " INFO raft leader term=7 votes=n2,n3",
        " WARN storage slow fsync took_ms=6.8 reason=\"a slow disk\"",
        "ERROR wiber_node without a target",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_engine_is_heard_only_where_it_worries_or_when_asked_for() {
    let events = |_: &ManualClock| {
        tracing::info!(target: "openraft::core::raft_core", "chatter");
        tracing::error!(target: "openraft::core::raft_core", "worry");
        tracing::debug!(target: "raft", "ours");
    };
    assert_eq!(printed("info", events), ["ERROR openraft worry"]);
    assert_eq!(
        printed("debug", events),
        ["ERROR openraft worry", "DEBUG raft ours"]
    );
    assert_eq!(
        printed("openraft=info", events),
        [" INFO openraft chatter", "ERROR openraft worry"]
    );
}

#[test]
fn what_the_engine_repeats_is_said_once_in_a_while() {
    let lines = printed("info,openraft=warn", |clock| {
        for n in 0..200 {
            tracing::warn!(target: "openraft::network", n, "unreachable");
            tracing::info!(target: "rpc", "ours");
            clock.advance_us(30_000);
        }
    });
    let engine: Vec<_> = lines.iter().filter(|line| line.contains("openraft")).collect();
    assert_eq!(
        engine,
        [
            " WARN openraft unreachable n=0",
            " WARN openraft unreachable n=167 (and 166 alike)"
        ]
    );
    assert_eq!(lines.len(), 202);
}

#[test]
fn a_stuck_output_delays_nobody_and_admits_what_it_dropped() {
    let (open, gate) = mpsc::sync_channel(1);
    let written = Written::default();
    let output = Output::start(
        "test",
        Gated {
            gate,
            written: written.clone(),
            fails: 0,
        },
        false,
    )
    .unwrap();
    let queue = output.queue();
    let total = MAX_QUEUED_LINES + 100;
    printing(Arc::clone(&queue), Arc::default(), "info", || {
        tracing::info!(target: "node", "first");
        // The writer is stuck in its first write from here on, with the first line taken.
        while queue.len() > 0 {
            std::thread::yield_now();
        }
        for n in 0..total {
            tracing::info!(target: "node", n, "next");
        }
    });
    drop(open);
    drop(output);
    let lines = written.lines();
    assert_eq!(lines.len(), 1 + MAX_QUEUED_LINES + 1);
    assert!(lines.last().unwrap().ends_with("lines=100"), "{:?}", lines.last());
}

#[test]
fn a_failed_write_is_counted_and_the_next_one_tried() {
    let (open, gate) = mpsc::sync_channel(1);
    let written = Written::default();
    let output = Output::start(
        "test",
        Gated {
            gate,
            written: written.clone(),
            fails: 1,
        },
        false,
    )
    .unwrap();
    let queue = output.queue();
    printing(Arc::clone(&queue), Arc::default(), "info", || {
        tracing::info!(target: "node", "lost");
        while queue.len() > 0 {
            std::thread::yield_now();
        }
        open.send(()).unwrap();
        queue.wait_for_dropped();
        tracing::info!(target: "node", "kept");
    });
    drop(open);
    drop(output);
    let lines = written.lines();
    assert_eq!(lines[0], " INFO node kept");
    assert!(lines[1].ends_with("lines=1"), "{lines:?}");
}

#[test]
fn the_end_does_not_wait_for_a_stuck_output() {
    let (open, gate) = mpsc::sync_channel(1);
    let output = Output::start(
        "test",
        Gated {
            gate,
            written: Written::default(),
            fails: 0,
        },
        false,
    )
    .unwrap();
    printing(
        output.queue(),
        Arc::default(),
        "info",
        || tracing::info!(target: "node", "stuck"),
    );
    let (ended, end) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        drop(output);
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(20)).unwrap();
    drop(open);
}

#[test]
fn a_wrong_filter_is_refused_by_name() {
    let error = check_filter("raft=loud").unwrap_err().to_string();
    assert!(error.starts_with("`raft=loud` is no filter"), "{error}");
}
