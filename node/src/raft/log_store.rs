//! The engine's log store over [`wiber_storage::Log`].
//!
//! An append is readable when it returns and acknowledged after the flush that covers it; a vote is durable
//! before it is answered, through the same ordered writer. Reads come from the hot tail where they can;
//! the rest is read from files on the blocking pool, never on a runtime thread.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use parking_lot::RwLock;
use tokio::sync::oneshot;
use wiber_protocol::{
    codec::{DecodeError, Reader},
    entry::Entry,
    event::EventKind,
    ids,
    status::{EntryMark, TAIL_ENTRIES},
};
use wiber_storage::{Done, Log, Recovered, StoredEntry};

use super::{
    convert,
    entry::LogEntry,
    types::{LogId, TypeConfig, Vote},
};
use crate::{
    mutant::{self, Mutant},
    rpc::names::Names,
    runtime,
    trace::Trace,
};

/// One `AppendEntries` carries at most this many bytes of entries, and at least one entry.
pub const APPEND_BYTES: usize = 1 << 20;
/// One step of applying reads at most this many bytes of entries.
const APPLY_BYTES: usize = 4 << 20;

/// The log as the engine sees it. Clones share everything.
#[derive(Clone)]
pub struct LogStore {
    log: Log,
    shared: Arc<Shared>,
    names: Arc<Names>,
    trace: Trace,
}

struct Shared {
    vote: RwLock<Option<Vote>>,
    committed: RwLock<Option<LogId>>,
    /// The newest entries' sizes, for the log figure; at most [`TAIL_ENTRIES`].
    tail: RwLock<VecDeque<EntryMark>>,
}

