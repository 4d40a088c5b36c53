//! `SUBSCRIBE`: records as they are committed, from any place of the log on, alone or as a member of a group.

use std::time::Duration;

use super::{
    LineError, USAGE_SUBSCRIBE,
    words::{
        check_group, check_pattern, next_word, once, parse_seconds, push_option, push_time, push_words,
        take_group, take_number, take_word,
    },
};
use crate::{
    line::{MAX_IN_FLIGHT, MAX_ORDER_MS},
    pattern::Pattern,
};

const ONE_TOPIC: LineError = LineError::Usage(
    "--from and --group are for one topic; a pattern begins with --after, --since or --start",
);
const GROUP_OPTIONS: LineError =
    LineError::Usage("--ack-timeout, --max-deliveries, --max-in-flight and --limit are for a --group");
const GROUP_ORDER: LineError = LineError::Usage("a --group has no --order, and no --after");
const BAD_ORDER: LineError = LineError::Usage("--order is 1 to 60000 milliseconds");
const BAD_LIMIT: LineError = LineError::Usage("--limit is a number of records from 1 up");
const BAD_IN_FLIGHT: LineError = LineError::Usage("--max-in-flight is 1 to 1024 records");
const BAD_ACK_TIMEOUT: LineError = LineError::Usage("--ack-timeout is 100 to 86400000 milliseconds");
const BAD_DELIVERIES: LineError = LineError::Usage("--max-deliveries is 1 to 1000000");

/// The shortest and longest time for an acknowledgement.
const ACK_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=86_400_000;
const MAX_DELIVERIES: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscribeStart {
    /// With the first record that is committed after the command.
    #[default]
    New,
    /// With the oldest record there is.
    Beginning,
    /// At this offset.
    From(u64),
    /// At the first record from this moment of cluster time on, microseconds since the Unix epoch.
    Since(i64),
    /// With the first record of a later Lamport time. Lamport times rise along the log, so this is a place in all topics at
    /// once.
    After(u64),
}

/// Membership in a consumer group. What is `None` stays as the group has it, or gets a default in a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership<'a> {
    pub group: &'a str,
    pub ack_timeout: Option<Duration>,
    pub max_deliveries: Option<u32>,
    /// How many records this member holds at once.
    pub max_in_flight: Option<u32>,
    /// How many records this member is handed in all; then no more.
    pub limit: Option<u64>,
}

/// A `SUBSCRIBE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeCommand<'a> {
    /// A topic, or a pattern of topics.
    pub pattern: &'a str,
    /// For a group: where it begins if it is new.
    pub start: SubscribeStart,
    pub group: Option<Membership<'a>>,
    /// Deliver by time of origin, holding each record for so long at most.
    pub order: Option<Duration>,
}

impl<'a> SubscribeCommand<'a> {
    pub fn new(pattern: &'a str, start: SubscribeStart) -> Self {
        Self {
            pattern,
            start,
            group: None,
            order: None,
        }
    }

