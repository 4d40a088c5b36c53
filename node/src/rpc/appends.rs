//! One connection's appends, in order and pipelined through the engine.
//!
//! The engine answers a stream of appends in order and ends it at the first refusal. What was sent behind a
//! refused append was built on it, so it is turned down too, and the next append starts a new stream.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wiber_protocol::{
    entry::{Entry, EntryKind},
    event::RpcKind,
    ids::LogId,
    rpc::{AppendReply, AppendRequest, Header, Response},
};
use wiber_storage::UNFLUSHED_BYTES;

use super::server::Answers;
use crate::{
    group::{Group, GroupCell},
    raft::{self, StreamAppendError},
};

/// Appends of one connection that are with the engine and not yet on disk.
pub const APPEND_WINDOW: usize = 64;

/// One append takes at most this part of what the log keeps in reserve for a full disk.
const SHARE_OF_RESERVE: u64 = 4;

pub(super) type Queue = mpsc::Sender<(Header, AppendRequest)>;

/// Starts the worker of one connection; it ends when the returned sender is dropped.
pub(super) fn start(group: GroupCell, answers: Answers) -> Queue {
    let (sender, mut queue) = mpsc::channel(APPEND_WINDOW);
    crate::runtime::spawn(async move {
        let Some(group) = group.get() else { return };
        while let Some(first) = queue.recv().await {
            if run_stream(&group, first, &mut queue, &answers).await.is_none() {
                return;
            }
        }
    });
    sender
}

/// Feeds one stream until the engine ends it (`Some`: go on with a new one) or the connection is over (`None`).
async fn run_stream(
    group: &Group,
    first: (Header, AppendRequest),
    queue: &mut mpsc::Receiver<(Header, AppendRequest)>,
    answers: &Answers,
) -> Option<()> {
    let (feed, input) = mpsc::channel(APPEND_WINDOW);
    let mut replies = std::pin::pin!(group.raft.stream_append(ReceiverStream::new(input)));
    let mut waiting: VecDeque<Header> = VecDeque::new();
    let mut next = Some(first);
    loop {
        if let Some((header, mut append)) = next.take() {
            let taken = taken(group, &append.entries);
            if taken == 0 && !append.entries.is_empty() {
                waiting.push_back(header);
                refuse(waiting, answers, "the disk is full").await?;
                return Some(());
            }
            append.entries.truncate(taken);
            match decode(append) {
                Ok(request) => {
                    feed.send(request).await.ok()?;
                    waiting.push_back(header);
                }
                Err(reason) => {
                    // The connection's bytes are intact (the frame was whole), so the sender made it so.
                    tracing::error!(target: "rpc", "a peer sent a bad entry: {reason}");
                    return None;
                }
            }
        }
        let reply = tokio::select! {
            biased;
            reply = replies.next(), if !waiting.is_empty() => reply,
            // Something waits as long as the disk has to catch up, so this is looked at again.
            more = queue.recv(), if waiting.len() < APPEND_WINDOW
                && (waiting.is_empty() || group.log.log().unflushed_bytes() <= UNFLUSHED_BYTES) => {
                next = Some(more?);
                continue;
            }
        };
        let ended = match reply {
            Some(Ok(Ok(log_id))) => {
                group.heard_from_leader();
                answer(
                    &mut waiting,
                    answers,
                    AppendReply::Stored(raft::from_log_ids(log_id.as_ref())),
                )
                .await?;
                continue;
            }
            Some(Ok(Err(StreamAppendError::Conflict(log_id)))) => {
                AppendReply::Conflict(raft::from_log_id(&log_id))
            }
            Some(Ok(Err(StreamAppendError::HigherVote(vote)))) => {
                AppendReply::HigherVote(raft::from_vote(&vote))
            }
            Some(Err(_)) | None => return None,
        };
        answer(&mut waiting, answers, ended).await?;
        refuse(waiting, answers, "an append before this one was refused").await?;
        return Some(());
    }
}

/// How many of `entries` this node takes: all, with room for them. On a full disk those that are there already, and up to the
/// last that a leader needs to be one (its first entry, a membership): without those nobody could read strongly as long
/// as a majority has no room. For them the log keeps a reserve.
fn taken(group: &Group, entries: &[Bytes]) -> usize {
    let log = group.log.log();
    if log.has_room() {
        return entries.len();
    }
    let most_bytes = log.spare_bytes() / SHARE_OF_RESERVE;
    let (mut taken, mut new_bytes) = (0, 0);
    for (before, bytes) in entries.iter().enumerate() {
        let Ok(entry) = Entry::decode(bytes.clone()) else {
            // It is told when all are decoded.
            return entries.len();
        };
        let LogId { term, index } = entry.log_id;
        let is_there = log.term_of(index) == Some(term);
        if !is_there {
            new_bytes += bytes.len() as u64;
        }
        if new_bytes > most_bytes {
            break;
        }
        if is_there || entry.kind != EntryKind::Records {
            taken = before + 1;
        }
    }
    taken
}

async fn refuse(waiting: VecDeque<Header>, answers: &Answers, reason: &str) -> Option<()> {
    for request in waiting {
        let response = Response::Refused(reason.to_owned());
        answers.give(request, RpcKind::Append, response).await?;
    }
    Some(())
}

async fn answer(waiting: &mut VecDeque<Header>, answers: &Answers, reply: AppendReply) -> Option<()> {
    let request = waiting.pop_front()?;
    answers
        .give(request, RpcKind::Append, Response::Append(reply))
        .await
}

/// The engine's view of an append; every entry's checksum is verified before anything is stored.
pub fn decode(append: AppendRequest) -> Result<raft::AppendEntries, String> {
    let mut entries = Vec::with_capacity(append.entries.len());
    for bytes in append.entries {
        let entry = Entry::decode(bytes).map_err(|error| error.to_string())?;
        entries.push(raft::LogEntry::from_encoded(entry).map_err(|error| error.to_string())?);
    }
    Ok(raft::AppendEntries {
        vote: raft::to_vote(append.vote),
        prev_log_id: append.prev.map(raft::to_log_id),
        leader_commit: append.leader_commit.map(raft::to_log_id),
        entries,
    })
}
