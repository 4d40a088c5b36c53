//! The result of a load, as one line and as JSON.

use serde_json::{Value, json};
use wiber_protocol::config::NodeSpec;

use super::{Load, Outcome};

pub(super) struct Report<'a> {
    load: &'a Load,
    nodes: &'a [NodeSpec],
    outcome: &'a Outcome,
}

impl<'a> Report<'a> {
    pub(super) fn new(load: &'a Load, nodes: &'a [NodeSpec], outcome: &'a Outcome) -> Self {
        Self { load, nodes, outcome }
    }

    fn via(&self) -> Vec<String> {
        let address = |node: &NodeSpec| format!("{}:{}", node.host, node.port);
        self.nodes.iter().map(address).collect()
    }

    pub(super) fn line(&self) -> String {
        let Self { load, outcome, .. } = self;
        let latencies = &outcome.latencies;
        format!(
            "{:.0} msg/s  {:.1} MB/s  p50 {:.0} µs  p99 {:.0} µs  max {:.0} µs  errors {}  ({} × {} B, {} in flight, {} {}, {:.1} s, via {})",
            outcome.per_second(),
            outcome.mb_per_second(load),
            latencies.p50_us(),
            latencies.p99_us(),
            latencies.max_us(),
            outcome.errors,
            outcome.acknowledged,
            load.size_bytes,
            load.inflight,
            load.conns,
            if load.conns == 1 {
                "connection"
            } else {
                "connections"
            },
            outcome.elapsed.as_secs_f64(),
            self.via().join(", "),
        )
    }

    pub(super) fn json(&self) -> Value {
        let Self { load, outcome, .. } = self;
        json!({
            "msg_per_s": outcome.per_second(),
            "mb_per_s": outcome.mb_per_second(load),
            "p50_us": outcome.latencies.p50_us(),
            "p99_us": outcome.latencies.p99_us(),
            "max_us": outcome.latencies.max_us(),
            "errors": outcome.errors,
            "acknowledged": outcome.acknowledged,
            "size_bytes": load.size_bytes,
            "inflight": load.inflight,
            "conns": load.conns,
            "elapsed_s": outcome.elapsed.as_secs_f64(),
            "via": self.via(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::Latencies;

    #[test]
    fn the_result_is_one_line_with_rates_and_quantiles() {
        let mut latencies = Latencies::new();
        latencies.add(Duration::from_micros(500), 1000);
        let outcome = Outcome {
            acknowledged: 1000,
            errors: 0,
            first_error: None,
            elapsed: Duration::from_millis(500),
            latencies,
        };
        let load = Load {
            topic: "t".to_owned(),
            size_bytes: 256,
            inflight: 16,
            conns: 1,
            count: 1000,
            time_limit: None,
            own_ids: None,
        };
        let nodes = [NodeSpec {
            id: "n1".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 9101,
        }];
        assert_eq!(
            Report::new(&load, &nodes, &outcome).line(),
            "2000 msg/s  0.5 MB/s  p50 500 µs  p99 500 µs  max 500 µs  errors 0  \
             (1000 × 256 B, 16 in flight, 1 connection, 0.5 s, via 127.0.0.1:9101)"
        );
    }
}