    pub(super) fn parse(rest: &'a str) -> Result<Self, LineError> {
        let usage = USAGE_SUBSCRIBE;
        let (pattern, mut rest) = take_word(rest, usage)?;
        let (mut start, mut group, mut order) = (None, None, None);
        let (mut ack_timeout, mut max_deliveries, mut max_in_flight) = (None, None, None);
        let mut limit = None;
        loop {
            let (option, after) = next_word(rest);
            let mut value = None;
            rest = match option {
                "" => break,
                "--start" => {
                    once(&mut start, SubscribeStart::Beginning, usage)?;
                    after
                }
                "--from" => {
                    let after = take_number(after, &mut value, usage)?;
                    once(&mut start, SubscribeStart::From(value.unwrap_or(0)), usage)?;
                    after
                }
                "--after" => {
                    let after = take_number(after, &mut value, usage)?;
                    once(&mut start, SubscribeStart::After(value.unwrap_or(0)), usage)?;
                    after
                }
                "--since" => {
                    let (word, after) = take_word(after, usage)?;
                    once(&mut start, SubscribeStart::Since(parse_seconds(word)?), usage)?;
                    after
                }
                "--group" => {
                    let (word, after) = take_group(after, usage)?;
                    once(&mut group, word, usage)?;
                    after
                }
                "--order" => take_number(after, &mut order, usage)?,
                "--ack-timeout" => take_number(after, &mut ack_timeout, usage)?,
                "--max-deliveries" => take_number(after, &mut max_deliveries, usage)?,
                "--max-in-flight" => take_number(after, &mut max_in_flight, usage)?,
                "--limit" => take_number(after, &mut limit, usage)?,
                _ => return Err(usage),
            };
        }
        let group = match group {
            Some(group) => Some(Membership {
                group,
                ack_timeout: ack_timeout.map(Duration::from_millis),
                max_deliveries: max_deliveries.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
                max_in_flight: max_in_flight.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
                limit,
            }),
            None if ack_timeout
                .or(max_deliveries)
                .or(max_in_flight)
                .or(limit)
                .is_some() =>
            {
                return Err(GROUP_OPTIONS);
            }
            None => None,
        };
        let command = Self {
            pattern,
            start: start.unwrap_or_default(),
            group,
            order: order.map(Duration::from_millis),
        };
        command.check().map(|()| command)
    }

    /// Whether the parts are right, and fit each other.
    fn check(&self) -> Result<(), LineError> {
        check_pattern(self.pattern)?;
        if let Some(order) = self.order
            && !(1..=MAX_ORDER_MS).contains(&order.as_millis())
        {
            return Err(BAD_ORDER);
        }
        let is_one_topic = Pattern::new(self.pattern).is_ok_and(|pattern| pattern.is_literal());
        if !is_one_topic && (self.group.is_some() || matches!(self.start, SubscribeStart::From(_))) {
            return Err(ONE_TOPIC);
        }
        let Some(member) = &self.group else { return Ok(()) };
        check_group(member.group)?;
        if self.order.is_some() || matches!(self.start, SubscribeStart::After(_)) {
            return Err(GROUP_ORDER);
        }
        let in_range = |found: Option<u64>, range: &std::ops::RangeInclusive<u64>, error| match found {
            Some(found) if !range.contains(&found) => Err(error),
            _ => Ok(()),
        };
        let ack_timeout = member
            .ack_timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        in_range(ack_timeout, &ACK_TIMEOUT_MS, BAD_ACK_TIMEOUT)?;
        in_range(
            member.max_deliveries.map(u64::from),
            &MAX_DELIVERIES,
            BAD_DELIVERIES,
        )?;
        in_range(
            member.max_in_flight.map(u64::from),
            &(1..=u64::from(MAX_IN_FLIGHT)),
            BAD_IN_FLIGHT,
        )?;
        in_range(member.limit, &(1..=u64::MAX), BAD_LIMIT)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), LineError> {
        self.check()?;
        push_words(out, &["SUBSCRIBE", self.pattern]);
        match self.start {
            SubscribeStart::New => {}
            SubscribeStart::Beginning => push_words(out, &["", "--start"]),
            SubscribeStart::From(offset) => push_option(out, "from", offset),
            SubscribeStart::Since(us) => push_time(out, "since", us),
            SubscribeStart::After(lamport) => push_option(out, "after", lamport),
        }
        if let Some(order) = self.order {
            push_option(out, "order", order.as_millis());
        }
        if let Some(member) = &self.group {
            push_option(out, "group", member.group);
            if let Some(timeout) = member.ack_timeout {
                push_option(out, "ack-timeout", timeout.as_millis());
            }
            if let Some(count) = member.max_deliveries {
                push_option(out, "max-deliveries", count);
            }
            if let Some(count) = member.max_in_flight {
                push_option(out, "max-in-flight", count);
            }
            if let Some(count) = member.limit {
                push_option(out, "limit", count);
            }
        }
        Ok(())
    }
}
