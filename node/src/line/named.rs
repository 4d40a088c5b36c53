//! Topics and ids of publishes that were submitted together, kept until they can be answered.
//!
//! They stand in one text: an allocation for each would cost more than to write the answers.

use std::sync::Arc;

use wiber_protocol::{group_op::GroupOp, record::Record};

#[derive(Debug, Default)]
pub(super) struct Named {
    /// Runs of one topic: the topic, and how many records there are up to the end of its run.
    topics: Vec<(Arc<str>, usize)>,
    ids: String,
    /// Where each id ends.
    ends: Vec<usize>,
    /// What is answered in another way than a `PUB`, by the records' places.
    special: Vec<(usize, Asked)>,
}

/// What a record was made for, where it was not a `PUB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Publish,
    Group(GroupOp),
}

impl Named {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut named = Self {
            topics: Vec::new(),
            ids: String::with_capacity(records.iter().map(|record| record.id.len()).sum()),
            ends: Vec::with_capacity(records.len()),
            special: Vec::new(),
        };
        for record in records {
            named.ids.push_str(&record.id);
            named.ends.push(named.ids.len());
            let count = named.ends.len();
            if let Some(op) = &record.group_op {
                named.special.push((count - 1, Asked::Group(op.clone())));
            } else if record.binary_safe {
                named.special.push((count - 1, Asked::Publish));
            }
            match named.topics.last_mut() {
                Some((topic, end)) if *topic == record.topic => *end = count,
                _ => named.topics.push((Arc::clone(&record.topic), count)),
            }
        }
        named
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What each was made for, in order; `None` for a `PUB`.
    pub(super) fn asked(&self) -> impl Iterator<Item = Option<&Asked>> {
        let mut special = self.special.iter().peekable();
        (0..self.len()).map(move |at| special.next_if(|(place, _)| *place == at).map(|(_, asked)| asked))
    }

    /// Topic and id of each, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ids = starts.zip(&self.ends).map(|(start, end)| &self.ids[start..*end]);
        let mut runs = self.topics.iter();
        let mut run = runs.next();
        ids.enumerate().filter_map(move |(at, id)| {
            if run.is_some_and(|(_, end)| at == *end) {
                run = runs.next();
            }
            run.map(|(topic, _)| (&**topic, id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_keeps_its_topic_and_its_id() {
        let pairs = [("a", "1"), ("a", "22"), ("b", "3"), ("a", ""), ("a", "55")];
        let records: Vec<Record> = pairs
            .iter()
            .map(|(topic, id)| Record {
                topic: (*topic).into(),
                id: (*id).to_owned(),
                client_id: false,
                node: "n1".into(),
                ts_us: 0,
                corrected_us: 0,
                error_bound_us: 0,
                synchronised: false,
                lamport: 0,
                headers: Vec::new(),
                body: "x".into(),
                ..Record::default()
            })
            .collect();
        let named = Named::of(&records);
        assert_eq!(named.len(), pairs.len());
        assert_eq!(named.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(Named::default().iter().count(), 0);
    }
}
