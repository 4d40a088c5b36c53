//! All machines of a run.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use wiber_protocol::config::{ClusterConfig, Limits, NodeSpec, Retention};

use crate::{
    dice::Dice,
    host::Host,
    network::{Network, Noise},
    world::World,
};

/// How often the oracle looks at every node, beside the looks that clients need.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Every so many looks also at what nodes say of each other's clocks.
const STATUS_LOOKS: u64 = 20;

#[derive(Clone)]
pub struct Cluster {
    pub world: World,
    pub network: Network,
    pub hosts: Arc<Vec<Arc<Host>>>,
    /// The cluster forms without this one, which comes later.
    pub latecomer: Option<usize>,
}

impl Cluster {
    pub fn new(world: World, size: u16) -> Self {
        let retention = retention(&world);
        let is_late = Dice::new(world.seed(), "latecomer", 0).permille(100);
        let mut cluster = Self::calm(world, size, retention);
        if is_late {
            cluster.forms_without_the_last();
        }
        cluster
    }

    /// One that forms with all its nodes.
    pub fn calm(world: World, size: u16, retention: Retention) -> Self {
        let nodes: Vec<NodeSpec> = (1..=size)
            .map(|number| NodeSpec {
                id: format!("n{number}"),
                host: format!("host{number}"),
                port: 9100 + number,
            })
            .collect();
        let names = nodes.iter().map(|node| node.id.clone()).collect();
        let config = ClusterConfig {
            nodes,
            retention,
            limits: Limits::default(),
        };
        world.oracle().expects_retention(config.retention);
        let network = Network::new(world.clone(), names);
        let host = |index| Host::new(world.clone(), network.clone(), config.clone(), index);
        let hosts: Vec<_> = (0..usize::from(size)).map(host).collect();
        Self {
            world,
            network,
            hosts: Arc::new(hosts),
            latecomer: None,
        }
    }

    fn forms_without_the_last(&mut self) {
        let late = self.hosts.len() - 1;
        self.hosts[late].held_down.store(true, Relaxed);
        for host in &self.hosts[..late] {
            host.form_without.lock().push(self.hosts[late].name.clone());
        }
        self.latecomer = Some(late);
    }

    /// Keeps all nodes running.
    pub fn start_unwatched(&self) {
        for host in self.hosts.iter() {
            tokio::spawn(host.clone().keep());
        }
    }

    /// Keeps all nodes running, and the oracle looking at them.
    pub fn start(&self) {
        self.start_unwatched();
        let cluster = self.clone();
        tokio::spawn(async move {
            for look in 0_u64.. {
                tokio::time::sleep(LOOK_PAUSE).await;
                cluster.look();
                cluster.look_at_clocks(look.is_multiple_of(STATUS_LOOKS));
            }
        });
    }

    /// Lets the oracle look at every node.
    pub fn look(&self) {
        for host in self.hosts.iter() {
            host.look();
        }
        self.world.oracle().look_again(&self.world);
    }

    /// Lets the oracle look at every node's time, and at what it says of others' if `whole`.
    pub fn look_at_clocks(&self, whole: bool) {
        let clocks = self
            .hosts
            .iter()
            .filter_map(|host| Some((host.name.clone(), host.cluster_time()?)));
        let clocks: Vec<_> = clocks.collect();
        let moments: Vec<_> = clocks
            .iter()
            .map(|(name, clock)| (name.clone(), clock.moment()))
            .collect();
        let oracle = self.world.oracle();
        oracle.moments(&self.world, &moments);
        if whole {
            for (name, clock) in &clocks {
                oracle.clocks(&self.world, name, &clock.status());
            }
            for host in self.hosts.iter() {
                oracle.receives(&self.world, &host.name, host.lamport_violations());
            }
        }
    }

    /// Whether every node is synchronised.
    pub fn is_synchronised(&self) -> bool {
        let clocks = self.hosts.iter().map(|host| host.cluster_time());
        clocks
            .into_iter()
            .all(|clock| clock.is_some_and(|clock| clock.moment().synchronised))
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.network.unblock_all();
        self.network.set_noise(Noise::default());
        for host in self.hosts.iter() {
            host.hurry.store(true, Relaxed);
            self.heal_host(host);
        }
    }

    /// Ends what disturbs one machine.
    pub fn heal_host(&self, host: &Host) {
        host.sync_ms.store(1, Relaxed);
        host.set_room(None);
        host.disk().fail_no_more();
        host.release();
        host.clock.set_right();
        if let Some(process) = host.process() {
            process.live_on();
            process.resume();
        }
    }

    /// Whether every machine's node is a voter under its present identity, as all of them see it.
    pub fn is_whole(&self) -> bool {
        is_cluster(&self.hosts)
    }

    /// As [`Self::is_whole`], but for the one that is to come later.
    pub fn has_formed(&self) -> bool {
        is_cluster(&self.hosts[..self.latecomer.unwrap_or(self.hosts.len())])
    }
}

fn is_cluster(hosts: &[Arc<Host>]) -> bool {
    hosts.iter().all(|host| {
        host.group().is_some_and(|group| {
            let state = group.state.read();
            let sets = &state.membership.1.voter_sets;
            let is_voter =
                |other: &Arc<Host>| other.group().is_some_and(|other| sets[0].contains(&other.own));
            sets.len() == 1 && sets[0].len() == hosts.len() && hosts.iter().all(is_voter)
        })
    })
}

/// Most runs drop what is too much or too old, some as soon as they can.
fn retention(world: &World) -> Retention {
    let dice = Dice::new(world.seed(), "retention", 0);
    let by_bytes = dice.permille(550);
    let by_age = dice.permille(if by_bytes { 200 } else { 600 });
    Retention {
        max_age_ms: by_age.then(|| dice.pick(&[1_000, 3_000, 6_000])),
        max_bytes: by_bytes.then(|| dice.pick(&[1, 20_000, 60_000])),
    }
}
