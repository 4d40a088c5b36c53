//! The simulated network between nodes: connections of ordered frames with latency, which partitions hold up, noise
//! disturbs, and the end of a process or of its machine's power cuts in different ways.
//!
//! TCP delivers frames of one connection whole, in order and once. The noise goes further where the protocol must
//! stand it: requests that are safe to lose, to repeat and to overtake are lost, repeated and overtaken. A frame
//! that may not be lost alone takes its connection with it, as on a real network.

mod datagrams;
mod noise;
mod pipe;
mod tap;

use std::{io, sync::Arc, time::Duration};

use futures_util::{sink, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use wiber_node::{
    line::{self, Clients},
    rpc::{
        server::{Server, serve_connection},
        transport::{Connecting, Connection, Transport},
    },
    runtime::{self, Process},
    time::Received,
};
use wiber_protocol::membership::Member;

pub use self::noise::Noise;
use self::pipe::{Pipe, ReaderEnd, WriterEnd};
use crate::{count::Count, dice::Dice, say, world::World};

/// Bytes on their way between a client and its node.
const CLIENT_BUFFER_BYTES: usize = 64 << 10;

/// The network. Clones share it.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    world: World,
    dice: Dice,
    datagram_dice: Dice,
    names: Vec<String>,
    state: Mutex<State>,
    /// A way was opened or a host came or went.
    changed: Notify,
}

struct State {
    /// `blocked[from][to]`: nothing gets from one to the other.
    blocked: Vec<Vec<bool>>,
    noise: Noise,
    hosts: Vec<HostState>,
    pipes: Vec<Arc<Pipe>>,
    connections: u64,
}

#[derive(Default)]
struct HostState {
    listening: Option<Listening>,
    /// Where its datagrams go.
    inbox: Option<mpsc::Sender<Received>>,
    /// The power is off: nobody says that connections are gone.
    silent: bool,
    /// A firewall refuses whoever dials it.
    rejects: bool,
}

/// What a running node answers with.
#[derive(Clone)]
pub struct Listening {
    pub process: Arc<dyn Process>,
    pub server: Arc<Server>,
    pub clients: Arc<Clients>,
    pub ended: CancellationToken,
}

/// A client's connection.
pub type ClientStream = tokio::io::DuplexStream;

