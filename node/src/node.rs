//! One node put together: ports, folder, peers, forming, the group, and an orderly end.

mod flushes;
mod hand_over;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wiber_protocol::{config::ClusterConfig, membership::Member, status::Formation};
use wiber_storage::{LogOptions, Stamp};

use self::{flushes::FlushObserver, hand_over::hand_over};
use crate::{
    admin,
    clock::Clock,
    forming::Forming,
    founding::found,
    group::{Group, GroupCell},
    handlers::Handlers,
    identity::Identity,
    joining::{self, Joining},
    lamport::Lamport,
    line::{self, Clients, Stamper},
    machine::Machine,
    metrics::Counters,
    observe,
    ports::Ports,
    publish::{Batcher, Forwarder, Publisher},
    raft::{self, LogStore, Network, Raft, StateMachine},
    rejoin,
    rpc::{self, link::Local, links::Links, names::Names, server::Server},
    runtime,
    shared_identity::SharedIdentity,
    state::State,
    status::StatusBoard,
    trace::Trace,
    watermark::Watermarks,
};

/// Leadership is handed over within this time, or the node stops without it.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(1);

/// What a node is started with; its folder is its own.
pub struct Start {
    pub machine: Machine,
    pub config: ClusterConfig,
    pub own: Member,
    pub form_without: Vec<String>,
    pub identity: Identity,
    pub identity_path: PathBuf,
    pub log_dir: PathBuf,
    /// The stamp in here is replaced by the cluster's.
    pub log_options: LogOptions,
    pub lamport: Arc<Lamport>,
    pub clock: Arc<dyn Clock>,
    /// Randomness of this run: the first RPC id and the ids made for publishers come from it.
    pub run_seed: u64,
}

/// Runs the node on its ports until `stop` (`Ok`) or until it can no longer keep its promises (`Err`).
pub async fn run(start: Start, ports: Ports, stop: CancellationToken) -> anyhow::Result<()> {
    let node = Node::new(start);
    let ended = CancellationToken::new();
    let _ends_with_this = ended.clone().drop_guard();
    node.serve(ports, &ended)?;
    node.live(&stop, &ended).await
}

/// A node that is put together.
pub struct Node {
    machine: Machine,
    log_dir: PathBuf,
    log_options: LogOptions,
    own: Member,
    configured: Vec<Member>,
    form_without: Vec<String>,
    local: Arc<Local>,
    links: Arc<Links>,
    names: Arc<Names>,
    group: GroupCell,
    formation: Arc<Mutex<Formation>>,
    board: Arc<StatusBoard>,
    clients: Arc<Clients>,
    server: Arc<Server>,
    stop_links: CancellationToken,
}

