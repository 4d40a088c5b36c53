//! Where a subscription stands, and which record comes next: no I/O here.

use std::fmt;

use wiber_protocol::line::{RecordLine, SubscribeStart};

/// Moves forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// As it was asked for: no node has said yet where in the log that is.
    Asked { start: SubscribeStart, is_topic: bool },
    /// One topic, at this offset.
    Offset(u64),
    /// A pattern's topics, behind this Lamport time.
    After(u64),
}

impl Position {
    pub(super) fn new(is_topic: bool, start: SubscribeStart) -> Self {
        match start {
            SubscribeStart::From(offset) => Self::Offset(offset.max(1)),
            SubscribeStart::After(logical_time) if !is_topic => Self::After(logical_time),
            start => Self::Asked { start, is_topic },
        }
    }

    /// How a node is told.
    pub(super) fn start(self) -> SubscribeStart {
        match self {
            Self::Asked { start, .. } => start,
            Self::Offset(next) => SubscribeStart::From(next),
            Self::After(logical_time) => SubscribeStart::After(logical_time),
        }
    }

    /// A node said where it begins.
    pub(super) fn begin(&mut self, node: Self) -> Result<(), String> {
        match (*self, node) {
            (Self::Asked { is_topic: true, .. }, Self::Offset(_))
            | (Self::Asked { is_topic: false, .. }, Self::After(_)) => *self = node,
            (expected, node) if expected == node => {}
            (expected, node) => return Err(format!("starts at {node} instead of {expected}")),
        }
        Ok(())
    }

    /// A node said that this place is no longer kept, and where what is kept begins. Gives the place that is left, if it
    /// was one of the same kind.
    pub(super) fn skip_to(&mut self, start: u64) -> Result<Option<u64>, String> {
        let (here, next) = match *self {
            Self::Asked { is_topic: true, .. } => (None, Self::Offset(start)),
            Self::Asked { is_topic: false, .. } => (None, Self::After(start)),
            Self::Offset(next) => (Some(next), Self::Offset(start)),
            Self::After(logical_time) => (Some(logical_time), Self::After(start)),
        };
        if here.is_some_and(|here| start <= here) {
            return Err(format!("does not keep {self}, but what follows {start}"));
        }
        *self = next;
        Ok(here)
    }

    /// Takes a record if it may come here.
    pub(super) fn accept(&mut self, record: &RecordLine) -> Result<(), String> {
        match self {
            Self::Offset(next) if record.offset == *next => *next += 1,
            Self::After(last) if record.logical_time > *last => *last = record.logical_time,
            expected => {
                let RecordLine {
                    offset,
                    logical_time,
                    topic,
                    ..
                } = record;
                return Err(format!(
                    "sent offset {offset} of `{topic}` (Lamport {logical_time}) instead of {expected}"
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { start, .. } => write!(f, "{start:?}"),
            Self::Offset(next) => write!(f, "offset {next}"),
            Self::After(logical_time) => write!(f, "what follows Lamport {logical_time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, logical_time: u64) -> RecordLine {
        RecordLine {
            offset,
            logical_time,
            ..RecordLine::default()
        }
    }

    #[test]
    fn a_topic_goes_on_at_the_next_offset_and_a_pattern_behind_the_last_lamport_time() {
        let mut topic = Position::new(true, SubscribeStart::Since(5));
        assert_eq!(topic.start(), SubscribeStart::Since(5));
        assert!(topic.begin(Position::After(7)).is_err());
        topic.begin(Position::Offset(3)).unwrap();
        assert!(topic.accept(&record(4, 9)).is_err() && topic.accept(&record(2, 9)).is_err());
        topic.accept(&record(3, 9)).unwrap();
        assert_eq!(topic.start(), SubscribeStart::From(4));
        assert!(topic.begin(Position::Offset(5)).is_err());
        let mut pattern = Position::new(false, SubscribeStart::New);
        pattern.begin(Position::After(7)).unwrap();
        assert!(pattern.accept(&record(1, 7)).is_err());
        pattern.accept(&record(1, 9)).unwrap();
        assert_eq!(pattern.start(), SubscribeStart::After(9));
        assert!(pattern.begin(Position::After(10)).is_err(), "a gap nobody told");
    }

    #[test]
    fn what_is_no_longer_kept_moves_it_forward_and_never_back() {
        let mut topic = Position::new(true, SubscribeStart::From(0));
        assert_eq!(topic.skip_to(10), Ok(Some(1)));
        assert!(topic.skip_to(10).is_err());
        assert_eq!(topic, Position::Offset(10));
        let mut pattern = Position::new(false, SubscribeStart::Since(5));
        assert_eq!(pattern.skip_to(10), Ok(None));
        assert_eq!(pattern, Position::After(10));
    }
}
