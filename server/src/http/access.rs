//! Who may ask what. Pure judgement over one request, and the middleware that asks for it.
//!
//! The gateway starts and kills processes, so it answers this machine only. A browser on this machine is not
//! enough: any web page can make it send requests here. So a page's name must not be bound to us (DNS rebinding:
//! `Host` must be an own name, on every request), and whatever changes state or opens a WebSocket must come from
//! our own page (`Origin`, which a browser always sends with those, and `Sec-Fetch-Site`, which newer ones
//! add). Scripts send neither and pass. See RFC 6454 and the W3C's Fetch Metadata.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::answer::Refusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names by which this machine's own browser and scripts call the gateway.
const OWN_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"];

/// What a request says about where it comes from.
struct Claims<'a> {
    peer: IpAddr,
    method: &'a Method,
    /// The host of an absolute request target; where there is one it stands for `Host` (RFC 9112, section 3.2.2).
    target_host: Option<&'a str>,
    headers: &'a HeaderMap,
    own_port: u16,
}

/// Refuses what must not be answered.
pub(super) async fn check(State(own_port): State<u16>, request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| peer.ip());
    let judged = match peer {
        Some(peer) => judge(&Claims {
            peer,
            method: request.method(),
            target_host: request.uri().authority().map(axum::http::uri::Authority::as_str),
            headers: request.headers(),
            own_port,
        }),
        None => Err("The connection has no address.".to_owned()),
    };
    match judged {
        Ok(()) => next.run(request).await,
        Err(why) => {
            tracing::debug!(method = %request.method(), path = request.uri().path(), why, "refused");
            Refusal::new(StatusCode::FORBIDDEN, why).into_response()
        }
    }
}

fn judge(claims: &Claims<'_>) -> Result<(), String> {
    if !claims.peer.to_canonical().is_loopback() {
        return Err(format!(
            "This gateway answers requests from its own machine only; this one came from {}.",
            claims.peer.to_canonical()
        ));
    }
    let host = match claims.target_host {
        Some(host) => host,
        None => only(claims.headers, &header::HOST)?.ok_or("The request names no Host.")?,
    };
    if !is_own_host(host) {
        return Err(format!(
            "`{host}` is no name of this gateway; use http://127.0.0.1:{}/.",
            claims.own_port
        ));
    }
    let is_upgrade = claims.headers.contains_key(header::UPGRADE);
    let is_read = matches!(*claims.method, Method::GET | Method::HEAD | Method::OPTIONS) && !is_upgrade;
    if !is_read
        && let Some(origin) = only(claims.headers, &header::ORIGIN)?
        && !is_own_origin(origin, claims.own_port)
    {
        return Err(format!("A page of `{origin}` may not do this."));
    }
    let site = only(claims.headers, &SEC_FETCH_SITE)?;
    let is_foreign = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if is_foreign && !(is_read && is_navigation(claims.headers)) {
        return Err("Another site's page asked for this.".to_owned());
    }
    Ok(())
}

/// A link followed to the page itself, which shows nothing to the site it was on.
fn is_navigation(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|found| found == value);
    says(&SEC_FETCH_MODE, "navigate") && says(&SEC_FETCH_DEST, "document")
}

/// A header that may stand there once: twice, and two readers could believe different ones.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(format!("The header {name} stands there twice."));
    }
    first
        .map(|value| {
            value
                .to_str()
                .map_err(|_| format!("The header {name} is not ASCII."))
        })
        .transpose()
}

/// An own name, with any port: behind a forwarded port it is not ours.
fn is_own_host(host: &str) -> bool {
    split_port(host).is_some_and(|(name, _)| is_own_name(name))
}

/// `http://<own name>:<own port>`, exactly.
fn is_own_origin(origin: &str, own_port: u16) -> bool {
    origin
        .strip_prefix("http://")
        .and_then(split_port)
        .is_some_and(|(name, port)| is_own_name(name) && port.unwrap_or(80) == own_port)
}

