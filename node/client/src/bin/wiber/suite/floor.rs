//! What the machine can do at best: the same disk and loopback, without a cluster.

use std::{
    fmt,
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Instant,
};

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use crate::bench::Latencies;

const FLUSHES: usize = 500;
const BLOCK_BYTES: usize = 4096;
const ROUND_TRIPS: usize = 5_000;
const PING_BYTES: usize = 256;
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Floor {
    /// Median of appending 4 KiB and `fdatasync`.
    pub(super) flush_us: f64,
    pub(super) flush_p99_us: f64,
    /// Median of 256 bytes over the loopback and back, between two threads.
    pub(super) round_trip_us: f64,
    /// Millions of bytes a second, written in one go, the final `fdatasync` included.
    pub(super) write_mb_per_s: f64,
}

impl Floor {
    pub(super) fn measure(folder: &Path, write_bytes: usize) -> anyhow::Result<Self> {
        let flushes = flushes(folder).context("measuring flushes")?;
        Ok(Self {
            flush_us: flushes.p50_us(),
            flush_p99_us: flushes.p99_us(),
            round_trip_us: round_trips().context("measuring the loopback")?.p50_us(),
            write_mb_per_s: sequential(folder, write_bytes).context("measuring writes")?,
        })
    }

    /// The least a commit can take: one flush, and the way from the client to the leader to a follower and back.
    pub(super) fn commit_us(&self) -> f64 {
        self.flush_us + 2.0 * self.round_trip_us
    }

    /// What is left of the disk for each of three nodes, millions of bytes a second.
    pub(super) fn share_mb_per_s(&self) -> f64 {
        self.write_mb_per_s / 3.0
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "floor: 4 KiB + fdatasync {:.0} µs (p99 {:.0}), loopback round trip {:.1} µs, sequential write {:.0} MB/s",
            self.flush_us, self.flush_p99_us, self.round_trip_us, self.write_mb_per_s
        )
    }
}

fn flushes(folder: &Path) -> anyhow::Result<Latencies> {
    let path = folder.join("floor-flushes");
    let mut file = File::create(&path)?;
    let block = [0x5a; BLOCK_BYTES];
    let mut latencies = Latencies::new();
    for _ in 0..FLUSHES {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.add(began.elapsed(), 1);
    }
    std::fs::remove_file(path)?;
    Ok(latencies)
}

fn round_trips() -> anyhow::Result<Latencies> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut ping = [0; PING_BYTES];
        for _ in 0..ROUND_TRIPS {
            stream.read_exact(&mut ping)?;
            stream.write_all(&ping)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut ping = [0x5a; PING_BYTES];
    let mut latencies = Latencies::new();
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        stream.write_all(&ping)?;
        stream.read_exact(&mut ping)?;
        latencies.add(began.elapsed(), 1);
    }
    echo.join().map_err(|_| anyhow!("the echo ended early"))??;
    Ok(latencies)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file has fewer than 53 bits of bytes"
)]
fn sequential(folder: &Path, bytes: usize) -> anyhow::Result<f64> {
    let path = folder.join("floor-writes");
    let mut file = File::create(&path)?;
    let chunk = vec![0x5a; CHUNK_BYTES];
    let began = Instant::now();
    for _ in 0..bytes / CHUNK_BYTES {
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    let took = began.elapsed();
    std::fs::remove_file(path)?;
    Ok((bytes / CHUNK_BYTES * CHUNK_BYTES) as f64 / took.as_secs_f64() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_measured_where_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let floor = Floor::measure(folder.path(), 4 << 20).unwrap();
        assert!(floor.flush_us > 0.0 && floor.round_trip_us > 0.0 && floor.write_mb_per_s > 0.0);
        assert!(floor.commit_us() > floor.flush_us);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