impl Node {
    pub fn new(start: Start) -> Self {
        let clock = start.clock.clone();
        let identity = SharedIdentity::new(
            start.identity.clone(),
            start.identity_path,
            start.machine.small_files(),
        );
        let trace = Trace::new(
            start.own.name.clone(),
            clock.wall_us(),
            clock.clone(),
            start.lamport.clone(),
            start.run_seed,
        );
        let counters = Arc::new(Counters::default());
        let local = Arc::new(Local {
            identity,
            clock: clock.clone(),
            lamport: start.lamport.clone(),
            trace: trace.clone(),
            counters: counters.clone(),
        });
        let stop_links = CancellationToken::new();
        let links = Arc::new(Links::new(
            local.clone(),
            start.machine.transport.clone(),
            stop_links.clone(),
        ));
        let names = Arc::new(Names::default());
        names.learn(local.identity.raft_id(), &start.own.name);
        if let Some(formed) = local.identity.formed() {
            names.learn_all(&formed.founding);
        }
        let group = GroupCell::default();
        let configured: Vec<Member> = start.config.nodes.iter().map(member).collect();
        // A member that starts again is one from the first moment; a blank node waits until it knows more.
        let formation = match local.identity.formed() {
            Some(_) => Formation::Formed,
            None => Formation::Waiting { missing: Vec::new() },
        };
        let formation = Arc::new(Mutex::new(formation));
        let board = Arc::new(StatusBoard {
            own: start.own.clone(),
            configured: configured.clone(),
            local: local.clone(),
            links: links.clone(),
            names: names.clone(),
            group: group.clone(),
            formation: formation.clone(),
            changes: watch::Sender::new(0),
            started_us: clock.monotonic_us(),
            flushed_us: Arc::new(AtomicU64::new(0)),
        });
        let stamper = Stamper::new(
            start.own.name.clone(),
            clock,
            start.lamport.clone(),
            start.run_seed,
        );
        let clients = Arc::new(Clients {
            group: group.clone(),
            stamper,
            trace,
            counters,
        });
        let taking_in = Arc::new(Joining {
            identity: local.identity.clone(),
            group: group.clone(),
            names: names.clone(),
            busy: Arc::default(),
        });
        let server = Arc::new(Server {
            local: local.clone(),
            names: names.clone(),
            group: group.clone(),
            handlers: Handlers {
                name: start.own.name.clone(),
                configured: configured.clone(),
                identity: local.identity.clone(),
                group: group.clone(),
                joining: taking_in,
                snapshots: Mutex::new(HashMap::new()),
            },
        });
        Self {
            machine: start.machine,
            log_dir: start.log_dir,
            log_options: start.log_options,
            own: start.own,
            configured,
            form_without: start.form_without,
            local,
            links,
            names,
            group,
            formation,
            board,
            clients,
            server,
            stop_links,
        }
    }

    /// What answers other nodes.
    pub fn server(&self) -> Arc<Server> {
        self.server.clone()
    }

    /// The group, once the node is a member.
    pub fn group(&self) -> GroupCell {
        self.group.clone()
    }

    /// What answers clients.
    pub fn clients(&self) -> Arc<Clients> {
        self.clients.clone()
    }

