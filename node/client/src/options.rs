//! How patient a client is.

use std::time::Duration;

/// How long a client waits for what. The defaults suit nodes of one data centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For one node's answer to a publish, before another node is asked.
    pub attempt_timeout: Duration,
    /// For a whole read. Each node that is still to be asked gets an equal share of what is left.
    pub read_timeout: Duration,
    /// Between two rounds through all nodes, and between a subscription's connections: at first.
    pub backoff_min: Duration,
    /// The same, after many failures in a row. The wait doubles up to here and is jittered by half.
    pub backoff_max: Duration,
    /// How long a subscription may be silent before it asks whether the node is still there. A node that does not
    /// answer that within the same time again is left for another.
    pub keepalive: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(500),
            attempt_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(3),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(500),
            keepalive: Duration::from_secs(2),
        }
    }
}
