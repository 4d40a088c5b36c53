//! A block of ports that no other test has, below 32768, where the system hands none of them to an outgoing
//! connection. A locked file says that a block is taken, also to tests in other processes; probing says that
//! nobody else listens there.

use std::{
    fs::{File, OpenOptions},
    net::{TcpListener, UdpSocket},
};

/// The most nodes of one block.
pub(crate) const MAX_NODES: u16 = 10;

/// Blocks lie so that ports and derived ports (+100, +200, +1000) of no two overlap: within each 2,000, node ports
/// at 300 to 399 and at 600 to 699. The browser tests use 0 to 299 and 1000 to 1299.
const RANGES: std::ops::Range<u16> = 5..16;
const RANGE: u16 = 2000;
const STARTS: [u16; 2] = [300, 600];
const BLOCKS_PER_START: u16 = 10;

/// Ports `first..first + MAX_NODES` and those derived from them. Free again when this is dropped.
pub(crate) struct Block {
    pub(crate) first: u16,
    _lock: File,
}

impl Block {
    pub(crate) fn claim() -> Self {
        let folder = std::env::temp_dir().join("wiber-test-ports");
        std::fs::create_dir_all(&folder).expect("a folder for locks");
        let mut firsts: Vec<u16> = RANGES
            .flat_map(|range| STARTS.map(|start| range * RANGE + start))
            .flat_map(|start| (0..BLOCKS_PER_START).map(move |at| start + at * MAX_NODES))
            .collect();
        // Test processes that start together should not all knock at the same door.
        let away = std::process::id() as usize % firsts.len();
        firsts.rotate_left(away);
        for first in firsts {
            let path = folder.join(first.to_string());
            let lock = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .expect("a lock file");
            if lock.try_lock().is_ok() && Self::is_free(first) {
                return Self { first, _lock: lock };
            }
        }
        panic!("no free block of ports");
    }

    fn is_free(first: u16) -> bool {
        (first..first + MAX_NODES).all(|port| {
            let tcp = [port, port + 100, port + 200, port + 1000];
            tcp.into_iter()
                .all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok())
                && UdpSocket::bind(("0.0.0.0", port + 200)).is_ok()
        })
    }
}
