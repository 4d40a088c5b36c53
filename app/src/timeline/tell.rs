//! Events and messages in words. Pure.

use wiber_protocol::{
    event::{EventKind, Leg, RpcKind, RpcMessage, TraceEvent},
    status::Role,
};

use crate::words::{NBSP, counted, grouped, millis};

/// The word written on an arrow. `detail` is what the sender said about the message.
pub fn arrow_word(rpc: &RpcMessage, detail: Option<&str>) -> &'static str {
    match (rpc.kind, rpc.leg) {
        (RpcKind::Vote | RpcKind::PreVote, Leg::Response) => verdict(detail),
        (RpcKind::Vote, Leg::Request) => "vote?",
        (RpcKind::PreVote, Leg::Request) => "pre-vote?",
        (RpcKind::Append, Leg::Request) => "append",
        (RpcKind::Append | RpcKind::Snapshot | RpcKind::Transfer, Leg::Response) => "ack",
        (RpcKind::Heartbeat, Leg::Request) => "heartbeat",
        (RpcKind::Heartbeat, Leg::Response) => "beat back",
        (RpcKind::Probe, Leg::Request) => "who is there?",
        (RpcKind::Probe, Leg::Response) => "here",
        (RpcKind::Join, Leg::Request) => "join?",
        (RpcKind::Join, Leg::Response) => "joined",
        (RpcKind::Transfer, Leg::Request) => "lead now",
        (RpcKind::Snapshot, Leg::Request) => "snapshot",
        (RpcKind::Forward, Leg::Request) => "forward",
        (RpcKind::Forward, Leg::Response) => "stored",
        (RpcKind::ReadIndex, Leg::Request) => "read?",
        (RpcKind::ReadIndex, Leg::Response) => "read index",
    }
}

fn verdict(detail: Option<&str>) -> &'static str {
    let Some(detail) = detail else { return "answer" };
    let says = |words: &[&str]| {
        detail
            .split(|char: char| !char.is_alphanumeric())
            .any(|word| words.contains(&word))
    };
    // `not granted` is a no: refusals are looked for first.
    if says(&["no", "not", "refused", "refuses", "denied", "rejected"]) {
        "no"
    } else if says(&["yes", "granted", "grants"]) {
        "yes"
    } else {
        "answer"
    }
}

/// The kind of an RPC as the events spell it.
pub fn kind_name(kind: RpcKind) -> &'static str {
    match kind {
        RpcKind::Probe => "probe",
        RpcKind::Join => "join",
        RpcKind::Append => "append",
        RpcKind::Heartbeat => "heartbeat",
        RpcKind::Vote => "vote",
        RpcKind::PreVote => "pre_vote",
        RpcKind::Transfer => "transfer",
        RpcKind::Snapshot => "snapshot",
        RpcKind::Forward => "forward",
        RpcKind::ReadIndex => "read_index",
    }
}

pub fn leg_name(leg: Leg) -> &'static str {
    match leg {
        Leg::Request => "request",
        Leg::Response => "response",
    }
}

/// The role that a role change tells of, if its words name one: `leads term 7`, `candidate: no leader for 412 ms`.
pub fn role_in(detail: &str) -> Option<Role> {
    detail
        .split(|char: char| !char.is_alphanumeric())
        .find_map(|word| match word {
            "leads" | "leader" | "leading" => Some(Role::Leader),
            "follows" | "follower" | "following" => Some(Role::Follower),
            "asks" | "candidate" | "campaigns" => Some(Role::Candidate),
            "learns" | "learner" | "learning" => Some(Role::Learner),
            _ => None,
        })
}

/// One event in a sentence without its full stop: `n2 has entry 12 on its disk`.
pub fn sentence(event: &TraceEvent) -> String {
    let node = &event.node;
    let peer = event.peer.as_deref().unwrap_or("a peer");
    let detail = event
        .detail
        .as_deref()
        .map(str::trim)
        .filter(|detail| !detail.is_empty());
    let upto = match event.log_index {
        Some(index) => format!("entry {}", grouped(index)),
        None => "an entry".to_owned(),
    };
    let records = match event.records {
        Some(records) if records > 0 => format!(", {}", counted(u64::from(records), "record", "records")),
        _ => String::new(),
    };
    let told = match event.kind {
        EventKind::Send | EventKind::Receive => {
            let word = event
                .rpc
                .as_ref()
                .map_or("a message", |rpc| arrow_word(rpc, detail));
            let entries = match event.log_index {
                Some(index) => format!(" up to entry {}", grouped(index)),
                None => String::new(),
            };
            if event.kind == EventKind::Send {
                format!("{node} sends “{word}” to {peer}{entries}{records}")
            } else {
                format!("{node} receives “{word}” from {peer}{entries}{records}")
            }
        }
        EventKind::Append => format!("{node} appends {upto} in memory{records}"),
        EventKind::Flush => format!("{node} has {upto} on its disk"),
        EventKind::Commit => format!("{node} knows {upto} committed"),
        EventKind::Apply => format!("{node} applies {upto}{records}"),
        EventKind::Vote | EventKind::Role if detail.is_some() => {
            format!("{node} {}", detail.unwrap_or_default())
        }
        EventKind::Vote => format!("{node} votes for {peer} in term {}", event.term),
        EventKind::Role => format!("{node} changes its role in term {}", event.term),
        EventKind::Publish => return with_detail(format!("{node} takes a record from a client"), detail),
        EventKind::Deliver => {
            return match detail {
                Some(detail) if detail.starts_with("answered ") => format!("{node} {detail}"),
                Some(detail) => format!("{node} delivers {detail}"),
                None => format!("{node} answers a client"),
            };
        }
        EventKind::Fault => return with_detail(format!("{node}: a fault"), detail),
    };
    match (event.kind, detail) {
        (EventKind::Vote | EventKind::Role, _) | (_, None) => told,
        (_, Some(detail)) => format!("{told} ({detail})"),
    }
}

