//! `POST /faults/clock`: a false clock at run time, with a JSON body (`wiber_protocol::status::ClockFault`).
//!
//! It changes something, so no page of another site may send it: a browser names the page's origin with every POST, and asks
//! before it sends JSON elsewhere, which nobody here answers.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use wiber_protocol::status::ClockFault;

use super::Admin;
use crate::time::FaultError;

/// The largest body.
const MAX_BODY_BYTES: usize = 1_024;
/// It must be here by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const EXAMPLE: &str = r#"send JSON such as {"skew_ms": 250, "drift_ppm": 30}"#;

pub(super) async fn clock(State(admin): State<Admin>, headers: HeaderMap, body: Body) -> Response {
    if headers.contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "a web page may not do this");
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind.is_none_or(|kind| kind.split(';').next() != Some("application/json")) {
        let text = format!("the content type must be application/json: {EXAMPLE}");
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text);
    }
    let Ok(Ok(bytes)) = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await else {
        let text = format!("the body is over {MAX_BODY_BYTES} bytes, or did not come: {EXAMPLE}");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, &text);
    };
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("not a JSON object: {EXAMPLE}"),
        );
    }
    let fault: ClockFault = match serde_json::from_slice(&bytes) {
        Ok(fault) => fault,
        Err(error) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &format!("{error}: {EXAMPLE}")),
    };
    match admin.source.inject_clock(fault) {
        Ok(injected) => Json(injected).into_response(),
        Err(error @ FaultError::NotAllowed) => refuse(StatusCode::FORBIDDEN, &error.to_string()),
        Err(error @ FaultError::Invalid(_)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    (status, format!("{reason}\n")).into_response()
}
