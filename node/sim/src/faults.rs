//! What goes wrong, and when. Each run has its own mixture: faults that are frequent in one are absent in another, as
//! some states are reached only where nothing else disturbs.
//!
//! Never more is taken than Raft promises to stand: folders are wiped one at a time, and the next only when every node
//! is a voter under its present identity. Crashes, power losses of all machines included, have no such limit.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::time::sleep;
use wiber_storage::DiskOp;

use crate::{
    cluster::Cluster,
    count::Count,
    dice::Dice,
    host::{End, Host},
    network::Noise,
    say,
};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Crash,
    CrashAtAwait,
    CrashAtDiskStep,
    PowerLoss,
    PowerLossAtDiskStep,
    PowerLossOfAll,
    Restart,
    Wipe,
    Rebuild,
    Damage,
    Pause,
    SlowDisk,
    FullDisk,
    FailedSync,
    FailedDirSync,
    FailedWrite,
    ClockJump,
    Noise,
    Reset,
    Split,
    OneWay,
    Bridge,
}

const ALL: [Fault; 22] = [
    Fault::Crash,
    Fault::CrashAtAwait,
    Fault::CrashAtDiskStep,
    Fault::PowerLoss,
    Fault::PowerLossAtDiskStep,
    Fault::PowerLossOfAll,
    Fault::Restart,
    Fault::Wipe,
    Fault::Rebuild,
    Fault::Damage,
    Fault::Pause,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::FailedSync,
    Fault::FailedDirSync,
    Fault::FailedWrite,
    Fault::ClockJump,
    Fault::Noise,
    Fault::Reset,
    Fault::Split,
    Fault::OneWay,
    Fault::Bridge,
];

/// Makes faults until it is dropped.
pub struct Faults {
    cluster: Cluster,
    dice: Dice,
    /// One entry for each share a fault has in this run's mixture.
    mixture: Vec<Fault>,
    longest_pause_ms: u64,
}

impl Faults {
    pub fn new(cluster: &Cluster) -> Self {
        let dice = Dice::new(cluster.world.seed(), "faults", 0);
        let mut mixture = Vec::new();
        for fault in ALL {
            let shares = dice.pick(&[0, 1, 1, 2, 4]);
            mixture.extend(std::iter::repeat_n(fault, shares));
        }
        if mixture.is_empty() {
            mixture.push(Fault::Crash);
        }
        Self {
            cluster: cluster.clone(),
            longest_pause_ms: dice.pick(&[200, 600, 1_500]),
            dice,
            mixture,
        }
    }

    /// Faults that last overlap: each runs to its end by itself.
    pub async fn run(self) {
        let faults = Arc::new(self);
        loop {
            sleep(faults.dice.pause(5, faults.longest_pause_ms)).await;
            let fault = faults.dice.pick(&faults.mixture);
            let striking = faults.clone();
            tokio::spawn(async move { striking.strike(fault).await });
        }
    }

    fn some_host(&self) -> &Host {
        &self.cluster.hosts[self.dice.index(self.cluster.hosts.len())]
    }

    fn count(&self, count: Count) {
        self.cluster.world.count(count);
    }

