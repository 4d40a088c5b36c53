//! What a node has counted since it started, and all its numbers in Prometheus' text form for `/metrics`.

mod clock;
mod groups;
mod page;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wiber_protocol::status::{NodeStatus, PeerStatus, Role};

use self::page::{Kind, Page};

/// Counts since the process started. All only rise, but [`Counters::connections_open`].
#[derive(Debug, Default)]
pub struct Counters {
    /// Records accepted from clients of this node and committed.
    pub publishes: AtomicU64,
    /// Publishes answered with the offset of an earlier record of the same id.
    pub duplicates: AtomicU64,
    /// Publishes refused because the id was used with other content.
    pub conflicts: AtomicU64,
    /// Records sent on to the leader.
    pub forwarded: AtomicU64,
    /// Publishes whose fate was unknown when their time was up.
    pub timeouts: AtomicU64,
    /// Records written to subscribers.
    pub delivered: AtomicU64,
    /// Client connections open now.
    pub connections_open: AtomicU64,
    pub connections_total: AtomicU64,
    /// RPC frames of other nodes that were taken in.
    pub rpc_received: AtomicU64,
    /// RPC frames refused: of another cluster, group or target, or malformed.
    pub rpc_refused: AtomicU64,
    /// Elections in which this node was a candidate.
    pub elections_started: AtomicU64,
    /// How often this node saw a new leader.
    pub leader_changes: AtomicU64,
    /// Leaders that this node took for gone because of their silence, before an election timeout.
    pub leaders_suspected: AtomicU64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Adds many.
pub fn count_many(counter: &AtomicU64, many: usize) {
    counter.fetch_add(many as u64, Relaxed);
}

/// Takes one back, from a counter of what is open now.
pub fn uncount(counter: &AtomicU64) {
    counter.fetch_sub(1, Relaxed);
}

/// `/metrics`: the status and the counters of one moment.
pub fn render(status: &NodeStatus, counters: &Counters, rpcs_left_out: u64) -> String {
    let mut page = Page::default();
    identity(&mut page, status);
    positions(&mut page, status);
    peers(&mut page, &status.peers);
    topics(&mut page, status);
    groups::render(&mut page, status);
    storage(&mut page, status);
    clock::clock(&mut page, &status.clock);
    counted(&mut page, counters, rpcs_left_out);
    page.text
}

fn identity(page: &mut Page, status: &NodeStatus) {
    let cluster = status.cluster_id.map(|id| id.to_string()).unwrap_or_default();
    let raft_id = status.raft_id.to_string();
    let labels = [
        ("id", status.id.as_str()),
        ("raft_id", raft_id.as_str()),
        ("cluster_id", cluster.as_str()),
    ];
    page.gauge("wiber_node_info", "Which node this is.");
    page.sample("wiber_node_info", &labels, 1);
    page.gauge("wiber_role", "1 for the role the node has.");
    for role in [Role::Leader, Role::Follower, Role::Candidate, Role::Learner] {
        page.sample(
            "wiber_role",
            &[("role", role.as_str())],
            u8::from(role == status.role),
        );
    }
    let has_leader = u8::from(status.leader.is_some());
    page.single(
        Kind::Gauge,
        "wiber_has_leader",
        "1 if the node knows a leader.",
        has_leader,
    );
    page.single(Kind::Gauge, "wiber_term", "The Raft term.", status.term);
    page.single(
        Kind::Gauge,
        "wiber_uptime_ms",
        "Since the process started.",
        status.uptime_ms,
    );
    page.single(
        Kind::Counter,
        "wiber_lamport_time",
        "The logical clock.",
        status.clock.lamport,
    );
}

fn positions(page: &mut Page, status: &NodeStatus) {
    let positions = [
        (
            "wiber_first_log_index",
            "The first entry still in the log.",
            status.first_log_index,
        ),
        (
            "wiber_last_log_index",
            "The last entry in the log.",
            status.last_log_index,
        ),
        (
            "wiber_flushed_index",
            "The last entry on this node's disk.",
            status.flushed_index,
        ),
        (
            "wiber_commit_index",
            "The last entry known to be committed.",
            status.commit_index,
        ),
        (
            "wiber_applied_index",
            "The last entry that took effect here.",
            status.applied_index,
        ),
    ];
    for (name, help, index) in positions {
        page.single(Kind::Gauge, name, help, index);
    }
    let records = status.record_count;
    page.single(
        Kind::Counter,
        "wiber_records_total",
        "Records accepted since the log began.",
        records,
    );
}

fn peers(page: &mut Page, peers: &[PeerStatus]) {
    page.gauge(
        "wiber_peer_connected",
        "1 while this node's connection to the peer is open.",
    );
    for peer in peers {
        page.sample(
            "wiber_peer_connected",
            &[("peer", &peer.id)],
            u8::from(peer.connected),
        );
    }
    page.gauge(
        "wiber_peer_match_index",
        "The last index known to be on the peer's disk (leader only).",
    );
    for (peer, index) in peers.iter().filter_map(|peer| Some((peer, peer.match_index?))) {
        page.sample("wiber_peer_match_index", &[("peer", &peer.id)], index);
    }
    page.gauge(
        "wiber_peer_last_ack_ms",
        "Since the peer last acknowledged anything (leader only).",
    );
    for (peer, age_ms) in peers.iter().filter_map(|peer| Some((peer, peer.last_ack_ms?))) {
        page.sample("wiber_peer_last_ack_ms", &[("peer", &peer.id)], age_ms);
    }
    page.gauge("wiber_peer_rtt_ms", "Median round trip of recent RPCs.");
    for (peer, rtt_ms) in peers.iter().filter_map(|peer| Some((peer, peer.rtt_ms?))) {
        page.sample("wiber_peer_rtt_ms", &[("peer", &peer.id)], rtt_ms);
    }
}

fn topics(page: &mut Page, status: &NodeStatus) {
    page.single(
        Kind::Gauge,
        "wiber_topics",
        "How many topics there are.",
        status.topic_count,
    );
    page.gauge(
        "wiber_topic_high_watermark",
        "The newest offset, of the topics written last.",
    );
    for topic in &status.topics {
        page.sample(
            "wiber_topic_high_watermark",
            &[("topic", &topic.name)],
            topic.high_watermark,
        );
    }
    page.gauge(
        "wiber_topic_log_start_offset",
        "The first offset that can still be read.",
    );
    for topic in &status.topics {
        page.sample(
            "wiber_topic_log_start_offset",
            &[("topic", &topic.name)],
            topic.log_start_offset,
        );
    }
    page.gauge("wiber_topic_bytes", "Bytes of message bodies.");
    for topic in &status.topics {
        page.sample("wiber_topic_bytes", &[("topic", &topic.name)], topic.bytes);
    }
}

fn storage(page: &mut Page, status: &NodeStatus) {
    let storage = &status.storage;
    page.single(
        Kind::Gauge,
        "wiber_log_segments",
        "Segment files of the log.",
        storage.segments,
    );
    page.single(
        Kind::Gauge,
        "wiber_log_bytes",
        "Bytes of the log's segments.",
        storage.bytes,
    );
    page.single(
        Kind::Counter,
        "wiber_fsyncs_total",
        "Flushes of the log to disk.",
        storage.fsync_count,
    );
    page.gauge(
        "wiber_fsync_us",
        "Duration of the last 1,024 flushes, by quantile.",
    );
    let quantiles = [
        ("0.5", storage.fsync_p50_us),
        ("0.99", storage.fsync_p99_us),
        ("1", storage.fsync_max_us),
    ];
    for (quantile, us) in quantiles
        .into_iter()
        .filter_map(|(quantile, us)| Some((quantile, us?)))
    {
        page.sample("wiber_fsync_us", &[("quantile", quantile)], us);
    }
}

fn counted(page: &mut Page, counters: &Counters, rpcs_left_out: u64) {
    let open = counters.connections_open.load(Relaxed);
    page.single(
        Kind::Gauge,
        "wiber_connections_open",
        "Client connections open now.",
        open,
    );
    let totals = [
        (
            "wiber_publishes_total",
            "Records of this node's clients, committed.",
            &counters.publishes,
        ),
        (
            "wiber_duplicates_total",
            "Publishes whose id was known already.",
            &counters.duplicates,
        ),
        (
            "wiber_conflicts_total",
            "Publishes refused: id known, other content.",
            &counters.conflicts,
        ),
        (
            "wiber_forwarded_total",
            "Records sent on to the leader.",
            &counters.forwarded,
        ),
        (
            "wiber_timeouts_total",
            "Publishes whose fate stayed unknown.",
            &counters.timeouts,
        ),
        (
            "wiber_delivered_total",
            "Records written to subscribers.",
            &counters.delivered,
        ),
        (
            "wiber_connections_total",
            "Client connections taken in.",
            &counters.connections_total,
        ),
        (
            "wiber_rpc_received_total",
            "RPC frames taken in.",
            &counters.rpc_received,
        ),
        (
            "wiber_rpc_refused_total",
            "RPC frames refused.",
            &counters.rpc_refused,
        ),
        (
            "wiber_elections_started_total",
            "Elections this node stood in.",
            &counters.elections_started,
        ),
        (
            "wiber_leaders_suspected_total",
            "Leaders taken for gone by their silence.",
            &counters.leaders_suspected,
        ),
        (
            "wiber_leader_changes_total",
            "New leaders this node saw.",
            &counters.leader_changes,
        ),
    ];
    for (name, help, count) in totals {
        page.single(Kind::Counter, name, help, count.load(Relaxed));
    }
    let left_out = "RPCs that the trace left out by sampling.";
    page.single(
        Kind::Counter,
        "wiber_trace_rpcs_left_out_total",
        left_out,
        rpcs_left_out,
    );
}

#[cfg(test)]
mod tests {
    use wiber_protocol::{
        ids::{ClusterId, RaftId},
        status::{GroupStatus, TopicStatus},
    };

    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_a_described_name() {
        let peer = PeerStatus {
            id: "n2".into(),
            match_index: Some(4),
            rtt_ms: Some(0.25),
            ..PeerStatus::default()
        };
        let topic = TopicStatus {
            name: "a\"b\\c\nd".into(),
            high_watermark: 3,
            ..TopicStatus::default()
        };
        let group = GroupStatus {
            topic: "t".into(),
            group: "g".into(),
            lag: 5,
            ..GroupStatus::default()
        };
        let status = NodeStatus {
            id: "n1".into(),
            raft_id: RaftId(255),
            cluster_id: Some(ClusterId(1)),
            role: Role::Leader,
            commit_index: 9,
            peers: vec![peer],
            topics: vec![topic],
            groups: vec![group],
            ..NodeStatus::default()
        };
        let counters = Counters::default();
        counters.publishes.store(7, Relaxed);
        let text = render(&status, &counters, 5);
        let mut described = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => described.push(rest.split(' ').next().unwrap()),
                None if line.starts_with("# HELP ") => {}
                None => {
                    let name = line.split(['{', ' ']).next().unwrap();
                    assert_eq!(described.last(), Some(&name), "{line}");
                    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
        for expected in [
            "wiber_role{role=\"leader\"} 1\n",
            "wiber_role{role=\"follower\"} 0\n",
            "wiber_commit_index 9\n",
            "wiber_peer_rtt_ms{peer=\"n2\"} 0.25\n",
            "wiber_topic_high_watermark{topic=\"a\\\"b\\\\c\\nd\"} 3\n",
            "wiber_group_lag{topic=\"t\",group=\"g\"} 5\n",
            "wiber_group_dead_letters_total{topic=\"t\",group=\"g\"} 0\n",
            "wiber_publishes_total 7\n",
            "wiber_trace_rpcs_left_out_total 5\n",
        ] {
            assert!(text.contains(expected), "{expected} not in\n{text}");
        }
    }
}