fn with_detail(told: String, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("{told}: {detail}"),
        None => told,
    }
}

/// A text with the Raft ids in it replaced by the names they belong to: a node may say only the id of another.
pub fn named(text: &str, names: &[(String, String)]) -> String {
    names
        .iter()
        .filter(|(id, _)| id.len() >= 8)
        .fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
}

/// The time from a send to its receive, by the axis' clock.
pub fn flight(us: i64) -> String {
    let sign = if us < 0 { "−" } else { "" };
    format!(
        "{sign}{}{NBSP}ms",
        millis(super::figure::to_px(us.abs()) / 1_000.0)
    )
}

/// A Lamport time short enough to be written on an arrow: whole, or its last three digits.
pub fn short_lamport(lamport: u64) -> String {
    if lamport < 100_000 {
        grouped(lamport)
    } else {
        format!("{:03}", lamport % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample::*, *};

    fn told(change: impl FnOnce(&mut TraceEvent), kind: EventKind) -> String {
        let mut sample = Sample::default();
        sample.mark("n2", kind);
        let mut event = sample.events().remove(0);
        change(&mut event);
        sentence(&event)
    }

    #[test]
    fn events_read_as_sentences() {
        assert_eq!(
            told(|event| event.log_index = Some(4_815), EventKind::Flush),
            "n2 has entry 4,815 on its disk"
        );
        assert_eq!(
            told(
                |event| event.detail = Some("leads term 7".into()),
                EventKind::Role
            ),
            "n2 leads term 7"
        );
        assert_eq!(
            told(
                |event| event.detail = Some("dm:alice:bob a1".into()),
                EventKind::Publish
            ),
            "n2 takes a record from a client: dm:alice:bob a1"
        );
        let answered = |event: &mut TraceEvent| event.detail = Some("answered dm:alice:bob a1".into());
        assert_eq!(told(answered, EventKind::Deliver), "n2 answered dm:alice:bob a1");
        let sent = |event: &mut TraceEvent| {
            event.peer = Some("n3".into());
            event.log_index = Some(7);
            event.records = Some(2);
            event.rpc = Some(RpcMessage {
                kind: RpcKind::Append,
                id: "1".into(),
                leg: Leg::Request,
            });
        };
        assert_eq!(
            told(sent, EventKind::Send),
            "n2 sends “append” to n3 up to entry 7, 2\u{a0}records"
        );
    }

    #[test]
    fn a_vote_is_a_yes_only_when_it_says_so() {
        let answer = RpcMessage {
            kind: RpcKind::Vote,
            id: "1".into(),
            leg: Leg::Response,
        };
        assert_eq!(arrow_word(&answer, None), "answer");
        assert_eq!(arrow_word(&answer, Some("granted")), "yes");
        assert_eq!(arrow_word(&answer, Some("not granted: a leader is known")), "no");
    }

    #[test]
    fn ids_in_a_text_are_told_by_name() {
        let names = [
            ("774fdcc4b78d1124".to_owned(), "n3".to_owned()),
            (String::new(), "n1".to_owned()),
        ];
        assert_eq!(
            named("votes for 774fdcc4b78d1124 in term 2", &names),
            "votes for n3 in term 2"
        );
    }

    #[test]
    fn roles_are_read_from_the_words_of_a_change() {
        assert_eq!(role_in("leads term 7"), Some(Role::Leader));
        assert_eq!(role_in("candidate: no leader for 412 ms"), Some(Role::Candidate));
        assert_eq!(role_in("follows n1 in term 3"), Some(Role::Follower));
        assert_eq!(role_in("something new"), None);
    }

    #[test]
    fn names_are_spelled_as_in_the_events() {
        for kind in [
            RpcKind::Probe,
            RpcKind::Join,
            RpcKind::Append,
            RpcKind::Heartbeat,
            RpcKind::Vote,
            RpcKind::PreVote,
            RpcKind::Transfer,
            RpcKind::Snapshot,
            RpcKind::Forward,
            RpcKind::ReadIndex,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind_name(kind));
        }
        for leg in [Leg::Request, Leg::Response] {
            assert_eq!(serde_json::to_value(leg).unwrap(), leg_name(leg));
        }
    }
}
