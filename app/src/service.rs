//! What can be asked of the cluster, in one place: the gateway implements [`ClusterService`], and both the
//! REST routes and the Leptos server functions call it, so they cannot differ.
//!
//! The answer types serialise to the very JSON of the REST contract.

use serde::{Deserialize, Serialize};
pub use wiber_protocol::line::Consistency;

/// Answer of *start the cluster*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartReport {
    pub status: StartStatus,
    pub started: Vec<String>,
    pub already_running: Vec<String>,
    pub errors: Vec<StartError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartStatus {
    /// Every node runs.
    Ok,
    /// Some run, some could not be started.
    Partial,
    /// None could be started.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartError {
    pub node: String,
    pub error: String,
}

/// Answer of an action on one node: `{"status":"ok","node":"n2","action":"killed"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// Always `ok`: a failure is an error answer.
    pub status: String,
    pub node: String,
    pub action: ActionDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionDone {
    Killed,
    Restarted,
    Started,
    Stopped,
}

/// What a person may do to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeAction {
    Start,
    /// SIGTERM: the node hands leadership over, flushes and exits.
    Stop,
    /// SIGKILL.
    Kill,
    /// Kills it if it runs, then starts it.
    Restart,
}

/// `POST /dm/{convo}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    pub message: String,
    #[serde(default)]
    pub sender: Option<String>,
    #[serde(default)]
    pub message_id: Option<String>,
}

/// Its answer. `status` is the node's line, e.g. `OK published <id> <offset> <logical_time>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReport {
    pub status: String,
    pub message_id: String,
}

/// One record as the REST history and the WebSockets show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// `HISTORY` or `MSG`.
    pub kind: String,
    pub topic: String,
    pub message_id: String,
    pub offset: u64,
    /// Unix seconds by the taking node's clock.
    pub timestamp: f64,
    /// Unix seconds of cluster time as the taking node estimated it.
    pub corrected_ts: f64,
    pub logical_time: u64,
    pub clock_type: String,
    pub text: String,
    /// `[<timestamp, 3 decimals>] <text>`.
    pub display: String,
}

/// A history and how it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    pub messages: Vec<MessageView>,
    pub consistency: Consistency,
}

/// Why an answer is not what was asked for; each maps to one HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum ServiceError {
    /// 404: no such node in the configuration.
    UnknownNode(String),
    /// 403: the node was not started with leave for this.
    Forbidden(String),
    /// 400: the node is not in the state the action needs.
    WrongState(String),
    /// 409: the id was used for other content.
    IdConflict(String),
    /// 422: the request itself is wrong.
    Invalid(String),
    /// 503: no answer from the cluster, or the fate of the publish is unknown.
    Unavailable(String),
}

impl ServiceError {
    pub fn detail(&self) -> &str {
        match self {
            Self::UnknownNode(text)
            | Self::Forbidden(text)
            | Self::WrongState(text)
            | Self::IdConflict(text)
            | Self::Invalid(text)
            | Self::Unavailable(text) => text,
        }
    }

    pub fn http_status(&self) -> u16 {
        match self {
            Self::UnknownNode(_) => 404,
            Self::Forbidden(_) => 403,
            Self::WrongState(_) => 400,
            Self::IdConflict(_) => 409,
            Self::Invalid(_) => 422,
            Self::Unavailable(_) => 503,
        }
    }
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for ServiceError {}

#[cfg(feature = "ssr")]
pub use ssr::{ClusterService, ServiceFuture};

#[cfg(feature = "ssr")]
mod ssr {
    use std::{future::Future, pin::Pin};

    use wiber_protocol::status::{ClockFault, InjectedFault};

    use super::{
        ActionReport, HistoryPage, NodeAction, PublishReport, PublishRequest, ServiceError, StartReport,
    };
    use crate::view::ClusterView;

    pub type ServiceFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ServiceError>> + Send + 'a>>;

    /// The gateway's deeds. Server functions find it as `Arc<dyn ClusterService>` in the Leptos context.
    pub trait ClusterService: Send + Sync + 'static {
        /// The picture to render on the server.
        fn view(&self) -> ClusterView;
        fn start_cluster(&self) -> ServiceFuture<'_, StartReport>;
        fn act(&self, node: String, action: NodeAction) -> ServiceFuture<'_, ActionReport>;
        /// Makes a node's clock false, and gives what it is false by from now on.
        fn clock_fault(&self, node: String, fault: ClockFault) -> ServiceFuture<'_, InjectedFault>;
        fn publish(&self, convo: String, request: PublishRequest) -> ServiceFuture<'_, PublishReport>;
        /// The last `count` records of a conversation, oldest first.
        fn history(&self, convo: String, count: usize) -> ServiceFuture<'_, HistoryPage>;
    }
}
