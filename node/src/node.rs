//! One node put together: ports, folder, peers, forming, the group, and an orderly end.

mod catch_up;
mod flushes;
mod hand_over;
mod room;
mod start_group;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wiber_protocol::{
    config::{ClusterConfig, Retention},
    membership::Member,
    status::Formation,
};
use wiber_storage::LogOptions;

use self::hand_over::hand_over;
use crate::{
    admin, changes,
    forming::Forming,
    founding::found,
    group::GroupCell,
    handlers::Handlers,
    identity::Identity,
    joining::{Busy, Joining},
    lamport::Lamport,
    line::{self, Clients, LineCache, Room, Stamper},
    machine::Machine,
    metrics::Counters,
    observe,
    ports::Ports,
    rejoin, retention,
    rpc::{self, inbound::Inbound, link::Local, links::Links, names::Names, server::Server},
    runtime,
    shared_identity::SharedIdentity,
    state::PartLimits,
    status::StatusBoard,
    succession,
    time::{self, Clocks, ClusterClock, UdpProbes},
    trace::Trace,
};

/// Leadership is handed over within this time, or the node stops without it.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(1);

/// What a node is started with; its folder is its own.
pub struct Start {
    pub machine: Machine,
    pub config: ClusterConfig,
    pub own: Member,
    pub form_without: Vec<String>,
    /// A blank node waits for a cluster to join and founds none.
    pub join_only: bool,
    pub identity: Identity,
    pub identity_path: PathBuf,
    pub log_dir: PathBuf,
    /// The stamp in here is replaced by the cluster's.
    pub log_options: LogOptions,
    pub index_dir: PathBuf,
    /// The same on every node of a cluster.
    pub part_limits: PartLimits,
    /// How many records a subscriber may be behind before it is told so: [`crate::line::LAG_RECORDS`].
    pub lag_records: u64,
    pub lamport: Arc<Lamport>,
    pub clock: Arc<ClusterClock>,
    /// Randomness of this run: the first RPC id and the ids made for publishers come from it.
    pub run_seed: u64,
}

/// Runs the node on its ports until `stop` (`Ok`) or until it can no longer keep its promises (`Err`).
pub async fn run(start: Start, ports: Ports, stop: CancellationToken) -> anyhow::Result<()> {
    let mut node = Node::new(start);
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
    index_dir: PathBuf,
    part_limits: PartLimits,
    retention: Retention,
    /// Whether the disk has room.
    room: watch::Sender<bool>,
    own: Member,
    configured: Vec<Member>,
    form_without: Vec<String>,
    join_only: bool,
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
            clock.clock().wall_us(),
            clock.clone(),
            start.lamport.clone(),
            start.run_seed,
        );
        let counters = Arc::new(Counters::default());
        let local = Arc::new(Local {
            identity,
            clock: clock.clock().clone(),
            cluster_clock: clock.clone(),
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
            started_us: clock.clock().monotonic_us(),
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
            stamper: Arc::new(stamper),
            coordinators: Arc::default(),
            trace,
            counters,
            cursors: Arc::default(),
            lines: LineCache::default(),
            room: Room::new(),
            max_message_bytes: start.config.limits.max_message_bytes,
            lag_records: start.lag_records,
        });
        let server = server(&start.own, &configured, &local, &names, &group);
        Self {
            machine: start.machine,
            log_dir: start.log_dir,
            log_options: start.log_options,
            index_dir: start.index_dir,
            part_limits: start.part_limits,
            retention: start.config.retention,
            room: watch::Sender::new(true),
            own: start.own,
            configured,
            form_without: start.form_without,
            join_only: start.join_only,
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
        self.keep_time(ended);
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
        self.leave(ended).await;
        outcome
    }

    /// Opens the ports.
    fn serve(&mut self, ports: Ports, ended: &CancellationToken) -> io::Result<()> {
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
        let listener = tokio::net::TcpListener::from_std(ports.time_lines)?;
        let clock = self.local.cluster_clock.clone();
        runtime::spawn(time::serve_line_form(listener, clock, ended.clone()));
        self.machine.probes = Some(Arc::new(UdpProbes::new(ports.time)?));
        Ok(())
    }

    /// Measures the others' clocks and is measured, until `ended`.
    fn keep_time(&self, ended: &CancellationToken) {
        let Some(socket) = self.machine.probes.clone() else {
            return;
        };
        let (board, changed) = (self.board.clone(), self.board.clone());
        let clocks = Clocks {
            name: self.own.name.clone(),
            cluster_clock: self.local.cluster_clock.clone(),
            socket,
            identity: self.local.identity.clone(),
            trace: self.local.trace.clone(),
            voters: Box::new(move || board.voters()),
            changed: Box::new(move || changed.touch()),
        };
        runtime::spawn(ended.clone().run_until_cancelled_owned(time::run(clocks)));
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
            join_only: self.join_only,
            identity: self.local.identity.clone(),
            links: self.links.clone(),
            names: self.names.clone(),
            formation: self.formation.clone(),
            refused: Mutex::new(None),
        };
        let saying = self.board.clone();
        forming.run(move || saying.touch()).await?;
        let group = self.start_group(fatal.clone(), ended).await?;
        runtime::spawn(observe::run(group.clone(), self.board.clone(), fatal));
        runtime::spawn(changes::end(group.clone()));
        runtime::spawn(
            ended
                .clone()
                .run_until_cancelled_owned(catch_up::run(group.clone())),
        );
        let giving_way = room::run(group.clone(), self.names.clone(), self.room.subscribe());
        runtime::spawn(ended.clone().run_until_cancelled_owned(giving_way));
        let counters = self.local.counters.clone();
        runtime::spawn(succession::run(group.clone(), self.names.clone(), counters));
        let proposing = retention::propose(group.clone(), self.retention);
        runtime::spawn(ended.clone().run_until_cancelled_owned(proposing));
        let formed = self.local.identity.formed().expect("forming ends with a cluster");
        found(&group, &self.own, formed).await?;
        rejoin::run(&group, &forming).await
    }

    /// Hands leadership over, flushes, and lets go of everything.
    async fn leave(&self, ended: &CancellationToken) {
        if let Some(group) = self.group.get() {
            if tokio::time::timeout(HANDOVER_PATIENCE, hand_over(&group, &self.names))
                .await
                .is_err()
            {
                tracing::warn!(target: "raft", "stops without having handed leadership over");
            }
            group.stopping.store(true, Ordering::Relaxed);
            // Peers' streams first: the engine calls it an error when one of them is still open.
            ended.cancel();
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

fn server(
    own: &Member,
    configured: &[Member],
    local: &Arc<Local>,
    names: &Arc<Names>,
    group: &GroupCell,
) -> Arc<Server> {
    let joining = Arc::new(Joining {
        identity: local.identity.clone(),
        group: group.clone(),
        names: names.clone(),
        busy: Busy::default(),
    });
    Arc::new(Server {
        local: local.clone(),
        names: names.clone(),
        inbound: Inbound::default(),
        group: group.clone(),
        handlers: Handlers {
            name: own.name.clone(),
            configured: configured.to_vec(),
            identity: local.identity.clone(),
            group: group.clone(),
            joining,
            incoming: Mutex::default(),
        },
    })
}

pub fn member(spec: &wiber_protocol::config::NodeSpec) -> Member {
    Member {
        name: spec.id.clone(),
        host: spec.host.clone(),
        port: spec.port,
    }
}
