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
        bytes
            .map(Self)
            .map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))
    }
}

/// A JSON body, whatever its content type says: `curl -d` sends none that fits. What a foreign page could do with
/// that is refused by [`super::access`] before.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        // A list of the fields in their order would be read, too.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::unreadable("The body is no JSON object.".to_owned()));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Refusal::unreadable(format!("The body is not what is asked for here: {error}.")))
    }
}

/// The variables of the path.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value))
            .map_err(|rejection| Refusal::unreadable(rejection.body_text()))
    }
}

/// The variables of the query.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|rejection| Refusal::unreadable(rejection.body_text()))
    }
}
