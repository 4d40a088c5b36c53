//! What every answer says to the browser about itself.
//!
//! The page's own policy is made where it is rendered, as it names the nonce of its scripts ([`page_policy`]).
//! Everything else (JSON, files) needs nothing at all from a browser.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

const SET_ON_EVERY_ANSWER: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Forms of the page without wasm go back to it by the Referer.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

const NOTHING_ALLOWED: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What cargo-leptos' reloading needs while developing.
const RELOAD_SOURCES: &str = " ws://127.0.0.1:* ws://localhost:*";

pub(super) async fn set(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in SET_ON_EVERY_ANSWER {
        headers.insert(name, HeaderValue::from_static(value));
    }
    set_default(headers, header::CONTENT_SECURITY_POLICY, NOTHING_ALLOWED);
    set_default(
        headers,
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    response
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}

/// The policy of a rendered page: scripts with this nonce or from here, wasm, styles and fonts from here, sockets
/// to here. Components place things by style attributes, so those are allowed; style elements are not.
pub(super) fn page_policy(nonce: &str) -> Option<HeaderValue> {
    let reload = if std::env::var_os("LEPTOS_WATCH").is_some() {
        RELOAD_SOURCES
    } else {
        ""
    };
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
         style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'{reload}; \
         manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
}
