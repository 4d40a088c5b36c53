//! How the REST forms say no, and how they read what they are asked: every refusal is `{"detail": text}`, and a few of
//! the new ones say in further keys what a script needs to go on.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use wiber_app::service::ServiceError;

use super::{
    body,
    params::{FromParams, Params},
};

/// A status and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    detail: String,
    more: BTreeMap<&'static str, Value>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            more: BTreeMap::new(),
        }
    }

    /// Says one thing more, for scripts.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.more.insert(key, value.into());
        self
    }

    pub(crate) fn into_detail(self) -> String {
        self.detail
    }

    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            detail: String,
            #[serde(flatten)]
            more: BTreeMap<&'static str, Value>,
        }
        let Self { status, detail, more } = self;
        (status, Json(Body { detail, more })).into_response()
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, error.detail())
    }
}

/// A body of any bytes, whatever its content type says.
pub(super) struct RawBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        bytes.map(Self).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => body::too_large(),
            status => Refusal::new(status, "The body broke off, or came too slowly."),
        })
    }
}

/// A JSON body, whatever its content type says: `curl -d` sends none that fits. What a foreign page could do with
/// that is refused by [`super::access`] before.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: FromParams, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        Params::read_json(&bytes).map(Self)
    }
}

/// The variables of the path.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::from_request_parts(parts, state).await;
        // They are texts, so that nothing else can be wrong with them.
        path.map(|Path(value)| Self(value))
            .map_err(|_| Refusal::unreadable("What the path writes with % is no UTF-8."))
    }
}

/// The parameters of the query.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: FromParams, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let pairs = Query::from_request_parts(parts, state).await;
        let Query(pairs) = pairs.map_err(|_| Refusal::unreadable("The query is no list of `name=value`."))?;
        Params::of_query(pairs).read().map(Self)
    }
}
