//! What anyone needs to talk to a Wiber node: the configuration, the line protocol, the node-to-node
//! frames, the log entry and record codecs, and the documents a node shows about itself.
//!
//! No I/O and no async here: every function takes values and gives values, and the crate compiles to
//! `wasm32`, so that the dashboard reads the very types the node writes.

pub mod codec;
pub mod config;
pub mod entry;
pub mod event;
pub mod group_op;
pub mod ids;
pub mod line;
pub mod lock;
pub mod membership;
pub mod pattern;
pub mod probe;
pub mod record;
pub mod reorder;
pub mod rpc;
pub mod status;
