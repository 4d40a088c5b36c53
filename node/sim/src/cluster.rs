//! All machines of a run.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use wiber_protocol::config::{ClusterConfig, NodeSpec, Retention};

use crate::{
    dice::Dice,
    host::Host,
    network::{Network, Noise},
    world::World,
};

/// How often the oracle looks at every node, beside the looks that clients need.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct Cluster {
    pub world: World,
    pub network: Network,
    pub hosts: Arc<Vec<Arc<Host>>>,
}

impl Cluster {
    pub fn new(world: World, size: u16) -> Self {
        let nodes: Vec<NodeSpec> = (1..=size)
            .map(|number| NodeSpec {
                id: format!("n{number}"),
                host: format!("host{number}"),
                port: 9100 + number,
            })
            .collect();
        let names = nodes.iter().map(|node| node.id.clone()).collect();
        // Most runs drop what is old, some as soon as they can.
        let dice = Dice::new(world.seed(), "retention", 0);
        let max_bytes = dice.permille(700).then(|| dice.pick(&[1, 20_000, 60_000]));
        let config = ClusterConfig {
            nodes,
            retention: Retention {
                max_age_ms: None,
                max_bytes,
            },
        };
        let network = Network::new(world.clone(), names);
        let host = |index| Host::new(world.clone(), network.clone(), config.clone(), index);
        let hosts: Vec<_> = (0..usize::from(size)).map(host).collect();
        Self {
            world,
            network,
            hosts: Arc::new(hosts),
        }
    }

    /// Keeps all nodes running.
    pub fn start(&self) {
        for host in self.hosts.iter() {
            tokio::spawn(host.clone().keep());
        }
        let cluster = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_PAUSE).await;
                cluster.look();
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
        host.release();
        if let Some(process) = host.process() {
            process.resume();
        }
    }

    /// Whether every machine's node is a voter under its present identity, as all of them see it.
    pub fn is_whole(&self) -> bool {
        self.hosts.iter().all(|host| {
            host.group().is_some_and(|group| {
                let state = group.state.read();
                let sets = &state.membership.1.voter_sets;
                sets.len() == 1
                    && sets[0].len() == self.hosts.len()
                    && self
                        .hosts
                        .iter()
                        .all(|other| other.group().is_some_and(|other| sets[0].contains(&other.own)))
            })
        })
    }
}