impl Network {
    pub fn new(world: World, names: Vec<String>) -> Self {
        let count = names.len();
        let state = State {
            blocked: vec![vec![false; count]; count],
            noise: Noise::default(),
            hosts: (0..count).map(|_| HostState::default()).collect(),
            pipes: Vec::new(),
            connections: 0,
        };
        Self(Arc::new(Inner {
            dice: Dice::new(world.seed(), "network", 0),
            datagram_dice: Dice::new(world.seed(), "datagrams", 0),
            world,
            names,
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// The network as the node `from` uses it.
    pub fn endpoint(&self, from: usize) -> Arc<dyn Transport> {
        Arc::new(Endpoint {
            network: self.clone(),
            from,
        })
    }

    pub fn listen(&self, host: usize, listening: Listening) {
        let mut state = self.0.state.lock();
        state.hosts[host].listening = Some(listening);
        if std::mem::take(&mut state.hosts[host].silent) {
            // The new system knows nothing of the old connections and says so.
            let pipes = state.pipes.clone();
            drop(state);
            for pipe in pipes.iter().filter(|pipe| pipe.touches(host) && pipe.is_lost()) {
                pipe.reset();
            }
        }
    }

    /// The process at `host` is about to end; `silent` if its machine goes with it.
    pub fn unlisten(&self, host: usize, silent: bool) {
        let mut state = self.0.state.lock();
        state.hosts[host].listening = None;
        state.hosts[host].inbox = None;
        state.hosts[host].silent |= silent;
    }

    /// Connects a client; `None` if nobody listens.
    pub fn connect_client(&self, host: usize) -> Option<ClientStream> {
        let listening = self.0.state.lock().hosts[host].listening.clone()?;
        let (near, far) = tokio::io::duplex(CLIENT_BUFFER_BYTES);
        let (read, write) = tokio::io::split(far);
        let ended = listening.ended.clone();
        runtime::spawn_in(&listening.process, async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = line::serve_client(Box::new(read), Box::new(write), listening.clients) => {}
            }
        });
        Some(near)
    }

    /// Blocks one direction.
    pub fn block(&self, from: usize, to: usize) {
        self.0.state.lock().blocked[from][to] = true;
    }

    /// Opens every way. Some connections that were cut have given up meanwhile.
    pub fn unblock_all(&self) {
        let pipes = {
            let mut state = self.0.state.lock();
            let blocked = state.blocked.clone();
            for row in &mut state.blocked {
                row.fill(false);
            }
            let cut = |pipe: &&Arc<Pipe>| blocked[pipe.from][pipe.to];
            state.pipes.iter().filter(cut).cloned().collect::<Vec<_>>()
        };
        for pipe in pipes {
            if pipe.has_waiting() && self.0.dice.permille(500) {
                self.reset(pipe.connection);
            }
            pipe.wake();
        }
        self.0.changed.notify_waiters();
    }

    /// Puts a firewall before a host, which cuts what others have dialled, or takes it down.
    pub fn reject(&self, host: usize, rejects: bool) {
        let pipes = {
            let mut state = self.0.state.lock();
            state.hosts[host].rejects = rejects;
            state.pipes.clone()
        };
        for pipe in pipes.iter().filter(|pipe| rejects && pipe.dialled == host) {
            pipe.reset();
        }
    }

    pub fn set_noise(&self, noise: Noise) {
        self.0.state.lock().noise = noise;
    }

    /// Breaks some connection, if there is one.
    pub fn reset_some(&self) {
        let connection = {
            let mut state = self.0.state.lock();
            state.pipes.retain(|pipe| !pipe.is_over());
            let at = self.0.dice.index(state.pipes.len());
            state.pipes.get(at).map(|pipe| pipe.connection)
        };
        if let Some(connection) = connection {
            self.0.world.count(Count::ConnectionReset);
            self.reset(connection);
        }
    }

    fn reset(&self, connection: u64) {
        let pipes = self.0.state.lock().pipes.clone();
        for pipe in pipes.iter().filter(|pipe| pipe.connection == connection) {
            pipe.reset();
        }
    }

    fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.0.state.lock().blocked[from][to]
    }

    /// Whether nobody there says that a connection is refused or gone.
    pub fn is_silent(&self, host: usize) -> bool {
        self.0.state.lock().hosts[host].silent
    }

    fn latency(&self) -> Duration {
        let slowest_ms = self.0.state.lock().noise.latency_ms;
        Duration::from_millis(self.0.dice.between(0, slowest_ms + 1))
    }

    async fn connect(&self, from: usize, member: &Member) -> io::Result<Connection> {
        let Some(to) = self.0.names.iter().position(|name| *name == member.name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        tokio::time::sleep(self.latency() + self.latency()).await;
        while self.is_blocked(from, to) || self.is_blocked(to, from) || self.is_silent(to) {
            self.0.changed.notified().await;
        }
        let (listening, connection) = {
            let mut state = self.0.state.lock();
            state.connections += 1;
            (state.hosts[to].listening.clone(), state.connections)
        };
        if self.0.state.lock().hosts[to].rejects {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let listening = listening.ok_or(io::ErrorKind::ConnectionRefused)?;
        let there = Pipe::new(connection, from, to, to);
        let back = Pipe::new(connection, to, from, to);
        {
            let mut state = self.0.state.lock();
            state.pipes.retain(|pipe| !pipe.is_over());
            state.pipes.extend([there.clone(), back.clone()]);
        }
        let names = &self.0.names;
        say!(
            self.0.world,
            names[from],
            "connects to {} ({connection})",
            names[to]
        );
        let far = self.ends(&there, &back);
        let ended = listening.ended.clone();
        runtime::spawn_in(&listening.process, async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                _ = serve_connection(far, listening.server) => {}
            }
        });
        Ok(self.ends(&back, &there))
    }

    /// One side of a connection.
    fn ends(&self, incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>) -> Connection {
        let reader = ReaderEnd::new(self.clone(), incoming.clone());
        let writer = WriterEnd::new(self.clone(), outgoing.clone());
        Connection {
            frames_in: Box::pin(stream::unfold(reader, |reader| async move {
                let frame = reader.next().await?;
                Some((frame, reader))
            })),
            frames_out: Box::pin(sink::unfold(writer, |writer, frame| async move {
                writer.send(frame).await?;
                Ok(writer)
            })),
        }
    }
}

struct Endpoint {
    network: Network,
    from: usize,
}

impl Transport for Endpoint {
    fn connect<'a>(&'a self, member: &'a Member) -> Connecting<'a> {
        Box::pin(self.network.connect(self.from, member))
    }
}
