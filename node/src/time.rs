//! The node's part in cluster time: who is asked, what is answered, and where stamps come from.
//!
//! What is made of the answers is decided in `wiber_time`; here are the sockets, the task and the shared reading.

mod line_form;
mod probes;
mod shared;
mod task;
mod udp;

pub(crate) use self::{line_form::serve as serve_line_form, udp::UdpProbes};
pub use self::{
    probes::{ProbeSocket, Received},
    shared::{ClusterClock, FaultError, Moment},
    task::{Clocks, Voters, run},
};
