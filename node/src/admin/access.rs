//! Which requests the admin port answers: those that call the node by an address or by a name it really has.
//!
//! A page of `evil.example` can have its own name resolve to 127.0.0.1 and then read what it fetched, as
//! the browser takes both for one site. The Host header still says `evil.example`; an IP literal can't be rebound.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

pub(super) async fn check(State(host): State<Arc<str>>, request: Request, next: Next) -> Response {
    let asked = request.uri().host().or_else(|| host_header(request.headers()));
    match asked {
        Some(name) if is_own(name, &host) => next.run(request).await,
        Some(_) => (StatusCode::FORBIDDEN, "this node has no such host name\n").into_response(),
        None => (StatusCode::BAD_REQUEST, "a Host header is needed\n").into_response(),
    }
}

fn host_header(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::HOST).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only.and_then(|value| value.to_str().ok())
}

/// `asked` is a host with or without a port.
fn is_own(asked: &str, host: &str) -> bool {
    let name = without_port(asked);
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    literal.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case(host)
}

fn without_port(asked: &str) -> &str {
    match asked.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            name
        }
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_and_addresses_are_answered() {
        for own in [
            "127.0.0.1:9201",
            "127.0.0.1",
            "localhost:9201",
            "LOCALHOST",
            "[::1]:9201",
            "[::1]",
            "::1",
            "192.168.1.7:80",
            "box7.lan:9201",
            "Box7.lan",
        ] {
            assert!(is_own(own, "box7.lan"), "{own}");
        }
        for foreign in [
            "",
            ":9201",
            "evil.example",
            "evil.example:9201",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "box7.lan.evil.example",
            "box7.lan:x",
            "127.0.0.1:9201:80",
        ] {
            assert!(!is_own(foreign, "box7.lan"), "{foreign}");
        }
    }
}
