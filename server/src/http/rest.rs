//! The REST forms: those that existing scripts know, and the new ones under `/api/`.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use serde::Serialize;
use wiber_app::{
    service::{
        ActionReport, HistoryPage, MessageView, NodeAction, PublishReport, PublishRequest, StartReport,
    },
    view::{ClusterView, ProcessState},
};
use wiber_protocol::status::Role;

use super::{
    FromParams, Gateway, NoParams, Params,
    answer::{JsonBody, PathOf, QueryOf, Refusal},
};

/// Says how sure a history is: `strong` or `local`.
pub(super) const CONSISTENCY: HeaderName = HeaderName::from_static("wiber-consistency");

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/cluster/start", post(start_cluster))
        .route("/cluster/node/{id}/kill", post(kill))
        .route("/cluster/node/{id}/restart", post(restart))
        .route("/cluster/nodes", get(nodes))
        .route("/dm/{convo}", post(publish))
        .route("/dm/{convo}/history", get(history))
        .route("/api/cluster", get(cluster))
        .route("/api/nodes/{id}/{action}", post(act_alone))
        .route("/api/history/{convo}", get(history_page::<true>))
}

async fn start_cluster(State(gateway): State<Gateway>) -> Result<Json<StartReport>, Refusal> {
    Ok(Json(gateway.service.start_cluster().await?))
}

async fn kill(gateway: State<Gateway>, PathOf(id): PathOf<String>) -> Result<Json<ActionReport>, Refusal> {
    act(gateway, PathOf((id, "kill".to_owned()))).await
}

async fn restart(gateway: State<Gateway>, PathOf(id): PathOf<String>) -> Result<Json<ActionReport>, Refusal> {
    act(gateway, PathOf((id, "restart".to_owned()))).await
}

async fn act_alone(
    gateway: State<Gateway>,
    path: PathOf<(String, String)>,
    _: QueryOf<NoParams>,
) -> Result<Json<ActionReport>, Refusal> {
    act(gateway, path).await
}

async fn act(
    State(gateway): State<Gateway>,
    PathOf((id, action)): PathOf<(String, String)>,
) -> Result<Json<ActionReport>, Refusal> {
    let action = match action.as_str() {
        "start" => NodeAction::Start,
        "stop" => NodeAction::Stop,
        "kill" => NodeAction::Kill,
        "restart" => NodeAction::Restart,
        other => {
            let detail =
                format!("`{other}` is nothing that can be done to a node: start, stop, kill, restart.");
            return Err(Refusal::new(StatusCode::NOT_FOUND, detail));
        }
    };
    Ok(Json(gateway.service.act(id, action).await?))
}

/// One line of `GET /cluster/nodes`: the contract's four fields, and what the page knows besides.
#[derive(Serialize)]
struct NodeLine {
    id: String,
    host: String,
    port: u16,
    running: bool,
    process: ProcessState,
    /// Of a node whose events arrive now.
    role: Option<Role>,
    term: Option<u64>,
}

async fn nodes(State(gateway): State<Gateway>) -> Json<Vec<NodeLine>> {
    let lines = gateway.service.view().nodes.into_iter().map(|node| NodeLine {
        running: node.process.is_running(),
        role: node.live_role(),
        term: node
            .status
            .as_ref()
            .filter(|_| node.live)
            .map(|status| status.term),
        id: node.id,
        host: node.host,
        port: node.port,
        process: node.process,
    });
    Json(lines.collect())
}

async fn cluster(State(gateway): State<Gateway>, _: QueryOf<NoParams>) -> Json<ClusterView> {
    Json(gateway.service.view())
}

impl FromParams for PublishRequest {
    const NAMES: &'static [&'static str] = &["message", "sender", "message_id"];
    const PASSES_OVER_OTHERS: bool = true;

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            message: params.required_text("message")?,
            sender: params.text("sender")?,
            message_id: params.text("message_id")?,
        })
    }
}

async fn publish(
    State(gateway): State<Gateway>,
    PathOf(convo): PathOf<String>,
    JsonBody(request): JsonBody<PublishRequest>,
) -> Result<Json<PublishReport>, Refusal> {
    // Not by way of the service: its errors have no place for the id of a message whose fate is unknown.
    Ok(Json(gateway.messages.publish(&convo, request).await?))
}

/// How many records a history has if nothing is said.
const DEFAULT_COUNT: u64 = 50;

/// Of the older form, or of the new one, which is `STRICT`.
struct HistoryQuery<const STRICT: bool> {
    /// How many of the newest records; more than [`wiber_app::api::HISTORY_LIMIT`] means that many.
    count: u64,
}

impl<const STRICT: bool> FromParams for HistoryQuery<STRICT> {
    const NAMES: &'static [&'static str] = &["count"];
    const PASSES_OVER_OTHERS: bool = !STRICT;

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            count: params.number("count")?.unwrap_or(DEFAULT_COUNT),
        })
    }
}

async fn history(
    gateway: State<Gateway>,
    convo: PathOf<String>,
    query: QueryOf<HistoryQuery<false>>,
) -> Result<impl IntoResponse, Refusal> {
    let Json(page) = history_page(gateway, convo, query).await?;
    Ok((
        [(CONSISTENCY, page.consistency.as_str())],
        Json::<Vec<MessageView>>(page.messages),
    ))
}

async fn history_page<const STRICT: bool>(
    State(gateway): State<Gateway>,
    PathOf(convo): PathOf<String>,
    QueryOf(query): QueryOf<HistoryQuery<STRICT>>,
) -> Result<Json<HistoryPage>, Refusal> {
    let count = usize::try_from(query.count).unwrap_or(usize::MAX);
    Ok(Json(gateway.service.history(convo, count).await?))
}

/// For every path of these forms that there is not.
pub(super) fn no_such_path(path: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("There is nothing at {path}."))
}

/// For a known path asked in the wrong way.
pub(super) async fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This path is not asked with that method.",
    )
}
