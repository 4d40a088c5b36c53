//! A snapshot while it comes in, piece by piece.

use bytes::BytesMut;
use wiber_protocol::{ids::RaftId, rpc::SnapshotChunk};

/// The largest snapshot a node takes in: the dedup window and the topics are far smaller.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;

/// The one snapshot that is coming in, if any. Only a leader sends them and a term has one leader, so a new beginning
/// replaces what came before, whoever sent that.
#[derive(Default)]
pub struct Incoming(Option<Pieces>);

struct Pieces {
    from: RaftId,
    term: u64,
    so_far: BytesMut,
}

impl Incoming {
    /// Takes the next piece in, and gives the whole snapshot when it was the last one. After an `Err` it has to come from
    /// its beginning again.
    pub(super) fn take(
        &mut self,
        from: RaftId,
        chunk: &SnapshotChunk,
    ) -> Result<Option<BytesMut>, &'static str> {
        let term = chunk.vote.term;
        let mut so_far = match self.0.take() {
            _ if chunk.offset == 0 => BytesMut::new(),
            Some(pieces) if (pieces.from, pieces.term) == (from, term) => pieces.so_far,
            other => {
                self.0 = other;
                return Err("the snapshot did not start at its beginning");
            }
        };
        let end = chunk.offset + chunk.data.len() as u64;
        if chunk.offset != so_far.len() as u64 || end > chunk.total_bytes {
            return Err("a piece of the snapshot is missing");
        }
        if chunk.total_bytes > MAX_SNAPSHOT_BYTES {
            return Err("the snapshot is too large");
        }
        so_far.extend_from_slice(&chunk.data);
        if end == chunk.total_bytes {
            return Ok(Some(so_far));
        }
        self.0 = Some(Pieces { from, term, so_far });
        Ok(None)
    }

    /// Lets go of what a leader of an earlier term began: nobody will send the rest.
    pub(super) fn forget_before(&mut self, term: u64) {
        self.0.take_if(|pieces| pieces.term < term);
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::{ids::Vote, membership::Membership};

    use super::*;

    const FROM: RaftId = RaftId(1);

    fn chunk(term: u64, offset: u64, data: &'static str, total_bytes: u64) -> SnapshotChunk {
        SnapshotChunk {
            vote: Vote {
                term,
                committed: true,
                ..Vote::default()
            },
            last: None,
            membership_log_id: None,
            membership: Membership::default(),
            total_bytes,
            offset,
            data: data.into(),
        }
    }

    #[test]
    fn pieces_come_together() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(FROM, &chunk(1, 0, "ab", 5)), Ok(None));
        assert_eq!(incoming.take(FROM, &chunk(1, 2, "cd", 5)), Ok(None));
        assert_eq!(
            incoming.take(FROM, &chunk(1, 4, "e", 5)),
            Ok(Some("abcde".into()))
        );
        assert!(incoming.0.is_none());
        assert_eq!(
            incoming.take(FROM, &chunk(1, 0, "whole", 5)),
            Ok(Some("whole".into()))
        );
    }

    /// What was lost: memory, for each leader that did not come to the end of its snapshot.
    #[test]
    fn half_a_snapshot_goes_with_its_leader() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(FROM, &chunk(1, 0, "ab", 5)), Ok(None));
        incoming.forget_before(1);
        assert!(incoming.0.is_some());
        incoming.forget_before(2);
        assert!(incoming.0.is_none());
        assert!(incoming.take(FROM, &chunk(1, 2, "cde", 5)).is_err());

        assert_eq!(incoming.take(FROM, &chunk(2, 0, "ab", 5)), Ok(None));
        assert_eq!(incoming.take(FROM, &chunk(3, 0, "xyz", 5)), Ok(None));
        assert!(incoming.take(FROM, &chunk(2, 2, "cde", 5)).is_err());
        assert!(incoming.take(RaftId(2), &chunk(3, 3, "uv", 5)).is_err());
        assert_eq!(
            incoming.take(FROM, &chunk(3, 3, "uv", 5)),
            Ok(Some("xyzuv".into()))
        );
    }

    #[test]
    fn what_does_not_follow_is_refused() {
        for wrong in [
            chunk(1, 3, "de", 5),
            chunk(1, 2, "cdef", 5),
            chunk(1, 2, "cd", MAX_SNAPSHOT_BYTES + 1),
        ] {
            let mut incoming = Incoming::default();
            assert_eq!(incoming.take(FROM, &chunk(1, 0, "ab", 5)), Ok(None));
            assert!(incoming.take(FROM, &wrong).is_err());
            assert!(incoming.0.is_none());
        }
    }
}
