//! Talking to the other nodes: one connection a peer and direction, frames of [`wiber_protocol::rpc`], requests
//! pipelined, answers paired by id.

pub mod appends;
mod frames;
pub mod inbound;
pub mod link;
pub mod links;
pub mod names;
pub mod server;
pub mod transport;
