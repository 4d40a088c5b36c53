//! A load: so many publishes over so many connections, each kept at its window until the count or the time is up.

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use wiber_protocol::config::NodeSpec;

use super::{
    answers::Observer,
    connection::{Connection, Tally},
    latencies::Latencies,
    lines::Lines,
};

/// Without any answer for this long the load is given up: a node answers within its own five seconds, if only
/// that it does not know.
const STALL: Duration = Duration::from_secs(15);
/// How long one wait for the sockets lasts at most.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// What to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) topic: String,
    pub(crate) size_bytes: usize,
    /// Publishes without an answer, over all connections; at least `conns`.
    pub(crate) inflight: usize,
    pub(crate) conns: usize,
    pub(crate) count: u64,
    /// No more is sent after this time.
    pub(crate) time_limit: Option<Duration>,
    /// What the ids begin with; `None` leaves the ids to the node.
    pub(crate) own_ids: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: u64,
    /// Publishes that were answered otherwise or not at all.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// From the first publish to the last answer.
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "no count comes near 53 bits")]
    pub(crate) fn per_second(&self) -> f64 {
        self.acknowledged as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Of message bodies, in millions of bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a body has fewer than 53 bits of bytes"
    )]
    pub(crate) fn mb_per_second(&self, load: &Load) -> f64 {
        self.per_second() * load.size_bytes as f64 / 1e6
    }
}

/// Publishes over connections to the nodes in turn. Fails where no figure would mean anything; publishes that fail
/// are counted.
pub(crate) fn publish(
    load: &Load,
    nodes: &[NodeSpec],
    observer: &mut impl Observer,
) -> anyhow::Result<Outcome> {
    let lines = Lines::new(&load.topic, load.size_bytes, load.own_ids.as_deref());
    let mut connections = (0..load.conns)
        .zip(nodes.iter().cycle())
        .map(|(at, node)| Connection::open(node, share(load.inflight, load.conns, at)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut run = Run {
        load,
        lines,
        next: 0,
        tally: Tally {
            latencies: Latencies::new(),
            errors: 0,
            first_error: None,
        },
        began: Instant::now(),
        answered_at: Instant::now(),
    };
    let ended = run.until_done(&mut connections, observer);
    if let Err(error) = ended {
        let unanswered: usize = connections.iter().map(Connection::in_flight).sum();
        run.tally.errors += (unanswered as u64).max(1);
        run.tally.first_error.get_or_insert(format!("{error:#}"));
    }
    Ok(Outcome {
        acknowledged: run.tally.latencies.count(),
        errors: run.tally.errors,
        first_error: run.tally.first_error,
        elapsed: run.answered_at - run.began,
        latencies: run.tally.latencies,
    })
}

/// What one of `parts` gets of `whole`: all get the same but for the rest.
fn share(whole: usize, parts: usize, at: usize) -> usize {
    whole / parts + usize::from(at < whole % parts)
}

struct Run<'a> {
    load: &'a Load,
    lines: Lines,
    /// The number of the next message.
    next: u64,
    tally: Tally,
    began: Instant,
    answered_at: Instant,
}

impl Run<'_> {
    fn until_done(
        &mut self,
        connections: &mut [Connection],
        observer: &mut impl Observer,
    ) -> anyhow::Result<()> {
        for connection in &mut *connections {
            self.refill(connection, observer)?;
        }
        while connections.iter().any(|connection| connection.in_flight() > 0) {
            let ready = wait(connections)?;
            if self.answered_at.elapsed() > STALL {
                bail!("no answer for {} seconds", STALL.as_secs());
            }
            for (connection, ready) in connections.iter_mut().zip(ready) {
                if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
                    && connection.read(&mut self.tally, observer)? > 0
                {
                    self.answered_at = Instant::now();
                    self.refill(connection, observer)?;
                } else if ready.contains(PollFlags::OUT) {
                    connection.write().context("sending failed")?;
                }
            }
        }
        Ok(())
    }

    fn refill(&mut self, connection: &mut Connection, observer: &impl Observer) -> anyhow::Result<()> {
        let now = Instant::now();
        let left = match self.load.time_limit {
            Some(limit) if now - self.began >= limit => 0,
            _ if !observer.goes_on() => 0,
            _ => self.load.count - self.next,
        };
        let count = connection.room().min(usize::try_from(left).unwrap_or(usize::MAX));
        connection
            .send(&self.lines, self.next, count, now)
            .context("sending failed")?;
        self.next += count as u64;
        Ok(())
    }
}

/// Waits until a socket is ready, and says for what each of them is.
fn wait(connections: &[Connection]) -> anyhow::Result<Vec<PollFlags>> {
    let mut sockets: Vec<PollFd<'_>> = connections
        .iter()
        .map(|connection| {
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, connection.has_unsent());
            PollFd::from_borrowed_fd(connection.stream().as_fd(), wanted)
        })
        .collect();
    match poll(&mut sockets, Some(&TICK)) {
        Ok(_) | Err(Errno::INTR) => Ok(sockets.iter().map(PollFd::revents).collect()),
        Err(error) => Err(error).context("cannot wait for the sockets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_the_whole_window() {
        for (whole, parts) in [(256, 1), (4096, 8), (10, 3), (3, 3)] {
            let shares: Vec<usize> = (0..parts).map(|at| share(whole, parts, at)).collect();
            assert_eq!(shares.iter().sum::<usize>(), whole);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
