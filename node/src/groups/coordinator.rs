//! Who gets which record of a group, decided without clock, log or network: they come in as values.
//!
//! Records are dealt out one by one to the members in turn, each as many as it may hold. What its member gives back, does not
//! acknowledge in time or leaves behind goes to another one, if there is one with room; and what was handed out as often
//! as the group allows becomes a dead letter instead.
//!
//! Who held what under an earlier leader is not known here. What may be handed out again is, at once: at worst two work on it.
//! But a dead letter is done, so whoever has such a record for the last time keeps the group's time-out to acknowledge it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};

use crate::{
    mutant::{self, Mutant},
    state::GroupState,
};

/// Dead letters in one plan: each carries a body.
const MAX_DEAD_LETTERS: usize = 16;
/// A dead letter that could not be stored is tried again after this time.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(1);

/// Numbers the members of one coordinator.
pub type MemberId = u64;

/// What the log says, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub group: &'a GroupState,
    /// The first offset of the topic that can be read, and the last.
    pub log_start_offset: u64,
    pub high_watermark: u64,
}

/// Why a record that was handed out is not held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Timeout,
    GivenBack,
    MemberLeft,
}

impl Loss {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "ack_timeout",
            Self::GivenBack => "nack",
            Self::MemberLeft => "member_left",
        }
    }
}

/// A record for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    pub offset: u64,
    /// How often it was handed out, this time included.
    pub delivery: u32,
}

/// To be put in the log, then carried out with what the log says by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Retention dropped these; first and last.
    pub skip: Option<(u64, u64)>,
    /// By offset.
    pub deliver: Vec<(MemberId, Handed)>,
    /// To be put aside: how often they were handed out, and how they were lost last, as far as is known.
    pub dead: Vec<(Handed, Option<Loss>)>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.skip.is_none() && self.deliver.is_empty() && self.dead.is_empty()
    }

    /// The offsets to be handed out, as ranges.
    pub fn ranges(&self) -> Vec<RangeInclusive<u64>> {
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for (_, Handed { offset, .. }) in &self.deliver {
            match ranges.last_mut() {
                Some(range) if *range.end() + 1 == *offset => *range = *range.start()..=*offset,
                _ => ranges.push(*offset..=*offset),
            }
        }
        ranges
    }
}

/// How many records a member takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRoom {
    /// At once.
    pub max_in_flight: usize,
    /// In all.
    pub limit: u64,
}

