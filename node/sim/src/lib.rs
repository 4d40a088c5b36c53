//! A deterministic simulation of whole clusters (`docs/simulation.md`).
//!
//! The nodes' own code runs in one thread on simulated time, disks, network and randomness. One number decides
//! everything; the same number gives the same trace, byte for byte.

pub mod clients;
pub mod clock;
pub mod cluster;
pub mod count;
pub mod dice;
pub mod disk;
pub mod faults;
mod firewall;
mod full_disk;
mod fuzz;
pub mod host;
pub mod mutants;
pub mod network;
pub mod oracle;
mod printed;
pub mod process;
pub mod run;
pub mod world;
