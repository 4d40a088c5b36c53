//! What the page asks of the cluster: server functions over [`crate::service`], callable by anyone as JSON.
//!
//! `curl -d '{"node":"n2","action":"kill"}' -H 'content-type: application/json' http://…/api/fn/node_action`.
//! Each also takes a plain HTML form, so that its buttons work before (and without) wasm. A failure answers
//! with the status of its [`ServiceError`] and `{"detail": …}`, as the REST routes do.

use leptos::{
    prelude::*,
    server::ServerActionError,
    server_fn::{
        Bytes, ContentType, Decodes, Encodes, Format, FormatType, Http,
        codec::{Json, JsonEncoding, Post},
        error::{FromServerFnError, ServerFnErrorErr, ServerFnUrlError},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wiber_protocol::status::InjectedFault;

use crate::service::{ActionReport, HistoryPage, NodeAction, PublishReport, StartReport};

/// The most records one call of [`history`] returns.
pub const HISTORY_LIMIT: usize = 10_000;

/// Starts every node that does not run.
#[server(prefix = "/api/fn", endpoint = "start_cluster", protocol = Http<JsonOrForm, Json>)]
pub async fn start_cluster() -> Result<StartReport, ApiError> {
    answer(on_server::service()?.start_cluster().await)
}

/// Stops every running node gracefully, all at once.
#[server(prefix = "/api/fn", endpoint = "stop_cluster", protocol = Http<JsonOrForm, Json>)]
pub async fn stop_cluster() -> Result<Vec<ActionReport>, ApiError> {
    let service = on_server::service()?;
    let running: Vec<String> = service
        .view()
        .nodes
        .into_iter()
        .filter(|node| node.live || node.process.is_running())
        .map(|node| node.id)
        .collect();
    let stopping = running
        .into_iter()
        .map(|node| service.act(node, NodeAction::Stop));
    let stopped = futures_util::future::join_all(stopping).await;
    answer(stopped.into_iter().collect())
}

/// Starts, stops, kills or restarts one node.
#[server(name = ActOnNode, prefix = "/api/fn", endpoint = "node_action", protocol = Http<JsonOrForm, Json>)]
pub async fn node_action(node: String, action: NodeAction) -> Result<ActionReport, ApiError> {
    answer(on_server::service()?.act(node, action).await)
}

/// Makes a node's clock false: by so many milliseconds, and by so much faster. What is left out stays.
#[server(name = InjectClockFault, prefix = "/api/fn", endpoint = "clock_fault", protocol = Http<JsonOrForm, Json>)]
pub async fn clock_fault(
    node: String,
    #[server(default)] skew_ms: Option<f64>,
    #[server(default)] drift_ppm: Option<f64>,
) -> Result<InjectedFault, ApiError> {
    let fault = wiber_protocol::status::ClockFault { skew_ms, drift_ppm };
    answer(on_server::service()?.clock_fault(node, fault).await)
}

/// Publishes one message to a conversation. The same `message_id` again is the same message.
#[server(prefix = "/api/fn", endpoint = "publish", protocol = Http<JsonOrForm, Json>)]
pub async fn publish(
    convo: String,
    message: String,
    #[server(default)] sender: Option<String>,
    #[server(default)] message_id: Option<String>,
) -> Result<PublishReport, ApiError> {
    let request = crate::service::PublishRequest {
        message,
        sender,
        message_id,
    };
    answer(on_server::service()?.publish(convo, request).await)
}

/// The last `count` records of a conversation, oldest first.
#[server(name = ReadHistory, prefix = "/api/fn", endpoint = "history", protocol = Http<JsonOrForm, Json>)]
pub async fn history(convo: String, count: usize) -> Result<HistoryPage, ApiError> {
    answer(
        on_server::service()?
            .history(convo, count.min(HISTORY_LIMIT))
            .await,
    )
}

/// Why a call did not do what was asked, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    pub detail: String,
    /// The status of the answer; none where no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl ApiError {
    /// Whether asking again for the same cannot help: the request is wrong, not the moment.
    pub fn is_refusal(&self) -> bool {
        self.status.is_some_and(|status| (400..500).contains(&status))
    }
}

impl FromServerFnError for ApiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        let (detail, status) = match error {
            ServerFnErrorErr::Request(_) => ("The gateway did not answer.".to_owned(), None),
            ServerFnErrorErr::Deserialization(text) | ServerFnErrorErr::Args(text) => {
                #[cfg(feature = "ssr")]
                on_server::set_status(422);
                // In the browser it is the answer that cannot be read, and it may have been a good one.
                let status = cfg!(feature = "ssr").then_some(422);
                (format!("This cannot be read: {text}"), status)
            }
            other => (other.to_string(), None),
        };
        Self { detail, status }
    }
}

/// The error that a form without wasm brought back in the address, if it was sent to one of these.
pub fn error_of_form(paths: &[&str]) -> Option<ApiError> {
    let error = use_context::<ServerActionError>()?;
    paths
        .contains(&error.path())
        .then(|| ServerFnUrlError::<ApiError>::decode_err(error.err()))
}

/// Arguments as JSON, or as the fields of a plain HTML form; which of the two, the first byte tells.
pub type JsonOrForm = Post<JsonOrFormEncoding>;

/// The codec of [`JsonOrForm`]; it writes JSON.
pub struct JsonOrFormEncoding;

impl ContentType for JsonOrFormEncoding {
    const CONTENT_TYPE: &'static str = "application/json";
}

impl FormatType for JsonOrFormEncoding {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T: Serialize> Encodes<T> for JsonOrFormEncoding {
    type Error = serde_json::Error;

    fn encode(value: &T) -> Result<Bytes, Self::Error> {
        JsonEncoding::encode(value)
    }
}

impl<T: DeserializeOwned> Decodes<T> for JsonOrFormEncoding {
    type Error = String;

    fn decode(body: Bytes) -> Result<T, Self::Error> {
        let is_json = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if is_json {
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        } else {
            serde_urlencoded::from_bytes(&body).map_err(|error| error.to_string())
        }
    }
}

#[cfg(feature = "ssr")]
fn answer<T>(result: Result<T, crate::service::ServiceError>) -> Result<T, ApiError> {
    result.map_err(|error| {
        on_server::set_status(error.http_status());
        ApiError {
            detail: error.detail().to_owned(),
            status: Some(error.http_status()),
        }
    })
}

#[cfg(feature = "ssr")]
mod on_server {
    use std::sync::Arc;

    use axum::http::{HeaderMap, StatusCode, header::ACCEPT, request::Parts};
    use leptos::prelude::use_context;
    use leptos_axum::ResponseOptions;

    use super::ApiError;
    use crate::service::ClusterService;

    pub(super) fn service() -> Result<Arc<dyn ClusterService>, ApiError> {
        use_context().ok_or_else(|| {
            set_status(503);
            ApiError {
                detail: "This server has no cluster to ask.".to_owned(),
                status: Some(503),
            }
        })
    }

    /// Sets the answer's status where that is the call's own: a form without wasm is answered by a redirect back
    /// to the page, which then shows the error, and a page that is being rendered calls functions as well.
    pub(super) fn set_status(status: u16) {
        let is_own_answer = use_context::<Parts>()
            .is_some_and(|parts| parts.uri.path().starts_with("/api/fn/") && !accepts_html(&parts.headers));
        if !is_own_answer {
            return;
        }
        if let (Some(response), Ok(status)) = (use_context::<ResponseOptions>(), StatusCode::from_u16(status))
        {
            response.set_status(status);
        }
    }

    fn accepts_html(headers: &HeaderMap) -> bool {
        headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("text/html"))
    }
}