impl From<usize> for MemberRoom {
    fn from(max_in_flight: usize) -> Self {
        Self {
            max_in_flight,
            limit: u64::MAX,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Member {
    max_in_flight: usize,
    held: usize,
    /// How many more it takes.
    left: u64,
}

impl Member {
    fn room(&self) -> usize {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        self.max_in_flight.saturating_sub(self.held).min(left)
    }
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    member: MemberId,
    delivery: u32,
    until: Duration,
}

/// Times are since the coordinator began.
#[derive(Clone, Debug, Default)]
pub struct Coordinator {
    members: BTreeMap<MemberId, Member>,
    /// Numbers the members.
    joined: MemberId,
    /// By offset. Each is not done and was handed out as often as it says.
    holds: BTreeMap<u64, Hold>,
    /// Handed out and not held any more: who had it last, and how it was lost. Within the group's window.
    lost: BTreeMap<u64, (MemberId, Loss)>,
    /// Who got a record last.
    last_served: MemberId,
    no_dead_letters_before: Duration,
    /// How long this node had led when the coordinator began.
    had_led: Duration,
    /// When whatever an earlier leader handed out is lost.
    former_lost_at: Duration,
}

impl Coordinator {
    /// On a leader that has led for so long.
    pub fn new(had_led: Duration) -> Self {
        Self {
            had_led,
            ..Self::default()
        }
    }

    pub fn join(&mut self, room: impl Into<MemberRoom>) -> MemberId {
        let MemberRoom { max_in_flight, limit } = room.into();
        self.joined += 1;
        let member = Member {
            max_in_flight,
            held: 0,
            left: limit,
        };
        self.members.insert(self.joined, member);
        self.joined
    }

    pub fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        let lost = &mut self.lost;
        self.holds.retain(|offset, hold| {
            if hold.member == member {
                lost.insert(*offset, (member, Loss::MemberLeft));
            }
            hold.member != member
        });
    }

    /// A member gives a record back; whether it held it.
    pub fn give_back(&mut self, member: MemberId, offset: u64) -> bool {
        if self.holds.get(&offset).is_none_or(|hold| hold.member != member) {
            return false;
        }
        self.holds.remove(&offset);
        self.released(member);
        self.lost.insert(offset, (member, Loss::GivenBack));
        true
    }

    fn released(&mut self, member: MemberId) {
        if let Some(member) = self.members.get_mut(&member) {
            member.held -= 1;
        }
    }

    /// How many records a member holds.
    #[cfg(test)]
    pub(super) fn held(&self, member: MemberId) -> usize {
        self.members.get(&member).map_or(0, |member| member.held)
    }

    /// Takes in what the log says, and what the time is.
    pub fn observe(&mut self, now: Duration, view: View<'_>) {
        self.former_lost_at = ack_timeout(view.group).saturating_sub(self.had_led);
        let over: Vec<(u64, Hold)> = self
            .holds
            .iter()
            .filter(|(offset, hold)| hold.until <= now || view.group.deliveries(**offset) != hold.delivery)
            .map(|(offset, hold)| (*offset, *hold))
            .collect();
        for (offset, hold) in over {
            self.holds.remove(&offset);
            self.released(hold.member);
            self.lost.insert(offset, (hold.member, Loss::Timeout));
        }
        // Done, or the group was moved.
        self.lost.retain(|offset, _| view.group.deliveries(*offset) > 0);
    }

    /// When [`Self::observe`] or [`Self::plan`] may come to something without news.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let holds = self.holds.values().map(|hold| hold.until);
        let dead_letters = [self.no_dead_letters_before, self.former_lost_at];
        holds.chain(dead_letters.into_iter().filter(|at| *at > now)).min()
    }

    /// What to do next. `is_ready` says which members can take an order.
    pub fn plan(&self, now: Duration, view: View<'_>, is_ready: impl Fn(MemberId) -> bool) -> Plan {
        let (group, next) = (view.group, view.group.next_offset());
        let mut plan = Plan {
            skip: self.skip(view),
            ..Plan::default()
        };
        let mut rooms = self.rooms(is_ready);
        let may_bury = now >= self.no_dead_letters_before;
        let former_are_lost = now >= self.former_lost_at;
        for offset in next.max(view.log_start_offset)..=group.window_end(view.high_watermark) {
            if group.is_done(offset) || self.holds.contains_key(&offset) {
                continue;
            }
            let delivery = group.deliveries(offset);
            let (before, loss) = self
                .lost
                .get(&offset)
                .map_or((None, None), |(member, loss)| (Some(*member), Some(*loss)));
            if delivery >= group.settings.max_deliveries {
                let is_lost = loss.is_some() || former_are_lost;
                if is_lost && may_bury && plan.dead.len() < MAX_DEAD_LETTERS {
                    plan.dead.push((Handed { offset, delivery }, loss));
                }
            } else if let Some(member) = deal(&mut rooms, before) {
                let delivery = delivery + 1;
                plan.deliver.push((member, Handed { offset, delivery }));
            }
        }
        plan
    }

    /// What retention dropped and nobody holds, from the group's place on.
    fn skip(&self, view: View<'_>) -> Option<(u64, u64)> {
        let next = view.group.next_offset();
        let held = self.holds.keys().next().copied().unwrap_or(u64::MAX);
        let end = view.log_start_offset.min(held);
        (next < end).then(|| (next, end - 1))
    }

    /// Who has room for how many, whose turn it is first.
    fn rooms(&self, is_ready: impl Fn(MemberId) -> bool) -> VecDeque<(MemberId, usize)> {
        let later = self.members.range(self.last_served + 1..);
        let earlier = self.members.range(..=self.last_served);
        later
            .chain(earlier)
            .map(|(id, member)| (*id, member.room()))
            .filter(|(id, room)| *room > 0 && is_ready(*id))
            .collect()
    }

    /// The plan was put in the log: who gets what, by what the log says now. A record whose count is another one was
    /// acknowledged meanwhile, or the group was moved, or another leader has handed it out.
    pub fn hand_out(
        &mut self,
        now: Duration,
        view: View<'_>,
        deliver: &[(MemberId, Handed)],
    ) -> BTreeMap<MemberId, Vec<Handed>> {
        let until = now + ack_timeout(view.group);
        let mut orders: BTreeMap<MemberId, Vec<Handed>> = BTreeMap::new();
        for (id, handed) in deliver {
            let is_as_planned = view.group.deliveries(handed.offset) == handed.delivery;
            if !is_as_planned && !mutant::is_broken(Mutant::HandOutUnchecked) {
                continue;
            }
            let Some(member) = self.members.get_mut(id) else {
                self.lost.insert(handed.offset, (*id, Loss::MemberLeft));
                continue;
            };
            member.held += 1;
            member.left = member.left.saturating_sub(1);
            let hold = Hold {
                member: *id,
                delivery: handed.delivery,
                until,
            };
            self.holds.insert(handed.offset, hold);
            self.lost.remove(&handed.offset);
            self.last_served = *id;
            orders.entry(*id).or_default().push(*handed);
        }
        orders
    }

    /// Dead letters could not be stored: the records stay, and it is tried again later.
    pub fn put_off_dead_letters(&mut self, now: Duration) {
        self.no_dead_letters_before = now + DEAD_LETTER_PAUSE;
    }
}

fn ack_timeout(group: &GroupState) -> Duration {
    Duration::from_millis(group.settings.ack_timeout_ms)
}

/// The next member in turn with room, another than `before` if there is one.
fn deal(rooms: &mut VecDeque<(MemberId, usize)>, before: Option<MemberId>) -> Option<MemberId> {
    let is_another = |(id, _): &(MemberId, usize)| Some(*id) != before;
    let at = rooms.iter().position(is_another).unwrap_or(0);
    let (id, room) = rooms.remove(at)?;
    if room > 1 {
        rooms.push_back((id, room - 1));
    }
    Some(id)
}
