//! Making a node's clock false: `POST /faults/clock` on its admin port. The node decides whether it lets itself.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
};
use tokio::time::timeout;
use wiber_app::service::ServiceError;
use wiber_protocol::{
    config::NodeSpec,
    status::{ClockFault, InjectedFault},
};

use crate::admin::{self, AdminError};

/// The most of an answer that is read; it is a line or two.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// How long an answer's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks a node for a false clock, and gives what its clock is false by from then on.
pub(crate) async fn inject(spec: &NodeSpec, fault: &ClockFault) -> Result<InjectedFault, ServiceError> {
    fault
        .check()
        .map_err(|why| ServiceError::Invalid(format!("{why}.")))?;
    let id = &spec.id;
    let (status, text) = ask(spec, fault)
        .await
        .map_err(|error| ServiceError::Unavailable(format!("{id} does not answer: {error}.")))?;
    match status {
        StatusCode::OK => serde_json::from_str(&text).map_err(|error| {
            ServiceError::Unavailable(format!(
                "{id} answered something else than was asked for: {error}."
            ))
        }),
        StatusCode::FORBIDDEN => Err(ServiceError::Forbidden(format!(
            "{id} was not started with --allow-faults."
        ))),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
            Err(ServiceError::Invalid(format!("{id} refuses: {}", text.trim())))
        }
        StatusCode::NOT_FOUND => Err(ServiceError::Unavailable(format!(
            "{id} is older than this gateway and knows nothing of false clocks."
        ))),
        other => Err(ServiceError::Unavailable(format!("{id} answered {other}."))),
    }
}

async fn ask(spec: &NodeSpec, fault: &ClockFault) -> Result<(StatusCode, String), AdminError> {
    let body = serde_json::to_vec(fault).map_err(std::io::Error::other)?;
    let request = Request::post("/faults/clock")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(std::io::Error::other)?;
    let answer = admin::send(&spec.host, spec.admin_port(), request).await?;
    let status = answer.response.status();
    let text = timeout(BODY_TIMEOUT, read(answer.response.into_body()))
        .await
        .unwrap_or(Err(AdminError::NoAnswer))?;
    Ok((status, text))
}

async fn read(body: Incoming) -> Result<String, AdminError> {
    let whole = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let bytes = whole.map_err(std::io::Error::other)?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
