//! One direction of a connection: frames that are on their way, each with the moment it arrives.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::Network;

/// Frames under way; past it the writer waits, as for a full socket buffer.
const FRAMES: usize = 512;

pub(super) struct Pipe {
    pub(super) connection: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Who was dialled when the connection was made.
    pub(super) dialled: usize,
    state: Mutex<State>,
    arriving: Notify,
    room: Notify,
}

struct State {
    queue: VecDeque<(Instant, Bytes)>,
    /// No ordinary frame arrives before this.
    last_at: Instant,
    end: End,
    reader_gone: bool,
}

/// How the writing side ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Closed: the reader hears of it after what is under way.
    Closed {
        at: Instant,
    },
    /// Gone without a word.
    Lost,
    Reset,
}

impl Pipe {
    pub(super) fn new(connection: u64, from: usize, to: usize, dialled: usize) -> Arc<Self> {
        let state = State {
            queue: VecDeque::new(),
            last_at: Instant::now(),
            end: End::Open,
            reader_gone: false,
        };
        Arc::new(Self {
            connection,
            from,
            to,
            dialled,
            state: Mutex::new(state),
            arriving: Notify::new(),
            room: Notify::new(),
        })
    }

    pub(super) fn touches(&self, host: usize) -> bool {
        self.from == host || self.to == host
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state.lock().end == End::Lost
    }

    pub(super) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.reader_gone || state.end == End::Reset
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.state.lock().queue.is_empty()
    }

    /// Both sides hear that the connection is gone; what was under way is lost.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        state.end = End::Reset;
        state.queue.clear();
        drop(state);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.arriving.notify_one();
        self.room.notify_one();
    }

    /// Puts a frame on its way. One that keeps the order arrives after all before it.
    pub(super) fn put(&self, frame: Bytes, after: Duration, keeps_order: bool) {
        let mut state = self.state.lock();
        let mut at = Instant::now() + after;
        if keeps_order {
            at = at.max(state.last_at);
            state.last_at = at;
        }
        let place = state.queue.partition_point(|(earlier, _)| *earlier <= at);
        state.queue.insert(place, (at, frame));
        drop(state);
        self.arriving.notify_one();
    }

    /// Puts a frame that was just put on its way once more, so much later.
    pub(super) fn put_again(&self, frame: Bytes, later: Duration) {
        let mut state = self.state.lock();
        let at = state.last_at.max(Instant::now()) + later;
        let place = state.queue.partition_point(|(earlier, _)| *earlier <= at);
        state.queue.insert(place, (at, frame));
        drop(state);
        self.arriving.notify_one();
    }

    fn is_gone(&self) -> bool {
        let state = self.state.lock();
        state.reader_gone || state.end == End::Reset
    }

    fn is_full(&self) -> bool {
        self.state.lock().queue.len() >= FRAMES
    }
}

pub(super) struct ReaderEnd {
    network: Network,
    pipe: Arc<Pipe>,
}

enum Next {
    Frame(Bytes),
    End(Option<io::Error>),
    Wait(Option<Instant>),
}

impl ReaderEnd {
    pub(super) fn new(network: Network, pipe: Arc<Pipe>) -> Self {
        Self { network, pipe }
    }

    pub(super) async fn next(&self) -> Option<io::Result<Bytes>> {
        loop {
            match self.look() {
                Next::Frame(frame) => {
                    self.pipe.room.notify_one();
                    return Some(Ok(frame));
                }
                Next::End(error) => return error.map(Err),
                Next::Wait(None) => self.pipe.arriving.notified().await,
                Next::Wait(Some(at)) => {
                    tokio::select! {
                        biased;
                        () = self.pipe.arriving.notified() => {}
                        () = sleep_until(at) => {}
                    }
                }
            }
        }
    }

    fn look(&self) -> Next {
        let is_blocked = self.network.is_blocked(self.pipe.from, self.pipe.to);
        let mut state = self.pipe.state.lock();
        let now = Instant::now();
        if state.end == End::Reset {
            return Next::End(Some(io::ErrorKind::ConnectionReset.into()));
        }
        if is_blocked {
            return Next::Wait(None);
        }
        if let Some((at, _)) = state.queue.front() {
            if *at > now {
                return Next::Wait(Some(*at));
            }
            if let Some((_, frame)) = state.queue.pop_front() {
                return Next::Frame(frame);
            }
        }
        match state.end {
            End::Closed { at } if at <= now => Next::End(None),
            End::Closed { at } => Next::Wait(Some(at)),
            End::Open | End::Lost | End::Reset => Next::Wait(None),
        }
    }
}

impl Drop for ReaderEnd {
    fn drop(&mut self) {
        if !self.network.is_silent(self.pipe.to) {
            self.pipe.state.lock().reader_gone = true;
            self.pipe.room.notify_one();
        }
    }
}

pub(super) struct WriterEnd {
    pub(super) network: Network,
    pub(super) pipe: Arc<Pipe>,
}

impl WriterEnd {
    pub(super) fn new(network: Network, pipe: Arc<Pipe>) -> Self {
        Self { network, pipe }
    }

    pub(super) async fn send(&self, frame: Bytes) -> io::Result<()> {
        while self.pipe.is_full() && !self.pipe.is_gone() {
            self.pipe.room.notified().await;
        }
        if self.pipe.is_gone() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.network.carry(&self.pipe, frame);
        Ok(())
    }
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        let is_silent = self.network.is_silent(self.pipe.from);
        let at = Instant::now() + self.network.latency();
        let mut state = self.pipe.state.lock();
        if state.end == End::Open {
            let at = at.max(state.last_at);
            state.end = if is_silent { End::Lost } else { End::Closed { at } };
        }
        drop(state);
        self.pipe.arriving.notify_one();
    }
}
