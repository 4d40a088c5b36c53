//! `wiber bench`: publishes as fast as the cluster takes it and says how fast that was.
//!
//! The load shares its processors with the cluster it measures, so it is one thread over non-blocking sockets that
//! copies prepared lines and looks at a clock once for everything that arrived together.

mod answers;
mod connection;
mod latencies;
mod lines;
mod load;
mod report;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use wiber_protocol::{line::check_topic, record::MAX_BODY_BYTES};

pub(crate) use self::{
    answers::{Ack, Observer, number},
    latencies::Latencies,
    lines::number_of,
    load::{Load, Outcome, publish},
};
use crate::{
    cli, end,
    nodes::{self, NodesOptions},
};

/// The most publishes in flight: the window is kept in memory.
const MAX_INFLIGHT: u64 = 1 << 20;
const MAX_CONNS: u64 = 1024;
/// What is published when neither a count nor a time is given.
const DEFAULT_COUNT: u64 = 1_000_000;

#[derive(Clone, Debug, Args)]
#[command(after_help = cli::exit_codes!("if every message is stored", "if one failed"))]
pub(crate) struct BenchOptions {
    /// Bytes of each message
    #[arg(long, value_name = "BYTES", default_value_t = 256,
        value_parser = clap::value_parser!(u64).range(1..=MAX_BODY_BYTES as u64))]
    pub(crate) size: u64,
    /// Publishes without an answer at any time, over all connections
    #[arg(long, value_name = "N", default_value_t = 256,
        value_parser = clap::value_parser!(u64).range(1..=MAX_INFLIGHT))]
    pub(crate) inflight: u64,
    /// How many messages [default: 1000000, or as many as the time allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Stop after this time, if the count is not reached before
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,
    /// Connections that share the messages and the window
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_CONNS))]
    pub(crate) conns: u64,
    /// The topic to publish to
    #[arg(long, value_name = "TOPIC", default_value = "bench")]
    pub(crate) topic: String,
    /// Send ids of our own, which the cluster checks for duplicates
    #[arg(long)]
    pub(crate) ids: bool,
    /// Spread the connections over all nodes instead of using the leader alone
    #[arg(long)]
    pub(crate) spread: bool,
    /// Say the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) nodes: NodesOptions,
}

impl BenchOptions {
    fn load(&self) -> Result<Load, String> {
        check_topic(&self.topic).map_err(|error| error.to_string())?;
        if self.conns > self.inflight {
            return Err(format!(
                "{} connections cannot share {} publishes in flight",
                self.conns, self.inflight
            ));
        }
        let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Load {
            topic: self.topic.clone(),
            size_bytes: small(self.size),
            inflight: small(self.inflight),
            conns: small(self.conns),
            count: self.count.unwrap_or(if self.seconds.is_some() {
                u64::MAX
            } else {
                DEFAULT_COUNT
            }),
            time_limit: self.seconds.map(Duration::from_secs),
            own_ids: self.ids.then(|| format!("{:016x}", rand::random::<u64>())),
        })
    }
}

/// Nothing but the figures is wanted of the answers, and no more of them once it is interrupted.
struct UntilInterrupted(Arc<AtomicBool>);

impl Observer for UntilInterrupted {
    fn acknowledged(&mut self, _: u64, _: &Ack<'_>) {}

    fn goes_on(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn run(options: &BenchOptions) -> ExitCode {
    let (load, nodes) = match (options.load(), options.nodes.resolve()) {
        (Ok(load), Ok(nodes)) => (load, nodes),
        (Err(error), _) => return cli::refuse(error),
        (_, Err(error)) => return cli::refuse(format!("{error:#}")),
    };
    let chosen = if options.spread {
        Ok(nodes)
    } else {
        nodes::leader_or_any(&nodes).map(|node| vec![node])
    };
    let published = chosen.and_then(|nodes| {
        let mut observer = UntilInterrupted(end::interrupted().context("cannot wait for signals")?);
        let outcome = publish(&load, &nodes, &mut observer)?;
        Ok((outcome, nodes, !observer.goes_on()))
    });
    let (outcome, nodes, is_interrupted) = match published {
        Ok(published) => published,
        Err(error) => return cli::fail(format!("{error:#}")),
    };
    let report = report::Report::new(&load, &nodes, &outcome);
    if options.json {
        println!("{}", report.json());
    } else {
        println!("{}", report.line());
    }
    match &outcome.first_error {
        None if is_interrupted => cli::interrupted("this is the result so far"),
        None => ExitCode::SUCCESS,
        Some(error) => cli::fail(format!("{} publishes failed; the first: {error}", outcome.errors)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        bench: BenchOptions,
    }

    fn load(words: &[&str]) -> Result<Load, String> {
        let words = [&["bench"], words].concat();
        Only::try_parse_from(words).unwrap().bench.load()
    }

    #[test]
    fn a_time_alone_sets_no_count() {
        assert_eq!(load(&[]).unwrap().count, DEFAULT_COUNT);
        assert_eq!(load(&["--seconds", "3"]).unwrap().count, u64::MAX);
        assert_eq!(load(&["--seconds", "3", "--count", "7"]).unwrap().count, 7);
    }

    #[test]
    fn what_cannot_be_published_is_refused_before_anything_is_sent() {
        assert!(
            load(&["--topic", "two words"])
                .unwrap_err()
                .contains("a topic has")
        );
        let error = load(&["--conns", "8", "--inflight", "4"]).unwrap_err();
        assert_eq!(error, "8 connections cannot share 4 publishes in flight");
    }
}
