//! A Wiber cluster node.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod console;
pub mod folder;
pub mod identity;
pub mod lamport;
pub mod metrics;
pub mod small_files;
pub mod trace;
