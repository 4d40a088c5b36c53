//! Real node processes and raw sockets, for tests that know the outside contract and nothing else: no codec, no
//! client and no type of ours is used here, so that a change of them cannot change what is tested.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod cluster;
pub(crate) mod conn;
pub(crate) mod http;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod publisher;
pub(crate) mod rows;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine, so that a failing test ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until there is a value, and fails with `what` when there is none in time.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