    /// Takes part in the cluster until `stop` (`Ok`) or until the node can no longer keep its promises (`Err`). What
    /// serves it must end with `ended`.
    pub async fn live(&self, stop: &CancellationToken, ended: &CancellationToken) -> anyhow::Result<()> {
        let (fatal, mut failed) = mpsc::channel(4);
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            reason = failed.recv() => Err(anyhow::anyhow!(reason.unwrap_or_default())),
            reason = self.local.lamport.failed() => Err(anyhow::anyhow!(reason)),
            result = self.take_part(fatal, ended) => match result {
                Ok(never) => match never {},
                Err(error) => Err(error),
            },
        };
        self.leave().await;
        outcome
    }

    /// Opens the three ports.
    fn serve(&self, ports: Ports, ended: &CancellationToken) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(ports.rpc)?;
        runtime::spawn(rpc::server::serve(listener, self.server(), ended.clone()));
        let listener = tokio::net::TcpListener::from_std(ports.client)?;
        runtime::spawn(line::serve(listener, self.clients.clone(), ended.clone()));
        let listener = tokio::net::TcpListener::from_std(ports.admin)?;
        runtime::spawn(admin::serve(
            listener,
            self.own.host.clone(),
            self.board.clone(),
            ended.clone(),
        ));
        Ok(())
    }

    /// Forms or joins a cluster if need be, then takes part in it for ever.
    async fn take_part(
        &self,
        fatal: mpsc::Sender<String>,
        ended: &CancellationToken,
    ) -> anyhow::Result<std::convert::Infallible> {
        let forming = Forming {
            own: self.own.clone(),
            configured: self.configured.clone(),
            without: self.form_without.clone(),
            identity: self.local.identity.clone(),
            links: self.links.clone(),
            names: self.names.clone(),
            formation: self.formation.clone(),
        };
        let saying = self.board.clone();
        forming.run(move || saying.touch()).await?;
        let group = self.start_group(fatal.clone(), ended).await?;
        runtime::spawn(observe::run(group.clone(), self.board.clone(), fatal));
        runtime::spawn(joining::end_changes(group.clone()));
        let formed = self.local.identity.formed().expect("forming ends with a cluster");
        found(&group, &self.own, formed).await?;
        rejoin::run(&group, &forming).await
    }

    async fn start_group(
        &self,
        fatal: mpsc::Sender<String>,
        ended: &CancellationToken,
    ) -> anyhow::Result<Arc<Group>> {
        let identity = &self.local.identity;
        let formed = identity.formed().expect("forming ends with a cluster");
        anyhow::ensure!(
            !identity.log_started() || self.machine.has_folder(&self.log_dir)?,
            "{} is missing, and this folder was a member of cluster {}: its votes are lost with it. Restore it, \
             or remove the node's whole folder to rejoin as a new member",
            self.log_dir.display(),
            formed.cluster_id,
        );
        let stamp = Stamp {
            cluster: formed.cluster_id.0,
            group: 0,
        };
        let observer = Arc::new(FlushObserver {
            board: self.board.clone(),
            fatal,
        });
        let trace = self.local.trace.clone();
        let shared = identity.clone();
        let names = self.names.clone();
        let (machine, log_dir) = (self.machine.clone(), self.log_dir.clone());
        let options = LogOptions {
            stamp,
            ..self.log_options.clone()
        };
        let (log, recovered, store) = runtime::blocking(move || -> anyhow::Result<_> {
            let (log, recovered) = machine.open_log(&log_dir, options, observer)?;
            let store = LogStore::new(log.clone(), &recovered, names, trace)?;
            shared.note_log_started()?;
            Ok((log, recovered, store))
        })
        .await??;
        if recovered.cut_bytes > 0 {
            tracing::info!(target: "storage", "cut {} bytes of a torn tail that was never acknowledged", recovered.cut_bytes);
        }
        let last = recovered.last.map_or(0, |(_, index)| index);
        tracing::info!(target: "storage", "opened the log: {} segments, last entry {last}", log.stats().segments);
        let state = Arc::new(RwLock::new(State::default()));
        let watermarks = Arc::new(Watermarks::default());
        let machine = StateMachine::new(
            state.clone(),
            watermarks.clone(),
            self.local.lamport.clone(),
            self.local.trace.clone(),
        );
        let network = Network {
            links: self.links.clone(),
        };
        let own = identity.raft_id();
        let raft = Raft::new(own.0, raft::config()?, network, store.clone(), machine).await?;
        let (publisher, queues) = Publisher::new();
        let batcher = Batcher {
            raft: raft.clone(),
            state: state.clone(),
            clock: self.local.clock.clone(),
            trace: self.local.trace.clone(),
        };
        let forwarder = Forwarder {
            links: self.links.clone(),
        };
        queues.start(batcher, forwarder, ended);
        let group = Arc::new(Group {
            own,
            raft,
            log: store,
            state,
            watermarks,
            publisher,
            links: self.links.clone(),
            clock: self.local.clock.clone(),
            leader_heard_us: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        self.group.set(group.clone());
        *self.formation.lock() = Formation::Formed;
        Ok(group)
    }

    /// Hands leadership over, flushes, and lets go of everything.
    async fn leave(&self) {
        if let Some(group) = self.group.get() {
            if tokio::time::timeout(HANDOVER_PATIENCE, hand_over(&group, &self.names))
                .await
                .is_err()
            {
                tracing::warn!(target: "raft", "stops without having handed leadership over");
            }
            group.stopping.store(true, Ordering::Relaxed);
            if let Err(error) = group.raft.shutdown().await {
                tracing::warn!(target: "raft", "the engine did not stop in order: {error}");
            }
            let log = group.log.log().clone();
            if runtime::blocking(move || log.close()).await.is_err() {
                tracing::warn!(target: "storage", "the log did not close in order");
            }
        }
        self.stop_links.cancel();
    }
}

pub fn member(spec: &wiber_protocol::config::NodeSpec) -> Member {
    Member {
        name: spec.id.clone(),
        host: spec.host.clone(),
        port: spec.port,
    }
}
