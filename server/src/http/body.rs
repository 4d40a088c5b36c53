//! How large a request's body may be, and how long one may wait for it.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http_body_util::Limited;
use tower_http::timeout::TimeoutBody;

use super::answer::Refusal;

/// The largest body: a message of the largest size, with room for what JSON escapes in it.
const MAX_BODY_BYTES: usize = 4 << 20;
/// How long the next piece of a body may be waited for.
const PIECE_TIMEOUT: Duration = Duration::from_secs(15);

/// Refuses a body that says it is too large, and ends one that turns out to be.
pub(super) async fn bound(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > MAX_BODY_BYTES as u64 {
        return too_large().into_response();
    }
    let bounded = |body| {
        Body::new(Limited::new(
            Body::new(TimeoutBody::new(PIECE_TIMEOUT, body)),
            MAX_BODY_BYTES,
        ))
    };
    next.run(request.map(bounded)).await
}

pub(super) fn too_large() -> Refusal {
    let why = format!("A body has at most {MAX_BODY_BYTES} bytes.");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)
}