impl LogStore {
    pub fn new(log: Log, recovered: &Recovered, names: Arc<Names>, trace: Trace) -> io::Result<Self> {
        let vote = recovered
            .vote
            .clone()
            .map(decode_vote)
            .transpose()
            .map_err(invalid)?;
        let committed = recovered
            .committed
            .map(|(term, index)| convert::log_id(ids::LogId { term, index }));
        let shared = Shared {
            vote: RwLock::new(vote),
            committed: RwLock::new(committed),
            tail: RwLock::new(VecDeque::new()),
        };
        let store = Self {
            log,
            shared: Arc::new(shared),
            names,
            trace,
        };
        if let Some((_, last)) = recovered.last {
            let first = last.saturating_sub(TAIL_ENTRIES as u64 - 1);
            let mut next = first;
            while next <= last {
                let entries = store.log.read(next, last + 1, APPLY_BYTES)?;
                let Some(newest) = entries.last() else { break };
                next = newest.index + 1;
                store.mark(&entries.into_iter().map(decode).collect::<io::Result<Vec<_>>>()?);
            }
        }
        Ok(store)
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The newest entries, oldest first.
    pub fn tail(&self) -> Vec<EntryMark> {
        self.shared.tail.read().iter().copied().collect()
    }

    /// Whether the disk still takes writes, for `/readyz`.
    pub async fn probe(&self) -> io::Result<()> {
        let (done, wait) = done();
        self.log.probe(done);
        flushed(wait).await
    }

    fn mark(&self, entries: &[LogEntry]) {
        let mut tail = self.shared.tail.write();
        for entry in entries {
            let encoded = entry.encode();
            if tail.len() == TAIL_ENTRIES {
                tail.pop_front();
            }
            tail.push_back(EntryMark {
                index: encoded.log_id.index,
                term: encoded.log_id.term,
                records: entry.records(),
                bytes: u32::try_from(encoded.bytes().len()).unwrap_or(u32::MAX),
            });
        }
    }

    /// Stored entries `from..to`, at least one if there is any, then as many as fit `max_bytes`.
    pub async fn stored(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.log.read_hot(from, to, max_bytes) {
            return Ok(entries);
        }
        let log = self.log.clone();
        runtime::blocking(move || log.read(from, to, max_bytes)).await?
    }

    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<LogEntry>> {
        self.stored(from, to, max_bytes)
            .await?
            .into_iter()
            .map(decode)
            .collect()
    }

    fn bounds(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let from = from.max(self.log.purged().map_or(0, |(_, index)| index + 1));
        let end = self.log.last().map_or(0, |(_, index)| index + 1);
        let to = match range.end_bound() {
            Bound::Included(last) => (last + 1).min(end),
            Bound::Excluded(to) => (*to).min(end),
            Bound::Unbounded => end,
        };
        (from, to)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, io::Error> {
        let (mut next, to) = self.bounds(&range);
        let mut entries = Vec::new();
        while next < to {
            let part = self.read(next, to, APPLY_BYTES).await?;
            let Some(last) = part.last() else { break };
            next = last.log_id.index() + 1;
            entries.extend(part);
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(*self.shared.vote.read())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, io::Error> {
        self.read(start, end, APPEND_BYTES).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<LogEntry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (mut next, to) = self.bounds(&range);
        let store = self.clone();
        async_stream::try_stream! {
            while next < to {
                let part = store.read(next, to, APPLY_BYTES).await?;
                let Some(last) = part.last() else { break };
                next = last.log_id.index() + 1;
                for entry in part {
                    yield entry;
                }
            }
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log_id = |(term, index)| convert::log_id(ids::LogId { term, index });
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(log_id),
            last_log_id: self.log.last().map(log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, wait) = done();
        self.log.save_vote(encode_vote(vote), done);
        flushed(wait).await?;
        *self.shared.vote.write() = Some(*vote);
        let cast = convert::from_vote(vote);
        // A committed vote is no vote cast: it notes whom the majority chose.
        if !cast.committed {
            let candidate = self.names.of(cast.voted_for);
            self.trace.local(EventKind::Vote, cast.term, |event| {
                event.detail = Some(format!("votes for {candidate} in term {}", cast.term));
                event.peer = Some(candidate);
            });
        }
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        *self.shared.committed.write() = committed;
        if let Some(log_id) = committed {
            let log_id = convert::from_log_id(&log_id);
            self.log.save_committed(log_id.term, log_id.index);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // A value beyond a lost tail would make the engine apply what is not there.
        let last = self.log.last().map(|(_, index)| index);
        Ok((*self.shared.committed.read())
            .filter(|committed| last.is_some_and(|last| committed.index() <= last)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().map(LogEntry::encoded).collect();
        let stored = entries.iter().map(|entry| stored(&entry.encode())).collect();
        self.mark(&entries);
        if let Some(last) = entries.last().map(|entry| convert::from_log_id(&entry.log_id))
            && self.trace.allow_local(EventKind::Append)
        {
            let records = entries.iter().map(LogEntry::records).sum();
            self.trace.local(EventKind::Append, last.term, |event| {
                event.log_index = Some(last.index);
                event.records = Some(records);
            });
        }
        self.log
            .append(stored, Box::new(move |result| callback.io_completed(result)))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let last =
            last_log_id.map(|log_id| log_id.index() + u64::from(mutant::is_broken(Mutant::TruncateOffByOne)));
        let (done, wait) = done();
        self.log.truncate_after(last, done);
        self.shared
            .tail
            .write()
            .retain(|mark| last.is_some_and(|last| mark.index <= last));
        flushed(wait).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let log_id = convert::from_log_id(&log_id);
        let (done, wait) = done();
        self.log.purge(log_id.term, log_id.index, done);
        self.shared.tail.write().retain(|mark| mark.index > log_id.index);
        flushed(wait).await
    }
}

fn done() -> (Done, oneshot::Receiver<io::Result<()>>) {
    let (sender, receiver) = oneshot::channel();
    // The waiting side may be gone when the engine stops; then nobody needs the answer.
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

async fn flushed(wait: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    wait.await
        .map_err(|_| io::Error::other("the log's writer is gone"))?
}

fn stored(entry: &Entry) -> StoredEntry {
    StoredEntry {
        index: entry.log_id.index,
        term: entry.log_id.term,
        bytes: entry.bytes().clone(),
    }
}

fn decode(stored: StoredEntry) -> io::Result<LogEntry> {
    LogEntry::from_encoded(Entry::decode(stored.bytes).map_err(invalid)?)
}

fn invalid(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn encode_vote(vote: &Vote) -> Bytes {
    let vote = convert::from_vote(vote);
    let mut out = BytesMut::with_capacity(17);
    out.put_u64_le(vote.term);
    out.put_u64_le(vote.voted_for.0);
    out.put_u8(u8::from(vote.committed));
    out.freeze()
}

fn decode_vote(bytes: Bytes) -> Result<Vote, DecodeError> {
    let mut reader = Reader::new(bytes);
    let vote = ids::Vote {
        term: reader.u64("vote term")?,
        voted_for: ids::RaftId(reader.u64("voted for")?),
        committed: reader.flag("vote committed")?,
    };
    reader.finish("vote")?;
    Ok(convert::vote(vote))
}
