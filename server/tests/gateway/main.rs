//! The gateway as its users meet it: the built binary, real processes, raw sockets.
//!
//! The nodes are fakes (see [`fake_node`]) that speak a node's outside forms and misbehave on demand; what real
//! nodes do together is tested with real nodes elsewhere. Requests and frames are written and read byte by
//! byte here, never through the gateway's own code.

#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "a test fails by panicking, and may be plain"
)]

mod access;
mod fake_node;
mod faults;
mod files;
mod groups;
mod home;
mod http;
mod http_doc;
mod live;
mod processes;
mod records;
mod refusals;
mod rest;
mod socket;
mod sockets;
mod start;
