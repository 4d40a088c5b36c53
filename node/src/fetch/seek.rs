//! Finding places in a topic by bisection of its offsets: each step reads one record.

use super::{Committed, FetchError};
use crate::group::Group;

impl Group {
    /// The offset of the first record of `topic`, from offset `from` on, that an entry above `log_index` holds; the
    /// topic's next offset if there is none yet.
    pub async fn first_above(&self, topic: &str, from: u64, log_index: u64) -> Result<u64, FetchError> {
        self.first_where(topic, from, |record| record.log_id.index > log_index)
            .await
    }

    /// The offset of the first record of `topic` that can be read and whose Lamport time is later than this one; the
    /// topic's next offset if there is none yet.
    pub async fn first_after(&self, topic: &str, lamport: u64) -> Result<u64, FetchError> {
        self.first_where(topic, 0, |record| record.lamport > lamport)
            .await
    }

    /// The offset of a record of `topic` from this moment of cluster time on, such that the one before it, if it can be
    /// read, is earlier; the topic's next offset if there is none yet. Cluster times need not rise along the log: then
    /// there are several such places, and this is one of them.
    pub async fn first_since(&self, topic: &str, corrected_us: i64) -> Result<u64, FetchError> {
        self.first_where(topic, 0, |record| record.record.corrected_us >= corrected_us)
            .await
    }

    /// The first offset from `from` on that `is_there`, if what is there stays there to the topic's end.
    async fn first_where(
        &self,
        topic: &str,
        from: u64,
        is_there: impl Fn(&Committed) -> bool,
    ) -> Result<u64, FetchError> {
        let (mut first, mut beyond) = {
            let state = self.state.read();
            let start = state.topics.log_start_offset(topic);
            (from.max(start), state.topics.next_offset(topic))
        };
        while first < beyond {
            let middle = first.midpoint(beyond);
            match self.fetch(topic, middle, 1, 1).await {
                Ok(page) => match page.first() {
                    Some(record) if !is_there(record) => first = middle + 1,
                    _ => beyond = middle,
                },
                // Retention went by.
                Err(FetchError::OutOfRange { start, .. }) if start > middle => {
                    first = start;
                    beyond = beyond.max(start);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(first)
    }
}
