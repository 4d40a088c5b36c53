//! Answers about consumer groups: joining one, giving a record back, and the list.

use wiber_protocol::{
    line::{GroupLine, MAX_IN_FLIGHT, Reply, SubscribeStart},
    pattern::Pattern,
};

use super::{Gone, MemberStep, Responder, SubscribeStep, Subscribed, follow::Refusal};
use crate::{
    group::{Group, Leader},
    groups::{self, JoinError, MemberRoom, OpenError, Wanted},
    line::{member::Member, subscription::Form},
    state::{MAX_GROUPS, State},
};

/// What a member holds at once if it does not say.
const DEFAULT_IN_FLIGHT: u32 = 64;
const FULL: &str = "the group has as many members as there may be";
const DISK_FULL: &str = "the leader's disk is full: the group was not made";

impl Responder {
    /// `SUBSCRIBE --group`: where the node leads. Another subscription to the same topic has its place taken.
    pub(super) async fn join(&mut self, step: SubscribeStep, member: MemberStep) -> Result<(), Gone> {
        let Some(raft) = self.group() else { return Ok(()) };
        let key = (step.pattern, Form::Record);
        if !self.has_room_for(&key) {
            return Ok(());
        }
        let Some(term) = self.led_term(&raft) else {
            return Ok(());
        };
        self.flush().await?;
        // What the group did under earlier leaders is known then, and that this node still leads.
        if let Err(error) = raft.await_read_index().await {
            let reason = error.to_string();
            Reply::Unavailable { reason: &reason }.write(&mut self.out);
            return Ok(());
        }
        let names = (key.0.as_str(), member.group.as_str());
        let next_offset = match self.group_start(&raft, names, step.start).await? {
            Ok(next_offset) => next_offset,
            Err(refusal) => {
                self.refuse_start(names.0, refusal);
                return Ok(());
            }
        };
        let wanted = Wanted {
            ack_timeout: member.ack_timeout,
            max_deliveries: member.max_deliveries,
        };
        let stamper = self.clients.stamper.clone();
        if let Err(error) = groups::open(&raft, &stamper, term, names, next_offset, wanted).await {
            self.cannot_open(error);
            return Ok(());
        }
        let max_in_flight = member
            .max_in_flight
            .unwrap_or(DEFAULT_IN_FLIGHT)
            .min(MAX_IN_FLIGHT);
        let room = MemberRoom {
            max_in_flight: max_in_flight as usize,
            limit: member.limit.unwrap_or(u64::MAX),
        };
        let coordinators = self.clients.coordinators.clone();
        let joined = coordinators.join(&raft, &stamper, term, names, room);
        let (membership, seat) = match joined.await {
            Ok(joined) => joined,
            Err(JoinError::Full) => {
                Reply::Unavailable { reason: FULL }.write(&mut self.out);
                return Ok(());
            }
            Err(JoinError::NotLeader) => {
                Reply::NotLeader.write(&mut self.out);
                return Ok(());
            }
        };
        let (topic, group) = names;
        Reply::Joined { topic, group }.write(&mut self.out);
        self.subscribed += 1;
        let number = self.subscribed;
        let writer = Member {
            raft,
            clients: self.clients.clone(),
            key: key.clone(),
            group: member.group.clone(),
            number,
            deliveries: self.pages.clone(),
        };
        let task = crate::runtime::spawn(writer.run(seat)).abort_handle();
        let subscribed = Subscribed {
            number,
            task,
            membership: Some((member.group, membership)),
        };
        // An earlier one lets go of what it holds.
        self.subscriptions.insert(key, subscribed);
        Ok(())
    }

    /// The term that this node leads; otherwise it answers where to go.
    fn led_term(&mut self, raft: &Group) -> Option<u64> {
        match raft.leader() {
            Leader::Own { term } => return Some(term),
            Leader::Other { member, .. } => {
                let (host, port) = (member.host.as_str(), member.port);
                Reply::Redirect { host, port }.write(&mut self.out);
            }
            Leader::Unknown => Reply::NotLeader.write(&mut self.out),
        }
        None
    }

    /// Where a group begins if it is new.
    async fn group_start(
        &mut self,
        raft: &Group,
        (topic, group): (&str, &str),
        start: SubscribeStart,
    ) -> Result<Result<u64, Refusal>, Gone> {
        if raft.state.read().groups.get(topic, group).is_some() {
            return Ok(Ok(1));
        }
        self.first_offset(raft, topic, start).await
    }

    fn cannot_open(&mut self, error: OpenError) {
        let reply = match error {
            OpenError::NotLeader => Reply::NotLeader,
            OpenError::TooManyGroups => Reply::TooManyGroups {
                max: MAX_GROUPS as u64,
            },
            OpenError::NoRoom => Reply::Unavailable { reason: DISK_FULL },
            OpenError::Unknown => Reply::TimeoutWaitingCommit,
        };
        reply.write(&mut self.out);
    }

    /// `NACK`: what this connection holds is handed out again.
    pub(super) async fn give_back(&mut self, topic: &str, group: &str, offset: u64) {
        let key = (topic.to_owned(), Form::Record);
        let membership = match self
            .subscriptions
            .get(&key)
            .map(|subscribed| &subscribed.membership)
        {
            Some(Some((of, membership))) if of == group => Some(membership),
            _ => None,
        };
        let was_held = match membership {
            Some(membership) => membership.give_back(offset).await,
            None => false,
        };
        let reply = if was_held {
            Reply::Nacked { topic, group, offset }
        } else {
            Reply::NotDelivered { offset }
        };
        reply.write(&mut self.out);
    }

    /// `GROUPS`: as this node knows them.
    pub(super) async fn groups(&mut self, pattern: Option<&str>) -> Result<(), Gone> {
        let Some(raft) = self.group_in_time().await? else {
            return Ok(());
        };
        self.await_caught_up(&raft).await?;
        let pattern = pattern.and_then(|pattern| Pattern::new(pattern).ok());
        let mut lines = group_lines(&raft.state.read(), pattern.as_ref());
        if matches!(raft.leader(), Leader::Own { .. }) {
            for line in &mut lines {
                let members = self.clients.coordinators.members(&line.topic, &line.group);
                line.members = Some(members as u64);
            }
        }
        for line in &lines {
            line.write(&mut self.out);
        }
        let count = lines.len() as u64;
        Reply::GroupsEnd { count }.write(&mut self.out);
        Ok(())
    }
}

fn group_lines(state: &State, pattern: Option<&Pattern>) -> Vec<GroupLine> {
    let wanted = |topic: &str| pattern.is_none_or(|pattern| pattern.matches(topic));
    let all = state.groups.iter().filter(|(topic, ..)| wanted(topic));
    all.map(|(topic, group, of)| {
        let start = state.topics.log_start_offset(topic);
        GroupLine {
            topic: topic.to_owned(),
            group: group.to_owned(),
            next_offset: of.next_offset(),
            outstanding: of.outstanding(),
            lag: of.lag(start, state.topics.high_watermark(topic)),
            redelivered: of.redelivered(),
            dead_letters: of.dead_letters(),
            ack_timeout_ms: of.settings.ack_timeout_ms,
            max_deliveries: of.settings.max_deliveries,
            members: None,
        }
    })
    .collect()
}