fn is_own_name(name: &str) -> bool {
    OWN_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Cuts `name`, `name:port` or `[v6]:port`; `None` if what follows the name is no port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let name_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at(name_end);
    if rest.is_empty() {
        return Some((name, None));
    }
    let digits = rest
        .strip_prefix(':')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((name, Some(digits.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &str, method: &Method, lines: &[(&'static str, &'static str)]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        judge(&Claims {
            peer: peer.parse().unwrap(),
            method,
            target_host: None,
            headers: &headers,
            own_port: 8080,
        })
    }

    fn local(method: &Method, lines: &[(&'static str, &'static str)]) -> Result<(), String> {
        ask("127.0.0.1", method, lines)
    }

    #[test]
    fn another_machine_is_refused_whatever_it_says() {
        for peer in ["192.168.1.7", "::ffff:10.0.0.1", "2001:db8::1"] {
            let why = ask(peer, &Method::GET, &[("host", "localhost:8080")]).unwrap_err();
            assert!(why.contains("own machine only"), "{why}");
        }
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(
                ask(peer, &Method::GET, &[("host", "localhost:8080")]),
                Ok(()),
                "{peer}"
            );
        }
    }

    #[test]
    fn scripts_pass_under_every_own_name() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "0.0.0.0:8080",
            "[::1]:8080",
            "127.0.0.1:9999",
        ] {
            assert_eq!(local(&Method::POST, &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_foreign_host_is_refused_even_for_reading() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "localhost:80x",
            "localhost:8080:1",
            "localhost@evil.example",
            "127.0.0.1:99999",
            "[::1]evil",
            "",
        ] {
            assert!(local(&Method::GET, &[("host", host)]).is_err(), "{host}");
        }
        assert!(local(&Method::GET, &[]).is_err(), "no host");
        assert!(
            local(&Method::GET, &[("host", "localhost"), ("host", "evil.example")]).is_err(),
            "two hosts"
        );
    }

    #[test]
    fn only_our_own_page_may_change_anything_or_open_a_socket() {
        let own = [
            "http://localhost:8080",
            "http://127.0.0.1:8080",
            "http://0.0.0.0:8080",
            "http://[::1]:8080",
        ];
        let foreign = [
            "null",
            "http://evil.example",
            "https://localhost:8080",
            "http://localhost",
            "http://localhost:3000",
            "http://localhost:8080.evil.example",
            "http://evil.example:8080",
            "http://localhost:8080/",
            "",
        ];
        let upgrade = ("upgrade", "websocket");
        let host = ("host", "localhost:8080");
        for origin in own {
            assert_eq!(
                local(&Method::POST, &[host, ("origin", origin)]),
                Ok(()),
                "{origin}"
            );
            assert_eq!(
                local(&Method::GET, &[host, upgrade, ("origin", origin)]),
                Ok(()),
                "{origin}"
            );
        }
        for origin in foreign {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert!(local(&method, &[host, ("origin", origin)]).is_err(), "{origin}");
            }
            assert!(
                local(&Method::GET, &[host, upgrade, ("origin", origin)]).is_err(),
                "{origin}"
            );
            assert_eq!(
                local(&Method::GET, &[host, ("origin", origin)]),
                Ok(()),
                "reading: {origin}"
            );
        }
        assert_eq!(local(&Method::GET, &[host, upgrade]), Ok(()), "a script's socket");
        let twice = [
            host,
            ("origin", "http://localhost:8080"),
            ("origin", "http://evil.example"),
        ];
        assert!(local(&Method::POST, &twice).is_err());
    }

    #[test]
    fn another_sites_page_may_link_here_and_nothing_else() {
        let host = ("host", "localhost:8080");
        for site in ["cross-site", "same-site"] {
            let site = ("sec-fetch-site", site);
            assert!(local(&Method::POST, &[host, site]).is_err());
            assert!(local(&Method::GET, &[host, site]).is_err(), "an image, a script");
            let link = [
                host,
                site,
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ];
            assert_eq!(local(&Method::GET, &link), Ok(()));
            assert!(local(&Method::POST, &link).is_err(), "a form");
            let frame = [
                host,
                site,
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ];
            assert!(local(&Method::GET, &frame).is_err());
        }
        for site in ["same-origin", "none"] {
            assert_eq!(local(&Method::POST, &[host, ("sec-fetch-site", site)]), Ok(()));
        }
    }
}
