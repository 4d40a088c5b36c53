//! The old form of a time probe: `TIME_SYNC <t1>` over TCP on `port + 200`, answered with
//! `TIME_SYNC_RESPONSE <t1> <t2> <t3>`, Unix seconds as decimals. It shows the machine's clock and changes nothing.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wiber_protocol::line::{Line, LineSplitter, looks_like_http};

use super::shared::ClusterClock;
use crate::runtime;

/// Connections at once; others wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 64;
/// The longest line; a longer one ends the connection.
const MAX_PROBE_BYTES: usize = 256;
/// A first probe must be here by then …
const FIRST: Duration = Duration::from_secs(5);
/// … and who says nothing for so long after one is let go.
const IDLE: Duration = Duration::from_mins(1);
/// After a failed accept the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `ended`.
pub(crate) async fn serve(listener: TcpListener, clock: Arc<ClusterClock>, ended: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = async {
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (clock, ended) = (clock.clone(), ended.clone());
                    runtime::spawn(async move {
                        let _ = ended.run_until_cancelled(answer(stream, &clock)).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(target: "clock", "cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let _ = ended.run_until_cancelled(accepting).await;
}

/// Answers one client's lines until it leaves.
async fn answer(mut stream: TcpStream, clock: &ClusterClock) {
    let mut lines = LineSplitter::new(MAX_PROBE_BYTES);
    let mut is_first = true;
    loop {
        lines.buffer().reserve(MAX_PROBE_BYTES);
        let patience = if is_first { FIRST } else { IDLE };
        let read = timeout(patience, stream.read_buf(lines.buffer())).await;
        if !matches!(read, Ok(Ok(1..))) {
            return;
        }
        let received_us = clock.clock().wall_us();
        while let Some(line) = lines.next_line() {
            let Line::Text(text) = line else { return };
            if std::mem::take(&mut is_first) && looks_like_http(&text) {
                return;
            }
            let reply = match origin(&text) {
                Ok(Some(t1)) => {
                    let (t2, t3) = (seconds(received_us), seconds(clock.clock().wall_us()));
                    format!("TIME_SYNC_RESPONSE {t1} {t2} {t3}\n")
                }
                Ok(None) => continue,
                Err(error) => format!("ERR {error}\n"),
            };
            if !matches!(
                timeout(IDLE, stream.write_all(reply.as_bytes())).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
    }
}

/// The `t1` of a line, word for word; `None` for an empty line.
fn origin(line: &[u8]) -> Result<Option<&str>, &'static str> {
    const USAGE: &str = "usage: TIME_SYNC <unix seconds>";
    let text = std::str::from_utf8(line).map_err(|_| USAGE)?;
    let mut words = text.split_ascii_whitespace();
    let Some(verb) = words.next() else { return Ok(None) };
    if verb != "TIME_SYNC" {
        return Err("unknown");
    }
    let t1 = words.next().filter(|_| words.next().is_none()).ok_or(USAGE)?;
    match t1.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(Some(t1)),
        _ => Err(USAGE),
    }
}

fn seconds(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_is_a_probe() {
        assert_eq!(
            origin(b"TIME_SYNC 1729459200.123456"),
            Ok(Some("1729459200.123456"))
        );
        assert_eq!(origin(b"  "), Ok(None));
        assert_eq!(origin(b"PUB a b"), Err("unknown"));
        for bad in [
            "TIME_SYNC",
            "TIME_SYNC x",
            "TIME_SYNC 1 2",
            "TIME_SYNC nan",
            "TIME_SYNC inf",
        ] {
            assert_eq!(
                origin(bad.as_bytes()),
                Err("usage: TIME_SYNC <unix seconds>"),
                "{bad}"
            );
        }
    }

    #[test]
    fn times_are_seconds_with_microseconds() {
        assert_eq!(seconds(1_729_459_200_000_042), "1729459200.000042");
        assert_eq!(seconds(-1_500_000), "-1.500000");
    }
}