    async fn strike(&self, fault: Fault) {
        let host = self.some_host();
        say!(
            self.cluster.world,
            "FAULT",
            "{fault:?}, if at one node {}",
            host.name
        );
        match fault {
            Fault::Crash => self.end(host, End::Kill, Count::CrashAnywhere),
            Fault::PowerLoss => self.end(host, End::PowerLoss, Count::PowerLossOne),
            Fault::Restart => self.end(host, End::Orderly, Count::Restart),
            Fault::CrashAtAwait => {
                if let Some(process) = host.process() {
                    process.die_after_polls(self.dice.between(0, 300));
                }
            }
            Fault::CrashAtDiskStep => host.die_after_disk_steps(self.dice.between(1, 40), false),
            Fault::PowerLossAtDiskStep => host.die_after_disk_steps(self.dice.between(1, 40), true),
            Fault::PowerLossOfAll => {
                self.count(Count::PowerLossAll);
                for host in self.cluster.hosts.iter() {
                    host.order(End::PowerLoss);
                }
            }
            Fault::Wipe => {
                if self.cluster.is_whole() {
                    self.end(host, End::Wipe, Count::Wipe);
                }
            }
            Fault::Rebuild | Fault::Damage => {
                if self.cluster.is_whole() {
                    host.order(if fault == Fault::Damage {
                        End::Damage
                    } else {
                        End::Rebuild
                    });
                }
            }
            Fault::Pause => self.pause(host).await,
            Fault::SlowDisk => {
                self.count(Count::SlowDisk);
                host.sync_ms.store(self.dice.between(5, 400), Relaxed);
                self.while_it_lasts(2_000).await;
                host.sync_ms.store(1, Relaxed);
            }
            Fault::FullDisk => {
                self.count(Count::FullDisk);
                host.set_room(Some(self.dice.between(0, 30_000)));
                self.while_it_lasts(3_000).await;
                host.set_room(None);
            }
            Fault::FailedSync => host.fail_next(DiskOp::Sync),
            Fault::FailedDirSync => host.fail_next(DiskOp::DirSync),
            Fault::FailedWrite => host.fail_next(DiskOp::Write),
            Fault::ClockJump => {
                self.count(Count::ClockJump);
                let by_us = i64::try_from(self.dice.between(0, 7_200_000_000)).unwrap_or(0);
                // Some is set right, or hardly a run would have a majority of clocks that agree.
                if self.dice.permille(600) {
                    host.clock.set_right();
                } else {
                    host.clock.jump(by_us - 3_600_000_000);
                }
            }
            Fault::Noise => {
                self.cluster.network.set_noise(self.noise());
                self.while_it_lasts(4_000).await;
                self.cluster.network.set_noise(Noise::default());
            }
            Fault::Reset => self.cluster.network.reset_some(),
            Fault::Split | Fault::OneWay | Fault::Bridge => self.partition(fault).await,
        }
    }

    fn end(&self, host: &Host, end: End, count: Count) {
        if host.is_running() {
            self.count(count);
            host.order(end);
        }
    }

    async fn while_it_lasts(&self, longest_ms: u64) {
        sleep(self.dice.pause(10, longest_ms)).await;
    }

    async fn pause(&self, host: &Host) {
        let Some(process) = host.process() else { return };
        self.count(Count::Pause);
        process.pause();
        self.while_it_lasts(2_000).await;
        process.resume();
    }

    fn noise(&self) -> Noise {
        let chance = |most| {
            if self.dice.permille(500) {
                self.dice.between(0, most)
            } else {
                0
            }
        };
        Noise {
            latency_ms: self.dice.pick(&[0, 1, 5, 30]),
            drop: chance(200),
            duplicate: chance(200),
            reorder: chance(200),
            delay: chance(200),
            delay_ms: self.dice.pick(&[2, 20, 300]),
        }
    }

    async fn partition(&self, fault: Fault) {
        let network = &self.cluster.network;
        let size = self.cluster.hosts.len();
        let lonely = self.dice.index(size);
        let other = (lonely + 1 + self.dice.index(size - 1)) % size;
        match fault {
            Fault::Split => {
                self.count(Count::PartitionSymmetric);
                for host in (0..size).filter(|host| *host != lonely) {
                    network.block(lonely, host);
                    network.block(host, lonely);
                }
            }
            Fault::OneWay => {
                self.count(Count::PartitionOneWay);
                let all = self.dice.permille(500);
                let outward = self.dice.permille(500);
                for host in (0..size).filter(|host| *host != lonely && (all || *host == other)) {
                    let (from, to) = if outward { (lonely, host) } else { (host, lonely) };
                    network.block(from, to);
                }
            }
            // Two that cannot see each other, and a third (or more) that both see.
            _ => {
                self.count(Count::PartitionBridge);
                network.block(lonely, other);
                network.block(other, lonely);
            }
        }
        self.while_it_lasts(4_000).await;
        network.unblock_all();
    }
}
