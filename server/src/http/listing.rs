//! `/api/topics` and `/api/groups`: what there is, and what changes a group.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, post},
};
use serde::Serialize;
use wiber_client::{GroupLine, TopicLine};
use wiber_protocol::line::{MAX_LISTED, check_pattern, check_topic};

use super::{FromParams, Gateway, NoParams, Params, PathOf, QueryOf, Refusal, answer::JsonBody};
use crate::messages::CHANGE_WITHIN;

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/api/topics", get(topics))
        .route("/api/groups", get(groups))
        .route("/api/groups/{topic}/{group}", delete(end))
        .route("/api/groups/{topic}/{group}/seek", post(seek))
        .route("/api/groups/{topic}/{group}/ack", post(ack))
}

struct TopicsQuery {
    pattern: Option<String>,
    after: Option<String>,
    limit: u64,
}

impl FromParams for TopicsQuery {
    const NAMES: &'static [&'static str] = &["pattern", "after", "limit"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            pattern: params.checked("pattern", check_pattern)?,
            after: params.checked("after", check_topic)?,
            // Nobody could tell an empty page from the last one.
            limit: params.number_in("limit", 1..=u64::MAX)?.unwrap_or(MAX_LISTED),
        })
    }
}

#[derive(Serialize)]
struct Topics {
    topics: Vec<TopicLine>,
    /// The cursor: there may be more `after` this one. `null` at the end.
    next_after: Option<String>,
}

async fn topics(
    State(gateway): State<Gateway>,
    QueryOf(query): QueryOf<TopicsQuery>,
) -> Result<Json<Topics>, Refusal> {
    let limit = query.limit.min(MAX_LISTED);
    let client = gateway.messages.reach()?;
    let topics = client.topics_page(query.pattern.as_deref(), query.after.as_deref(), limit);
    let topics = topics.await?;
    let is_full = topics.len() as u64 >= limit;
    let next_after = topics.last().filter(|_| is_full).map(|last| last.topic.clone());
    Ok(Json(Topics { topics, next_after }))
}

struct GroupsQuery {
    pattern: Option<String>,
}

impl FromParams for GroupsQuery {
    const NAMES: &'static [&'static str] = &["pattern"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            pattern: params.checked("pattern", check_pattern)?,
        })
    }
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<GroupLine>,
}

async fn groups(
    State(gateway): State<Gateway>,
    QueryOf(query): QueryOf<GroupsQuery>,
) -> Result<Json<Groups>, Refusal> {
    let groups = gateway.messages.reach()?.groups(query.pattern.as_deref()).await?;
    Ok(Json(Groups { groups }))
}

/// A change of a group that was made.
#[derive(Serialize)]
struct Changed {
    topic: String,
    group: String,
    action: &'static str,
    /// Where it was asked to go on, or the last offset that is acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

type GroupPath = PathOf<(String, String)>;

async fn end(
    State(gateway): State<Gateway>,
    PathOf((topic, group)): GroupPath,
    _: QueryOf<NoParams>,
) -> Result<Json<Changed>, Refusal> {
    let client = gateway.messages.reach()?;
    client.delete_group(&topic, &group, CHANGE_WITHIN).await?;
    Ok(Json(Changed {
        topic,
        group,
        action: "deleted",
        offset: None,
    }))
}

struct Seek {
    next_offset: u64,
}

impl FromParams for Seek {
    const NAMES: &'static [&'static str] = &["next_offset"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            next_offset: params.required_number("next_offset")?,
        })
    }
}

async fn seek(
    State(gateway): State<Gateway>,
    PathOf((topic, group)): GroupPath,
    _: QueryOf<NoParams>,
    JsonBody(Seek { next_offset }): JsonBody<Seek>,
) -> Result<Json<Changed>, Refusal> {
    let client = gateway.messages.reach()?;
    client
        .seek_group(&topic, &group, next_offset, CHANGE_WITHIN)
        .await?;
    Ok(Json(Changed {
        topic,
        group,
        action: "moved",
        offset: Some(next_offset),
    }))
}

struct Ack {
    offset: u64,
    /// The last of several; without it `offset` alone.
    through: Option<u64>,
}

impl FromParams for Ack {
    const NAMES: &'static [&'static str] = &["offset", "through"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            offset: params.required_number("offset")?,
            through: params.number("through")?,
        })
    }
}

async fn ack(
    State(gateway): State<Gateway>,
    PathOf((topic, group)): GroupPath,
    _: QueryOf<NoParams>,
    JsonBody(Ack { offset, through }): JsonBody<Ack>,
) -> Result<Json<Changed>, Refusal> {
    let last = through.unwrap_or(offset);
    let client = gateway.messages.reach()?;
    client.ack(&topic, &group, offset..=last, CHANGE_WITHIN).await?;
    Ok(Json(Changed {
        topic,
        group,
        action: "acked",
        offset: Some(last),
    }))
}
