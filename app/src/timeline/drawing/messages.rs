//! The arrows of a figure, whole and cut off, and the hops to and from clients.

use std::fmt::Write as _;

use wiber_protocol::event::{EventKind, TraceEvent};

use super::{
    super::{
        figure::{DrawnArrow, Hops, Stub, StubEnd, to_px},
        labels::Line,
        marks::{Mark, arrow_path},
        tell::{arrow_word, kind_name, leg_name},
        trace::{Arrow, EventId, Relation},
    },
    Drawing,
};

/// A send whose receive is still unknown after this long is drawn as lost.
pub(super) const IN_FLIGHT_US: i64 = 1_000_000;
/// A client's end of a hop lies so far before or after the node that saw it.
const HOP_PX: f64 = 9.0;

impl Drawing<'_> {
    pub(super) fn arrows(&self) -> Vec<DrawnArrow> {
        self.trace
            .arrows
            .iter()
            .filter_map(|arrow| self.arrow(*arrow))
            .collect()
    }

    fn arrow(&self, arrow: Arrow) -> Option<DrawnArrow> {
        let (send, receive) = (self.trace.events[arrow.send], self.trace.events[arrow.receive]);
        let line = Line {
            from: self.point(arrow.send)?,
            to: self.point(arrow.receive)?,
        };
        let rpc = send.rpc.as_ref()?;
        let relation = self.relations.as_ref().map(|relations| {
            match (relations[arrow.send], relations[arrow.receive]) {
                (Relation::Concurrent, _) | (_, Relation::Concurrent) => Relation::Concurrent,
                (Relation::Past, _) => Relation::Past,
                _ => Relation::Future,
            }
        });
        let detail = send.detail.as_deref().or(receive.detail.as_deref());
        Some(DrawnArrow {
            rpc_id: rpc.id.clone(),
            kind: kind_name(rpc.kind),
            leg: leg_name(rpc.leg),
            word: arrow_word(rpc, detail),
            from: send.node.clone(),
            to: receive.node.clone(),
            send_lamport: send.lamport,
            receive_lamport: receive.lamport,
            send: EventId::of(send),
            receive: EventId::of(receive),
            path: arrow_path(line),
            line,
            relation,
            backwards: line.to.0 < line.from.0,
        })
    }

    pub(super) fn stubs(&self) -> Vec<Stub> {
        self.trace
            .alone
            .iter()
            .filter_map(|place| self.stub(*place))
            .collect()
    }

    fn stub(&self, place: usize) -> Option<Stub> {
        let event = self.trace.events[place];
        let (x, y) = self.point(place)?;
        let peer = self.lane_of(event.peer.as_deref()?)?;
        let towards = (to_px(self.heights.lane_y(peer)) - y).signum() * to_px(self.heights.gap) * 0.36;
        let event_id = EventId::of(event);
        if event.kind == EventKind::Receive {
            let path = arrow_path(Line {
                from: (x - 8.0, y + towards),
                to: (x, y),
            });
            return Some(Stub {
                event: event_id,
                path,
                end: StubEnd::Unsent,
            });
        }
        let (end_x, end_y) = (x + 8.0, y + towards);
        let lost = self.is_lost(event);
        let mut path = format!("M{x:.1} {y:.1}L{end_x:.1} {end_y:.1}");
        if lost {
            // Writing to a string cannot fail.
            let _ = write!(path, "M{:.1} {:.1}l8 8m0-8l-8 8", end_x - 4.0, end_y - 4.0);
        }
        Some(Stub {
            event: event_id,
            path,
            end: if lost { StubEnd::Lost } else { StubEnd::InFlight },
        })
    }

    /// Whether the receive of a send should be known by now: it was sent a while ago, and what its receiver has
    /// told reaches back that far.
    fn is_lost(&self, send: &TraceEvent) -> bool {
        let Some(peer) = send.peer.as_deref() else {
            return false;
        };
        let mut told = self
            .trace
            .lane(peer)
            .map(|place| self.trace.events[place].corrected_us);
        let reaches_back = match told.next() {
            Some(oldest_us) => oldest_us <= send.corrected_us,
            None => self.lanes.iter().any(|lane| lane.name == peer && !lane.alive),
        };
        reaches_back && self.newest_us - send.corrected_us > IN_FLIGHT_US
    }

    pub(super) fn hops(&self) -> Option<Hops> {
        let (mut lines, mut ends) = (String::new(), String::new());
        let clients_y = to_px(self.heights.clients_y);
        for place in &self.drawn {
            let Some((x, y)) = self.point(*place) else {
                continue;
            };
            let line = match self.trace.events[*place].kind {
                EventKind::Publish => Line {
                    from: (x - HOP_PX, clients_y),
                    to: (x, y),
                },
                EventKind::Deliver => Line {
                    from: (x, y),
                    to: (x + HOP_PX, clients_y),
                },
                _ => continue,
            };
            lines.push_str(&arrow_path(line));
            let client = if line.from.1 < line.to.1 {
                line.from
            } else {
                line.to
            };
            ends.push_str(&Mark::Client.path(client.0, client.1));
        }
        (!lines.is_empty()).then_some(Hops { lines, ends })
    }
}
