//! Tells a browser from a client.
//!
//! Any web page can make a browser open this port and send a request whose body is lines of its choosing. Such a
//! connection must be closed before its second line is read as a command.

/// Whether a connection's first line is an HTTP request, or the start of a TLS handshake.
///
/// A browser sends methods of its own without asking first (`GET`, `POST`, `HEAD`, `OPTIONS`), and any method to
/// what it takes for the page's own origin, so an unknown method counts when target and version look right.
pub fn looks_like_http(line: &[u8]) -> bool {
    const METHODS: [&str; 10] = [
        "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE", "PRI",
    ];
    const TLS_HANDSHAKE: u8 = 0x16;
    if line.first() == Some(&TLS_HANDSHAKE) {
        return true;
    }
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target)) = (method, target) else {
        return false;
    };
    let is_path = target.starts_with('/') || target.contains("://") || target == "*";
    let has_version = version
        .and_then(|version| version.get(..5))
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("HTTP/"));
    let is_known = METHODS.iter().any(|known| method.eq_ignore_ascii_case(known));
    (is_known && (is_path || has_version)) || (is_path && has_version && words.next().is_none())
}
