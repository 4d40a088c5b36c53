//! Many subscribers on one topic: does everyone get everything, how soon, and does one that stops reading hold the
//! others up?

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{Bench, Figure, Row, conn::Conn, figures::count};
use crate::bench::{Ack, Latencies, Observer as _, number};

const TOPIC: &str = "subscribers";
/// The rate that is aimed at, and what is tried when the cluster cannot keep it.
const RATES: [u64; 4] = [10_000, 5_000, 2_000, 1_000];
/// Bytes of a message.
const SIZE: usize = 256;
/// How often the publisher writes.
const BURSTS_PER_SECOND: u64 = 1_000;
const READ_BYTES: usize = 64 << 10;
/// After the last publish everything must be there by then.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let all = bench.plan.subscribers;
    let (rate, reading, reasons) = sustained(bench)?;
    let ms = |us: f64| us / 1e3;
    let name = format!("{all} subscribers: rate at which all get everything");
    let figure = Figure::new(Row::Subscribers, name, reading.per_second, "msg/s")
        // The publisher sleeps between its bursts, so the rate falls short by a little.
        .at_least(0.99 * per_second(RATES[0]))
        .noting(reasons);
    bench.note(figure);
    let name = format!("{all} subscribers, {rate} msg/s: p99 to delivery");
    let figure = Figure::new(Row::Subscribers, name, ms(reading.latencies.p99_us()), "ms")
        .at_most(20.0)
        .beside(ms(bench.results.floor.commit_us()))
        .noting(format!(
            "p50 {:.1} max {:.1} ms of {}",
            ms(reading.latencies.p50_us()),
            ms(reading.latencies.max_us()),
            count(reading.latencies.count())
        ));
    bench.note(figure);
    let held_up = run(bench, all, rate, true).context("one not reading")?;
    let change = 100.0 * (held_up.latencies.p99_us() / reading.latencies.p99_us() - 1.0);
    let name = "one stops reading: change of the others' p99";
    let figure = Figure::new(Row::Subscribers, name, change, "%")
        .at_most(20.0)
        .noting(format!(
            "p50 {:.1} p99 {:.1} ms",
            ms(held_up.latencies.p50_us()),
            ms(held_up.latencies.p99_us())
        ));
    bench.note(figure);
    Ok(())
}

