//! `/api/topics/{topic}/records`: any bytes in, records out, and `/request`: a message that waits for its reply.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::HeaderMap,
    routing::{get, post},
};
use serde::Serialize;
use wiber_client::{Consistency, Publish, Read, ReadFrom, ReadPage, RecordLine};
use wiber_protocol::{
    line::{DEFAULT_READ_RECORDS, check_id},
    pattern::Pattern,
};

use super::{
    FromParams, Gateway, Params, PathOf, QueryOf, Refusal, answer::RawBody, failure, message_headers,
};
use crate::messages::CHANGE_WITHIN;

/// How long a reply is waited for if nothing is said.
const DEFAULT_REPLY_MS: u64 = 5_000;
/// The longest; each request that waits has a connection here, and those are bounded.
const MAX_REPLY_MS: u64 = 60_000;

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/api/topics/{topic}/records", get(read).post(publish))
        .route("/api/topics/{topic}/request", post(request))
}

struct PublishQuery {
    id: Option<String>,
    /// The topic's newest offset, if it is to be stored behind that one only.
    expect: Option<u64>,
}

impl FromParams for PublishQuery {
    const NAMES: &'static [&'static str] = &["id", "expect"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        Ok(Self {
            id: params.checked("id", check_id)?,
            expect: params.number("expect")?,
        })
    }
}

#[derive(Serialize)]
struct Stored {
    id: String,
    offset: Option<u64>,
    /// Not told a second time: `null` for a duplicate.
    logical_time: Option<u64>,
    duplicate: bool,
}

async fn publish(
    State(gateway): State<Gateway>,
    PathOf(topic): PathOf<String>,
    QueryOf(query): QueryOf<PublishQuery>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<Stored>, Refusal> {
    let client = gateway.messages.reach()?;
    let is_new_id = query.id.is_none();
    // Made here and not in the library: it has to be told if the message's fate is unknown.
    let id = query.id.unwrap_or_else(|| client.make_id());
    let mut publish = Publish::new(topic, body).id(&id).deadline(CHANGE_WITHIN);
    for (key, value) in message_headers::of(&headers)? {
        publish = publish.header(key, value);
    }
    if let Some(end) = query.expect {
        publish = publish.expect(end);
    }
    let published = client.send(&publish).await;
    let published = published.map_err(|error| failure::of_publish(error, &id))?;
    Ok(Json(Stored {
        id,
        offset: published.offset,
        logical_time: published.logical_time,
        // Under an id that nobody had before it is a duplicate of this very request's first attempt.
        duplicate: published.duplicate && !is_new_id,
    }))
}

struct ReadQuery {
    /// The newest so many. It, `from` and `since` exclude each other; without them it is [`DEFAULT_READ_RECORDS`].
    last: Option<u64>,
    /// From this offset on.
    from: Option<u64>,
    /// From this moment on, microseconds since the Unix epoch.
    since: Option<i64>,
    limit: Option<u64>,
    bytes: Option<u64>,
    consistency: Option<Consistency>,
}

impl FromParams for ReadQuery {
    const NAMES: &'static [&'static str] = &["last", "from", "since", "limit", "bytes", "consistency"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        let sure = [Consistency::Strong, Consistency::Local];
        Ok(Self {
            last: params.number("last")?,
            from: params.number("from")?,
            since: params.seconds("since")?,
            limit: params.number("limit")?,
            bytes: params.number("bytes")?,
            consistency: params.one_of("consistency", &sure.map(|how| (how.as_str(), how)))?,
        })
    }
}

impl ReadQuery {
    fn read(self, topic: String) -> Result<Read, Refusal> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let (from, limit) = match (self.last, self.from, self.since) {
            (None, Some(offset), None) => (ReadFrom::Offset(offset), limit),
            (None, None, Some(since)) => (ReadFrom::Since(since), limit),
            (last, None, None) => (ReadFrom::Last, limit.min(last.unwrap_or(DEFAULT_READ_RECORDS))),
            _ => {
                return Err(Refusal::unreadable(
                    "`last`, `from` and `since` exclude each other.",
                ));
            }
        };
        let mut read = Read::new(topic, from)
            .limit(limit)
            .consistency(self.consistency.unwrap_or(Consistency::Strong));
        if let Some(bytes) = self.bytes {
            read = read.max_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(read)
    }
}

/// A [`ReadPage`], for scripts.
#[derive(Serialize)]
struct Page {
    records: Vec<RecordLine>,
    high_watermark: u64,
    log_start_offset: u64,
    next_offset: u64,
    consistency: Consistency,
}

async fn read(
    State(gateway): State<Gateway>,
    PathOf(topic): PathOf<String>,
    QueryOf(query): QueryOf<ReadQuery>,
) -> Result<Json<Page>, Refusal> {
    let is_pattern = Pattern::new(&topic).is_ok_and(|pattern| !pattern.is_literal());
    let read = query.read(topic)?;
    let ReadPage {
        records,
        high_watermark,
        log_start_offset,
        consistency,
        next_offset,
    } = gateway.messages.reach()?.read_page(&read).await?;
    // A topic may have such a name, but there is none.
    if is_pattern && high_watermark == 0 {
        return Err(Refusal::unreadable(
            "That is a pattern, and this is the place of one topic: \
             the socket /live/records/{pattern}?start=true delivers the records of all that match.",
        ));
    }
    Ok(Json(Page {
        records,
        high_watermark,
        log_start_offset,
        next_offset,
        consistency,
    }))
}

struct RequestQuery {
    timeout_ms: u64,
}

impl FromParams for RequestQuery {
    const NAMES: &'static [&'static str] = &["timeout_ms"];

    fn from_params(params: &Params) -> Result<Self, Refusal> {
        let timeout_ms = params.number_in("timeout_ms", 1..=MAX_REPLY_MS)?;
        Ok(Self {
            timeout_ms: timeout_ms.unwrap_or(DEFAULT_REPLY_MS),
        })
    }
}

async fn request(
    State(gateway): State<Gateway>,
    PathOf(topic): PathOf<String>,
    QueryOf(RequestQuery { timeout_ms }): QueryOf<RequestQuery>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<RecordLine>, Refusal> {
    if !message_headers::of(&headers)?.is_empty() {
        return Err(Refusal::unreadable(
            "A request has no headers but those that its reply needs.",
        ));
    }
    let client = gateway.messages.reach()?;
    let reply = client.request(&topic, body, Duration::from_millis(timeout_ms));
    Ok(Json(reply.await?))
}
