//! What healthy nodes do that takes too long, or cannot be counted, on a real machine.

use std::time::Duration;

use wiber_node::{group::Group, runtime, state::WINDOW_MS};
use wiber_protocol::pattern::Pattern;
use wiber_sim::{clients::Wire, cluster::Cluster, host::Host, run::healthy};
use wiber_storage::DiskCounts;

const PATIENCE: Duration = Duration::from_secs(7);

async fn ask(wire: &mut Wire, command: &str) -> String {
    wire.send(command).await.expect("a node that listens");
    wire.line(PATIENCE).await.expect("an answer")
}

/// What was lost: that an id stands for one message. It was stored again when the window had passed.
#[test]
fn a_numbered_id_that_was_forgotten_is_refused_by_every_node() {
    let outcome = healthy(1, 3, async |cluster| {
        let wires = (0..3).map(|host| Wire::connect(cluster, host).expect("a node that listens"));
        let mut wires: Vec<Wire> = wires.collect();
        for number in 1..=3 {
            let answer = ask(&mut wires[0], &format!("PUB t --id e4db4a4bdd913d3d-{number} x")).await;
            assert!(answer.starts_with("OK "), "{answer}");
        }
        let kept = Duration::from_millis(WINDOW_MS);
        tokio::time::sleep(kept / 2).await;
        let answer = ask(&mut wires[0], "PUB t --id e4db4a4bdd913d3d-3 x").await;
        assert_eq!(answer, "OK duplicate e4db4a4bdd913d3d-3");
        tokio::time::sleep(kept).await;
        for wire in &mut wires {
            for number in 1..=3 {
                let id = format!("e4db4a4bdd913d3d-{number}");
                let expired = format!("ERR id_expired {id}");
                assert_eq!(ask(wire, &format!("PUB t --id {id} x")).await, expired);
                // Whatever it says now.
                assert_eq!(ask(wire, &format!("PUBLISH t 1 --id {id}\ny")).await, expired);
            }
        }
        // A number above is new, and so is an id that is none.
        for id in ["e4db4a4bdd913d3d-4", "m-1"] {
            let answer = ask(&mut wires[0], &format!("PUB t --id {id} x")).await;
            assert!(answer.starts_with("OK "), "{answer}");
        }
    });
    assert_eq!(outcome.failure, None);
}

/// One record an entry.
async fn publish(wire: &mut Wire, records: u64) {
    for _ in 0..records {
        let answer = ask(wire, "PUB t x").await;
        assert!(answer.starts_with("OK "), "{answer}");
    }
}

/// Does something as a task of the node, as whatever reads its disk must be.
async fn inside<T: Send + 'static>(host: &Host, what: impl Future<Output = T> + Send + 'static) -> T {
    let process = host.process().expect("a running node");
    let process: std::sync::Arc<dyn runtime::Process> = process;
    runtime::spawn_in(&process, what).await.expect("it does not end")
}

/// The most that it takes to find the times of some records all over the topic: in it, and in the whole log.
async fn most_reads(cluster: &Cluster) -> [DiskCounts; 2] {
    const PLACES: u64 = 7;
    let host = &cluster.hosts[0];
    let disk = host.disk();
    let group = host.group().expect("a running node");
    let mut most = [DiskCounts::default(); 2];
    let end = group.state.read().topics.high_watermark("t");
    for place in 0..PLACES {
        let offset = 1 + place * (end - 1) / (PLACES - 1);
        let time = inside(host, time_of(group.clone(), offset)).await;
        let before = disk.counts();
        let of_topic = group.clone();
        let found = inside(host, async move { of_topic.first_since("t", time).await }).await;
        assert_eq!(found.expect("it reads"), offset);
        let between = disk.counts();
        let of_log = group.clone();
        let pattern = Pattern::new(">").expect("a pattern");
        let found = inside(host, async move { of_log.place_since(&pattern, time).await }).await;
        let after = disk.counts();
        let next = found.expect("it reads").next_index;
        let mut between_entries = 0..=inside(host, entry_of(group.clone(), offset)).await;
        if offset > 1 {
            let earlier = inside(host, entry_of(group.clone(), offset - 1)).await;
            between_entries = earlier + 1..=*between_entries.end();
        }
        assert!(between_entries.contains(&next), "{next} in {between_entries:?}");
        for (most, (before, after)) in most.iter_mut().zip([(before, between), (between, after)]) {
            most.reads = most.reads.max(after.reads - before.reads);
            most.read_bytes = most.read_bytes.max(after.read_bytes - before.read_bytes);
        }
    }
    most
}

async fn time_of(group: std::sync::Arc<Group>, offset: u64) -> i64 {
    let page = group.fetch("t", offset, 1, 1).await.expect("it reads");
    page[0].record.corrected_us
}

async fn entry_of(group: std::sync::Arc<Group>, offset: u64) -> u64 {
    let page = group.fetch("t", offset, 1, 1).await.expect("it reads");
    page[0].log_id.index
}

#[test]
fn a_time_is_found_by_few_reads_however_long_the_log_is() {
    const SHORT: u64 = 128;
    /// So many times as long is the long one.
    const TIMES: u64 = 32;
    /// Of one step: a part's header and tables, and a piece of a segment.
    const READS: u64 = 4;
    const READ_BYTES: u64 = 32 << 10;
    let outcome = healthy(1, 1, async |cluster| {
        let mut wire = Wire::connect(cluster, 0).expect("a node that listens");
        publish(&mut wire, SHORT).await;
        let few = most_reads(cluster).await;
        publish(&mut wire, SHORT * (TIMES - 1)).await;
        let many = most_reads(cluster).await;
        // Each time the log doubles it takes one step more, and now and then that is two.
        let steps = 2 * u64::from(TIMES.ilog2());
        for (few, many) in few.iter().zip(&many) {
            assert!(many.reads <= few.reads + steps * READS, "{few:?} {many:?}");
            assert!(
                many.read_bytes <= few.read_bytes + steps * READ_BYTES,
                "{few:?} {many:?}"
            );
        }
    });
    assert_eq!(outcome.failure, None);
}