/// The highest of the rates at which everybody got everything, and why it was none above.
fn sustained(bench: &mut Bench<'_>) -> anyhow::Result<(u64, Delivered, String)> {
    let mut reasons = Vec::new();
    for rate in RATES {
        match run(bench, bench.plan.subscribers, rate, false) {
            Ok(delivered) => return Ok((rate, delivered, reasons.join("; "))),
            Err(error) => reasons.push(format!("at {rate}: {error:#}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

#[expect(clippy::cast_precision_loss, reason = "no rate comes near 53 bits")]
fn per_second(rate: u64) -> f64 {
    rate as f64
}

struct Delivered {
    latencies: Latencies,
    per_second: f64,
}

/// When each message of this run was sent.
struct Sent {
    began: Instant,
    /// Nanoseconds after `began`, by position; 0 until it is sent.
    at_ns: Vec<AtomicU64>,
    /// The offset of the first.
    first_offset: u64,
    /// Publishing failed: nobody need wait any longer.
    failed: AtomicBool,
}

/// With `silent`, one more subscriber that never reads.
fn run(bench: &mut Bench<'_>, subscribers: usize, rate: u64, silent: bool) -> anyhow::Result<Delivered> {
    let leader = bench.cluster.await_settled()?;
    let nodes = bench.cluster.nodes();
    // What an earlier run left unknown may have been committed since.
    let status = bench
        .cluster
        .status(leader)
        .context("the leader does not answer")?;
    let topic = status.topics.iter().find(|topic| topic.name == TOPIC);
    let first_offset = topic.map_or(0, |topic| topic.high_watermark) + 1;
    let mut readers = (0..subscribers)
        .zip(nodes.iter().cycle())
        .map(|(_, node)| Reader::subscribe(Conn::open(node)?, first_offset))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let _silent = silent
        .then(|| Reader::subscribe(Conn::open(&nodes[leader])?, first_offset))
        .transpose()?;
    let mut source = Conn::open(&nodes[leader])?;
    let messages = rate * bench.plan.subscribed_for.as_secs();
    let sent = Sent {
        began: Instant::now(),
        at_ns: (0..messages).map(|_| AtomicU64::new(0)).collect(),
        first_offset,
        failed: AtomicBool::new(false),
    };
    let deadline = bench.plan.subscribed_for + PATIENCE;
    let mut latencies = Latencies::new();
    let mut acks = Vec::new();
    let published = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let published = publish(&mut source, rate, &sent, &mut acks);
            sent.failed.store(published.is_err(), Ordering::Relaxed);
            published
        });
        let received = receive(&mut readers, &sent, deadline, &mut latencies);
        let published = publishing
            .join()
            .map_err(|_| anyhow!("the publisher ended early"))?;
        // Why publishing failed says more than that it did.
        published.and_then(|rate| received.map(|()| rate))
    });
    let topic = bench.ledger.topic(TOPIC);
    for (number, (id, offset)) in (0..).zip(&acks) {
        let ack = Ack {
            id,
            offset: Some(*offset),
        };
        topic.acknowledged(number, &ack);
    }
    if (acks.len() as u64) < messages {
        topic.has_unknown();
    }
    Ok(Delivered {
        latencies,
        per_second: published?,
    })
}

/// Ids and offsets, in the order published.
type Acks = Vec<(Vec<u8>, u64)>;

/// Publishes at the rate, in bursts, and collects the answers; gives the rate that was reached.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 53 bits")]
fn publish(conn: &mut Conn, rate: u64, sent: &Sent, acks: &mut Acks) -> anyhow::Result<f64> {
    let filler = "x".repeat(SIZE - 12);
    let total = sent.at_ns.len() as u64;
    let burst = (rate / BURSTS_PER_SECOND).max(1);
    let began = Instant::now();
    let mut next = 0;
    let mut line = Vec::new();
    while next < total {
        let due = began + Duration::from_secs(1) * u32::try_from(next)? / u32::try_from(rate)?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let numbers = next..(next + burst).min(total);
        let lines: Vec<String> = numbers
            .clone()
            .map(|number| format!("PUB {TOPIC} {number:012x}{filler}\n"))
            .collect();
        let now_ns = u64::try_from(sent.began.elapsed().as_nanos())?;
        for number in numbers.clone() {
            sent.at_ns[usize::try_from(number)?].store(now_ns, Ordering::Release);
        }
        conn.send(&lines.concat())?;
        next = numbers.end;
        // Answers of earlier bursts are here by now; at most a second's worth is left unread.
        while (acks.len() as u64) + rate < next {
            acks.push(ack(conn, &mut line)?);
        }
    }
    let rate = total as f64 / began.elapsed().as_secs_f64();
    while (acks.len() as u64) < total {
        acks.push(ack(conn, &mut line)?);
    }
    Ok(rate)
}

fn ack(conn: &mut Conn, line: &mut Vec<u8>) -> anyhow::Result<(Vec<u8>, u64)> {
    conn.line(line)?;
    let mut words = line.split(|byte| *byte == b' ');
    match (
        words.next(),
        words.next(),
        words.next(),
        words.next().and_then(number),
    ) {
        (Some(b"OK"), Some(b"published"), Some(id), Some(offset)) => Ok((id.to_owned(), offset)),
        _ => bail!(
            "`{}` instead of an acknowledgement",
            String::from_utf8_lossy(line)
        ),
    }
}

/// Reads from all subscribers until each has everything.
fn receive(
    readers: &mut [Reader],
    sent: &Sent,
    within: Duration,
    latencies: &mut Latencies,
) -> anyhow::Result<()> {
    let end = sent.first_offset + sent.at_ns.len() as u64;
    let until = Instant::now() + within;
    let mut chunk = vec![0; READ_BYTES];
    while readers.iter().any(|reader| reader.next_offset < end) {
        ensure!(!sent.failed.load(Ordering::Relaxed), "publishing failed");
        ensure!(Instant::now() < until, "not everybody got everything in time");
        for at in ready(readers)? {
            readers[at].read(&mut chunk, sent, latencies)?;
        }
    }
    Ok(())
}

fn ready(readers: &[Reader]) -> anyhow::Result<Vec<usize>> {
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    let mut sockets: Vec<PollFd<'_>> = readers
        .iter()
        .map(|reader| PollFd::from_borrowed_fd(reader.stream.as_fd(), PollFlags::IN))
        .collect();
    match poll(&mut sockets, Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).context("cannot wait for the sockets"),
    }
    let is_ready = |(at, socket): (usize, &PollFd<'_>)| (!socket.revents().is_empty()).then_some(at);
    Ok(sockets.iter().enumerate().filter_map(is_ready).collect())
}

/// One subscriber.
struct Reader {
    stream: TcpStream,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
    next_offset: u64,
}

impl Reader {
    fn subscribe(mut conn: Conn, next_offset: u64) -> anyhow::Result<Self> {
        conn.send(&format!("SUB {TOPIC}\n"))?;
        let mut line = Vec::new();
        conn.line(&mut line)?;
        ensure!(
            line.starts_with(b"OK subscribed"),
            "`{}`",
            String::from_utf8_lossy(&line)
        );
        let stream = conn.into_stream();
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
            next_offset,
        })
    }

    /// Takes in what is there. All of it arrived now, so one look at the clock is enough.
    fn read(&mut self, chunk: &mut [u8], sent: &Sent, latencies: &mut Latencies) -> anyhow::Result<()> {
        let count = match self.stream.read(chunk) {
            Ok(0) => bail!("a subscription was closed"),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(io::Error::new(error.kind(), "a subscription broke").into()),
        };
        let now_ns = u64::try_from(sent.began.elapsed().as_nanos())?;
        let mut start = 0;
        for line_end in memchr::memchr_iter(b'\n', &chunk[..count]) {
            if self.rest.is_empty() {
                self.line(&chunk[start..line_end], sent, now_ns, latencies)?;
            } else {
                let mut line = std::mem::take(&mut self.rest);
                line.extend_from_slice(&chunk[start..line_end]);
                self.line(&line, sent, now_ns, latencies)?;
            }
            start = line_end + 1;
        }
        self.rest.write_all(&chunk[start..count])?;
        Ok(())
    }

    fn line(
        &mut self,
        line: &[u8],
        sent: &Sent,
        now_ns: u64,
        latencies: &mut Latencies,
    ) -> anyhow::Result<()> {
        let offset = offset_of(line)
            .with_context(|| format!("`{}` instead of a record", String::from_utf8_lossy(line)))?;
        ensure!(
            offset == self.next_offset,
            "a subscriber got offset {offset} instead of {}",
            self.next_offset
        );
        self.next_offset += 1;
        let at = usize::try_from(offset - sent.first_offset)?;
        let sent_ns = sent
            .at_ns
            .get(at)
            .context("an offset nobody published")?
            .load(Ordering::Acquire);
        latencies.add(Duration::from_nanos(now_ns.saturating_sub(sent_ns)), 1);
        Ok(())
    }
}

/// The offset of a `MSG` line.
fn offset_of(line: &[u8]) -> Option<u64> {
    let mut fields = line.strip_prefix(b"MSG ")?.splitn(4, |byte| *byte == b' ');
    number(fields.nth(2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_the_fourth_word_of_a_delivery() {
        assert_eq!(offset_of(b"MSG t n1-a-1 42 1.5 1.5 7 logical text 9"), Some(42));
        for other in ["HISTORY t i 4 x", "MSG t i", "MSG t i x y", ""] {
            assert_eq!(offset_of(other.as_bytes()), None, "{other}");
        }
    }
}
