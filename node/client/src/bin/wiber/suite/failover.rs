//! How long the cluster is without a leader, as a client sees it: from the signal that takes the leader away to the
//! first publish that another node acknowledges.
//!
//! The client asks the other nodes again every few milliseconds, on new connections and under one id, and does not
//! wait for earlier answers: what is measured is the cluster, not a client's patience.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::bail;
use rustix::process::Signal;

use super::{Bench, Figure, Row};
use crate::bench::{Ack, Latencies, Observer as _};

const TOPIC: &str = "failover";
const TICK: Duration = Duration::from_millis(2);
/// With attempts on their way, a new one is made this often.
const ATTEMPT_EVERY: Duration = Duration::from_millis(4);
/// Attempts without an answer at any time; past it the oldest is given up.
const MAX_ATTEMPTS: usize = 256;
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn killed_and_stopped(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (kills, stops) = (bench.plan.kills, bench.plan.stops);
    let killed = repeat(bench, kills, Signal::KILL)?;
    let floor_ms = bench.results.floor.commit_us() / 1e3;
    let ms = |us: f64| us / 1e3;
    let figure = Figure::new(Row::Failover, "leader killed: p50", ms(killed.p50_us()), "ms")
        .at_most(50.0)
        .beside(floor_ms)
        .noting(spread(&killed));
    bench.note(figure);
    let figure = Figure::new(Row::Failover, "leader killed: p99", ms(killed.p99_us()), "ms")
        .at_most(1000.0)
        .beside(floor_ms)
        .noting(format!("of {kills}"));
    bench.note(figure);
    let stopped = repeat(bench, stops, Signal::TERM)?;
    let figure = Figure::new(
        Row::Failover,
        "leader stopped in good order: p50",
        ms(stopped.p50_us()),
        "ms",
    )
    .at_most(50.0)
    .beside(floor_ms)
    .noting(spread(&stopped));
    bench.note(figure);
    Ok(())
}

pub(super) fn silent(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let silences = bench.plan.silences;
    let silent = repeat(bench, silences, Signal::STOP)?;
    let figure = Figure::new(Row::Silence, "leader silent: max", silent.max_us() / 1e3, "ms")
        .at_most(1000.0)
        .beside(bench.results.floor.commit_us() / 1e3)
        .noting(spread(&silent));
    bench.note(figure);
    Ok(())
}

fn spread(latencies: &Latencies) -> String {
    format!(
        "p50 {:.0} p99 {:.0} max {:.0} ms of {}",
        latencies.p50_us() / 1e3,
        latencies.p99_us() / 1e3,
        latencies.max_us() / 1e3,
        latencies.count()
    )
}

/// Takes the leader away `count` times; after each the cluster is whole again before the next.
fn repeat(bench: &mut Bench<'_>, count: usize, signal: Signal) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new();
    for time in 0..count {
        if signal == Signal::STOP {
            bench.cluster.await_hearing()?;
        }
        let leader = bench.cluster.await_settled()?;
        let others: Vec<SocketAddr> = bench
            .cluster
            .nodes()
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != leader)
            .map(|(_, node)| SocketAddr::from(([127, 0, 0, 1], node.port)))
            .collect();
        let number = bench.ledger.topic(TOPIC).len() as u64;
        let id = format!("failover-{number}");
        let line = format!("PUB {TOPIC} --id {id} {number:012x} the leader is gone\n");
        let began = Instant::now();
        bench.cluster.signal(leader, signal)?;
        let took = match first_acknowledged(&others, &line, &id, began) {
            Ok(took) => took,
            Err(error) => {
                bench.ledger.topic(TOPIC).has_unknown();
                return Err(error.context(format!("after signal {signal:?}, time {}", time + 1)));
            }
        };
        latencies.add(took, 1);
        // A follower's answer tells no offset, and a later leader's would be that of a duplicate.
        let ack = Ack {
            id: id.as_bytes(),
            offset: None,
        };
        bench.ledger.topic(TOPIC).acknowledged(number, &ack);
        if signal == Signal::STOP {
            bench.cluster.signal(leader, Signal::CONT)?;
        } else {
            bench.cluster.await_exit(leader)?;
            bench.cluster.start_node(leader)?;
        }
    }
    bench.cluster.await_settled()?;
    Ok(latencies)
}

/// Publishes `line` to the nodes in turn until one has acknowledged it; gives the time since `began`.
fn first_acknowledged(
    nodes: &[SocketAddr],
    line: &str,
    id: &str,
    began: Instant,
) -> anyhow::Result<Duration> {
    let mut attempts: Vec<TcpStream> = Vec::new();
    let mut attempted_at: Option<Instant> = None;
    let mut turn = nodes.iter().cycle();
    let mut last_answer = "no answer at all".to_owned();
    while began.elapsed() < PATIENCE {
        if attempted_at.is_none_or(|at| at.elapsed() >= ATTEMPT_EVERY) || attempts.is_empty() {
            attempted_at = Some(Instant::now());
            if attempts.len() == MAX_ATTEMPTS {
                attempts.remove(0);
            }
            attempts.extend(turn.next().and_then(|node| attempt(*node, line)));
        }
        let mut next = Vec::with_capacity(attempts.len() + 1);
        for mut attempt in attempts {
            match answer(&mut attempt) {
                Answer::NotYet => next.push(attempt),
                Answer::Line(answer) if acknowledges(&answer, id) => return Ok(began.elapsed()),
                Answer::Line(answer) => last_answer = answer,
                Answer::Gone => {}
            }
        }
        attempts = next;
        std::thread::sleep(TICK);
    }
    bail!("no publish was acknowledged within {PATIENCE:?}; the last answer: {last_answer}")
}

fn acknowledges(answer: &str, id: &str) -> bool {
    let mut words = answer.split(' ');
    words.next() == Some("OK")
        && matches!(words.next(), Some("published" | "REDIRECTED" | "duplicate"))
        && words.next().is_some_and(|word| word.trim_end() == id)
}

fn attempt(node: SocketAddr, line: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&node, Duration::from_millis(100)).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.write_all(line.as_bytes()).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

enum Answer {
    NotYet,
    Line(String),
    Gone,
}

fn answer(stream: &mut TcpStream) -> Answer {
    // Answers are far shorter and come in one piece.
    let mut bytes = [0; 1024];
    match stream.read(&mut bytes) {
        Ok(0) => Answer::Gone,
        Ok(count) => Answer::Line(String::from_utf8_lossy(&bytes[..count]).trim_end().to_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Answer::NotYet
        }
        Err(_) => Answer::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_of_this_very_id_counts() {
        for answer in ["OK published f-1 7 9", "OK REDIRECTED f-1", "OK duplicate f-1"] {
            assert!(acknowledges(answer, "f-1"), "{answer}");
        }
        for answer in [
            "OK published f-12 7 9",
            "ERR not_leader",
            "OK bye",
            "REDIRECT f-1 9",
            "",
        ] {
            assert!(!acknowledges(answer, "f-1"), "{answer}");
        }
    }
}
