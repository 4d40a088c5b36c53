//! Making a group, or changing its settings, before somebody joins it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use wiber_protocol::{
    group_op::{GroupAction, GroupOp, GroupSettings},
    record::Record,
    rpc::PublishOutcome,
};

use crate::{
    group::Group,
    line::{COMMIT_TIMEOUT, Stamper},
    publish::{Fate, Submission},
};

/// It is made, and if another member was faster its settings are changed; more would be somebody else's doing.
const CHANGES: usize = 3;

/// What a member asks of a group's settings; `None` leaves a setting as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub ack_timeout: Option<Duration>,
    pub max_deliveries: Option<u32>,
}

impl Wanted {
    fn over(self, settings: GroupSettings) -> GroupSettings {
        let millis = |timeout: Duration| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        GroupSettings {
            ack_timeout_ms: self.ack_timeout.map_or(settings.ack_timeout_ms, millis),
            max_deliveries: self.max_deliveries.unwrap_or(settings.max_deliveries),
        }
    }
}

/// Why there is no group to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    NotLeader,
    TooManyGroups,
    NoRoom,
    /// It may be made some day.
    Unknown,
}

/// Sees that there is a group with the settings `wanted`, on the leader of `term`. A new one begins at `next_offset`.
pub async fn open(
    raft: &Group,
    stamper: &Stamper,
    term: u64,
    (topic, group): (&str, &str),
    next_offset: u64,
    wanted: Wanted,
) -> Result<(), OpenError> {
    for _ in 0..CHANGES {
        let found = raft
            .state
            .read()
            .groups
            .get(topic, group)
            .map(|group| group.settings);
        let action = match found {
            None => GroupAction::Create {
                next_offset,
                settings: wanted.over(GroupSettings::default()),
            },
            Some(settings) if wanted.over(settings) == settings => return Ok(()),
            Some(settings) => GroupAction::Configure {
                settings: wanted.over(settings),
            },
        };
        let op = GroupOp {
            group: group.to_owned(),
            action,
        };
        let record = stamper.group_op(&stamper.moment(), Arc::from(topic), op);
        let decided = timeout(COMMIT_TIMEOUT, decide(raft, term, record)).await;
        if decided.unwrap_or(Err(OpenError::Unknown))? == PublishOutcome::TooManyGroups {
            return Err(OpenError::TooManyGroups);
        }
        // Deleted in between, or as it should be: the next look tells.
    }
    Ok(())
}

async fn decide(raft: &Group, term: u64, record: Record) -> Result<PublishOutcome, OpenError> {
    let (submission, fate) = Submission::new(term, vec![record]);
    raft.publisher.lead(submission).await;
    match fate.await {
        Ok(Fate::Committed(outcomes)) => outcomes.first().copied().ok_or(OpenError::Unknown),
        Ok(Fate::NotLeader) => Err(OpenError::NotLeader),
        Ok(Fate::NoRoom) => Err(OpenError::NoRoom),
        _ => Err(OpenError::Unknown),
    }
}
