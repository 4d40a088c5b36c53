//! Where a topic's records are.

use super::{
    State,
    part::{Position, Run},
    topics::Share,
};

/// Where to read a topic on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// These entries, in order. None if the topic has nothing there.
    Positions(Vec<Position>),
    /// The file of this share's part says.
    InFile(Share),
}

impl State {
    /// Where `topic`'s records from `offset` on are (from its first one, if `offset` lies before): at most `limit`
    /// entries, fewer where a part ends.
    pub fn find(&self, topic: &str, offset: u64, limit: usize) -> Found {
        let nothing = Found::Positions(Vec::new());
        let Some(topic) = self.topics.get(topic) else {
            return nothing;
        };
        if offset > topic.high_watermark {
            return nothing;
        }
        let Some(share) = topic.share(offset) else {
            let runs = topic.runs_from(offset).iter().take(limit);
            let position = |run: &Run| {
                Some(Position {
                    base_offset: run.base_offset,
                    note: self.growing.note(run.log_index)?,
                })
            };
            return Found::Positions(runs.filter_map(position).collect());
        };
        let at = self
            .parts
            .partition_point(|part| part.meta.first_index < share.part);
        match self.parts.get(at).map(|part| &part.unsaved) {
            Some(Some(part)) => {
                Found::Positions(
                    part.tables
                        .positions(share.runs, share.base_offset, offset, limit),
                )
            }
            _ => Found::InFile(share),
        }
    }
}
