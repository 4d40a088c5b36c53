//! `/live/records/{pattern}`: everything committed to a topic or to the topics of a pattern, from any place on; and with
//! `group=` as a member of a consumer group ([`super::member`]).

use std::time::Duration;

use axum::{extract::State, response::Response};
use futures_util::StreamExt as _;
use serde::Serialize;
use wiber_client::{GroupOptions, RecordLine, Subscribe, SubscribeStart, SubscriptionEvent};
use wiber_protocol::line::{MAX_ORDER_MS, check_group};

use super::{Upgrade, json, member};
use crate::http::{FromParams, Gateway, Params, PathOf, QueryOf, Refusal};

pub(super) struct RecordsQuery {
    /// Where it begins; one of these four, or with what is published next.
    from: Option<u64>,
    start: bool,
    /// Microseconds since the Unix epoch.
    since: Option<i64>,
    after: Option<u64>,
    /// By time of origin, holding each record for so many milliseconds at most.
    order: Option<u64>,
    group: Option<String>,
    /// These four are a member's; the first in milliseconds.
    ack_timeout: Option<u64>,
    max_deliveries: Option<u32>,
    max_in_flight: Option<u32>,
    limit: Option<u64>,
}

impl FromParams for RecordsQuery {
    const NAMES: &'static [&'static str] = &[
        "from",
        "start",
        "since",
        "after",
        "order",
        "group",
        "ack_timeout",
        "max_deliveries",
        "max_in_flight",
        "limit",
    ];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        let max_order_ms = u64::try_from(MAX_ORDER_MS).unwrap_or(u64::MAX);
        // What is out of its bounds, the library refuses.
        let count = |name: &str| -> Result<Option<u32>, Refusal> {
            let number = params.number(name)?;
            Ok(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
        };
        Ok(Self {
            from: params.number("from")?,
            start: params.flag("start")?,
            since: params.seconds("since")?,
            after: params.number("after")?,
            order: params.number_in("order", 1..=max_order_ms)?,
            group: params.checked("group", check_group)?,
            ack_timeout: params.number("ack_timeout")?,
            max_deliveries: count("max_deliveries")?,
            max_in_flight: count("max_in_flight")?,
            limit: params.number("limit")?,
        })
    }
}

impl RecordsQuery {
    fn start(&self) -> Result<SubscribeStart, Refusal> {
        Ok(match (self.from, self.start, self.since, self.after) {
            (None, false, None, None) => SubscribeStart::New,
            (Some(offset), false, None, None) => SubscribeStart::From(offset),
            (None, true, None, None) => SubscribeStart::Beginning,
            (None, false, Some(since), None) => SubscribeStart::Since(since),
            (None, false, None, Some(logical_time)) => SubscribeStart::After(logical_time),
            _ => {
                let why = "`from`, `start`, `since` and `after` exclude each other.";
                return Err(Refusal::unreadable(why));
            }
        })
    }

    /// How to be a member; `None` if no group is named.
    fn membership(&self) -> Result<Option<(&str, GroupOptions)>, Refusal> {
        let Some(group) = &self.group else {
            let counts = self.max_deliveries.or(self.max_in_flight).is_some();
            if counts || self.ack_timeout.or(self.limit).is_some() {
                let why = "`ack_timeout`, `max_deliveries`, `max_in_flight` and `limit` are for a `group`.";
                return Err(Refusal::unreadable(why));
            }
            return Ok(None);
        };
        if self.order.is_some() {
            return Err(Refusal::unreadable("A `group` has no `order`."));
        }
        let mut options = GroupOptions::new().start(self.start()?);
        if let Some(timeout_ms) = self.ack_timeout {
            options = options.ack_timeout(Duration::from_millis(timeout_ms));
        }
        if let Some(deliveries) = self.max_deliveries {
            options = options.max_deliveries(deliveries);
        }
        if let Some(records) = self.max_in_flight {
            options = options.max_in_flight(records);
        }
        if let Some(records) = self.limit {
            options = options.limit(records);
        }
        Ok(Some((group, options)))
    }
}

/// What a socket that delivers records says.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Frame {
    /// Records come now: from an offset on (one topic), behind a Lamport time (a pattern), or as the group has them.
    Connected {
        node: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_offset: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        logical_time: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    Record {
        payload: Box<RecordLine>,
    },
    /// The browser is so many records behind. It misses none of them.
    Lagging {
        records: u64,
    },
    /// Retention dropped what lies between; it goes on at `to`. Offsets, or Lamport times of a pattern.
    Skipped {
        from: Option<u64>,
        to: u64,
    },
    /// No node delivers now; it goes on by itself.
    Disconnected {
        detail: String,
    },
    /// Answers to a member.
    Acked {
        offset: u64,
    },
    Nacked {
        offset: u64,
    },
    Error {
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// The group is no more. Nothing follows.
    Ended {
        detail: String,
    },
}

pub(super) async fn open(
    State(gateway): State<Gateway>,
    PathOf(pattern): PathOf<String>,
    QueryOf(query): QueryOf<RecordsQuery>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let start = query.start()?;
    if let Some((group, options)) = query.membership()? {
        let (ear, frames) = member::frames(&gateway.messages, &pattern, group, options)?;
        return gateway.sockets.accept_and_listen(upgrade, frames, ear);
    }
    let mut subscribe = Subscribe::new(pattern).start(start);
    if let Some(hold_ms) = query.order {
        subscribe = subscribe.order(Duration::from_millis(hold_ms));
    }
    let events = gateway.messages.subscribe(&subscribe)?;
    gateway
        .sockets
        .accept(upgrade, events.map(|event| json(&frame(event))))
}

fn frame(event: SubscriptionEvent) -> Frame {
    match event {
        SubscriptionEvent::Connected { node, next_offset } => Frame::Connected {
            node,
            next_offset: Some(next_offset),
            logical_time: None,
            group: None,
        },
        SubscriptionEvent::ConnectedAfter { node, logical_time } => Frame::Connected {
            node,
            next_offset: None,
            logical_time: Some(logical_time),
            group: None,
        },
        SubscriptionEvent::Record(payload) => Frame::Record { payload },
        SubscriptionEvent::Lagging { records } => Frame::Lagging { records },
        SubscriptionEvent::Skipped { from, to } => Frame::Skipped { from, to },
        SubscriptionEvent::Disconnected { reason } => Frame::Disconnected { detail: reason },
    }
}
