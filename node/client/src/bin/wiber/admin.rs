//! A node's own account: one HTTP GET on its admin port, by hand, as it is one line and one answer.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use wiber_protocol::{config::NodeSpec, status::NodeStatus};

/// A node that is there answers at once; one that is stopped or overwhelmed must not hold anybody up.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any `/status` has.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Status code and body; `None` if nobody answers.
pub(crate) fn get(node: &NodeSpec, path: &str) -> Option<(u16, Vec<u8>)> {
    let host = node.host.as_str();
    let address = (host, node.admin_port()).to_socket_addrs().ok()?.next()?;
    let mut stream = connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\r\n",
        node.admin_port()
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).ok()?;
    let head_end = memchr::memmem::find(&answer, b"\r\n\r\n")?;
    let code = answer.get(9..12)?;
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    Some((code, answer.split_off(head_end + 4)))
}

/// What the node says about itself, if it answers.
pub(crate) fn status(node: &NodeSpec) -> Option<NodeStatus> {
    match get(node, "/status")? {
        (200, body) => serde_json::from_slice(&body).ok(),
        _ => None,
    }
}
