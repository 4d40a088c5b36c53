//! `wiber sub --group`: records as a member of a group, each acknowledged when it is written.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::anyhow;
use clap::Args;
use wiber_client::{
    AckError, Client, DEFAULT_ACK_DEADLINE, GroupOptions, Member, MemberEvent, SubscribeStart,
};

use super::{Connection, Records};
use crate::{end::End, output::remark, topic, when};

/// Records that are written and acknowledged together at most.
const MAX_TOGETHER: usize = 256;

#[derive(Clone, Debug, Args)]
pub(crate) struct GroupArgs {
    /// Be a member of this group: each record goes to one member, and is acknowledged when it is written. Where a new group
    /// begins is said as without one
    #[arg(short, long, value_parser = topic::group)]
    group: Option<String>,
    /// Acknowledge nothing: the records will be handed out again
    #[arg(long, requires = "group")]
    no_ack: bool,
    /// Hand out again what is not acknowledged for so long, such as `10s` [default: as the group has it, or 30s]
    #[arg(long, value_name = "TIME", requires = "group", value_parser = when::length)]
    ack_timeout: Option<Duration>,
    /// Put aside what was handed out so often [default: as the group has it, or 5]
    #[arg(long, value_name = "N", requires = "group", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_deliveries: Option<u32>,
    /// Hold so many records at once [default: 64]; with --count no more than that are handed out in all
    #[arg(long, value_name = "N", requires = "group", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    max_in_flight: Option<u32>,
}

impl GroupArgs {
    pub(super) fn is_given(&self) -> bool {
        self.group.is_some()
    }

    fn options(&self, start: SubscribeStart, count: Option<u64>) -> GroupOptions {
        let mut options = GroupOptions::new().start(start);
        if let Some(timeout) = self.ack_timeout {
            options = options.ack_timeout(timeout);
        }
        if let Some(deliveries) = self.max_deliveries {
            options = options.max_deliveries(deliveries);
        }
        // What is handed out and never shown has cost the record one of its deliveries.
        if let Some(count) = count {
            options = options.limit(count);
        }
        if let Some(records) = self.max_in_flight {
            options = options.max_in_flight(records);
        }
        options
    }
}

pub(super) async fn follow(
    topic: &str,
    args: &GroupArgs,
    start: SubscribeStart,
    client: &Client,
    mut records: Records,
    end: &mut End,
) -> anyhow::Result<()> {
    let group = args.group.as_deref().unwrap_or_default();
    let mut member = client
        .join(topic, group, args.options(start, records.left()))
        .map_err(|error| anyhow!(topic::in_words(error)))?;
    let mut connection = Connection::default();
    loop {
        let Some(events) = end.unless(ready(&mut member)).await else {
            return Ok(());
        };
        let mut written = Vec::new();
        let mut goes_on = true;
        for event in events {
            match event {
                MemberEvent::Record(record) => {
                    written.push(record.offset);
                    goes_on = records.take(&record)?;
                }
                MemberEvent::Joined { node } => connection.is_back(&format!("goes on from {node}")),
                MemberEvent::Disconnected { reason } => connection.is_lost(&reason),
                MemberEvent::Skipped { first, last } => {
                    remark(&format!("offsets {first} to {last} are no longer kept"));
                }
                MemberEvent::Ended { reason } => {
                    records.write()?;
                    return Err(anyhow!(reason));
                }
            }
            if !goes_on {
                break;
            }
        }
        goes_on &= records.write()?;
        if !args.no_ack {
            for offsets in ranges(written) {
                acknowledge(client, topic, group, offsets).await;
            }
        }
        if !goes_on {
            return Ok(());
        }
    }
}

/// What is there already, at least one event.
async fn ready(member: &mut Member) -> Vec<MemberEvent> {
    let ended = || MemberEvent::Ended {
        reason: "the group is no more".to_owned(),
    };
    let mut events = vec![member.next().await.unwrap_or_else(ended)];
    while events.len() < MAX_TOGETHER {
        tokio::select! {
            biased;
            Some(event) = member.next() => events.push(event),
            () = std::future::ready(()) => break,
        }
    }
    events
}

/// Offsets as runs without gaps.
fn ranges(mut offsets: Vec<u64>) -> Vec<RangeInclusive<u64>> {
    offsets.sort_unstable();
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
    for offset in offsets {
        match ranges.last_mut() {
            Some(last) if *last.end() + 1 >= offset => *last = *last.start()..=offset,
            _ => ranges.push(offset..=offset),
        }
    }
    ranges
}

/// What is not acknowledged comes again; that is all that can be done about it here.
async fn acknowledge(client: &Client, topic: &str, group: &str, offsets: RangeInclusive<u64>) {
    let (first, last) = (*offsets.start(), *offsets.end());
    match client.ack(topic, group, offsets, DEFAULT_ACK_DEADLINE).await {
        // Somebody moved the group meanwhile.
        Ok(()) | Err(AckError::NotDelivered { .. }) => {}
        Err(error) => remark(&format!(
            "offsets {first} to {last} are not acknowledged: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_acknowledged_in_runs() {
        assert_eq!(ranges(vec![]), []);
        assert_eq!(ranges(vec![5, 3, 4, 9, 9, 11]), [3..=5, 9..=9, 11..=11]);
    }
}
