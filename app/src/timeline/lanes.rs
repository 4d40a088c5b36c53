//! What a lane's line says from left to right: who leads, follows, asks, or is not there. Pure.

use wiber_protocol::{
    event::{EventKind, TraceEvent},
    status::Role,
};

use super::{
    scale::{Axis, Places},
    tell::role_in,
};

/// One node as the gateway sees it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// The identity of its data folder, if known.
    pub raft_id: Option<String>,
    /// Its role, if it is live and says so.
    pub role: Option<Role>,
    /// Whether its events arrive.
    pub alive: bool,
}

/// Raft ids and the names they belong to.
pub fn names(lanes: &[Lane]) -> Vec<(String, String)> {
    lanes
        .iter()
        .filter_map(|lane| Some((lane.raft_id.clone()?, lane.name.clone())))
        .collect()
}

/// How a stretch of a lane is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    As(Role),
    /// It runs, and no known event tells its role.
    Unknown,
    /// No process.
    Down,
}

impl Look {
    pub fn class(self) -> &'static str {
        match self {
            Self::As(role) => role.as_str(),
            Self::Unknown => "unknown",
            Self::Down => "down",
        }
    }

    /// Under the lane's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::As(role) => role.as_str(),
            Self::Unknown => "running",
            Self::Down => "not running",
        }
    }
}

/// A part of a lane's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: i64,
    pub to: i64,
    pub look: Look,
}

/// The stretches of one lane between `left` and `right`. `events` are all known events of the node, in its own
/// order, drawn or not.
pub fn stretches(
    lane: &Lane,
    events: &[&TraceEvent],
    axis: Axis,
    places: &Places,
    (left, right): (i64, i64),
) -> Vec<Stretch> {
    let x_of = |event: &TraceEvent| places.x_at(axis.value(event)).clamp(left, right);
    let first = if events.is_empty() && !lane.alive {
        Look::Down
    } else {
        Look::Unknown
    };
    let mut changes = vec![(left, first)];
    let mut last: Option<&TraceEvent> = None;
    for event in events {
        if let Some(last) = last
            && last.epoch != event.epoch
        {
            changes.push((x_of(last), Look::Down));
            changes.push((x_of(event), Look::Unknown));
        }
        if event.kind == EventKind::Role
            && let Some(role) = event.detail.as_deref().and_then(role_in)
        {
            changes.push((x_of(event), Look::As(role)));
        }
        last = Some(event);
    }
    if let Some(last) = last
        && !lane.alive
    {
        changes.push((x_of(last), Look::Down));
    }
    // No role change is known since the last stretch began, so it had all along the role it has now.
    if let (Some((_, look @ Look::Unknown)), Some(role)) = (changes.last_mut(), lane.role) {
        *look = Look::As(role);
    }
    let mut stretches: Vec<Stretch> = Vec::new();
    for (place, (from, look)) in changes.iter().enumerate() {
        // On a raw clock a change can seem to come before the one it followed.
        let to = changes.get(place + 1).map_or(right, |next| next.0).max(*from);
        match stretches.last_mut() {
            Some(before) if before.look == *look => before.to = to,
            _ if to > *from => stretches.push(Stretch {
                from: *from,
                to,
                look: *look,
            }),
            _ => {}
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::{
        super::{sample::*, scale::Scale},
        *,
    };

    fn looks(lane: &Lane, events: &[TraceEvent]) -> Vec<Look> {
        let drawn: Vec<&TraceEvent> = events.iter().collect();
        let places = Scale::default().place(Axis::Lamport, &drawn, &[]);
        let own: Vec<&TraceEvent> = events.iter().filter(|event| event.node == lane.name).collect();
        let stretches = stretches(lane, &own, Axis::Lamport, &places, (-20, places.right() + 20));
        assert!(
            stretches.windows(2).all(|pair| pair[0].to <= pair[1].from),
            "{stretches:?}"
        );
        stretches.into_iter().map(|stretch| stretch.look).collect()
    }

    fn lane(name: &str, role: Option<Role>, alive: bool) -> Lane {
        Lane {
            name: name.into(),
            raft_id: None,
            role,
            alive,
        }
    }

    #[test]
    fn an_election_changes_the_line_of_the_one_who_asks() {
        let mut sample = Sample::default();
        sample.mark("n2", EventKind::Apply);
        sample.election("n2", &["n1", "n3"]);
        sample.mark("n2", EventKind::Append);
        let events = sample.events();
        assert_eq!(
            looks(&lane("n2", Some(Role::Leader), true), &events),
            [Look::Unknown, Look::As(Role::Candidate), Look::As(Role::Leader)]
        );
        assert_eq!(
            looks(&lane("n1", Some(Role::Follower), true), &events),
            [Look::As(Role::Follower)]
        );
    }

    #[test]
    fn a_dead_node_has_no_line_after_its_last_event() {
        let mut sample = Sample::default();
        sample.mark("n1", EventKind::Append);
        sample.mark("n1", EventKind::Append);
        sample.publish("n2", "n2", 1);
        let events: Vec<TraceEvent> = sample
            .events()
            .into_iter()
            .filter(|event| event.node != "n1" || event.seq < 3)
            .collect();
        assert_eq!(
            looks(&lane("n1", None, false), &events),
            [Look::Unknown, Look::Down]
        );
        assert_eq!(looks(&lane("n9", None, false), &events), [Look::Down]);
    }

    #[test]
    fn a_restart_leaves_a_hole_in_the_line() {
        let mut sample = Sample::default();
        for _ in 0..6 {
            sample.mark("n1", EventKind::Append);
        }
        let mut events = sample.events();
        for event in &mut events[3..] {
            event.epoch += 1;
        }
        assert_eq!(
            looks(&lane("n1", Some(Role::Follower), true), &events),
            [Look::Unknown, Look::Down, Look::As(Role::Follower)]
        );
    }
}
