//! A node's admin port: one HTTP request, by hand, as it is a few lines and one answer.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use wiber_protocol::{config::NodeSpec, status::NodeStatus};

/// A node that is there answers at once; one that is stopped or overwhelmed must not hold anybody up.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any `/status` has.
pub(crate) const MAX_ANSWER_BYTES: u64 = 4 << 20;

pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The whole request. The node closes the connection after its answer, which is how the answer's end is known.
pub(crate) fn request(node: &NodeSpec, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\n\r\n",
        node.host,
        node.admin_port()
    )
}

/// Status code and body of a whole answer; `None` if it is no HTTP.
pub(crate) fn split_answer(mut answer: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let head_end = memchr::memmem::find(&answer, b"\r\n\r\n")?;
    let code = answer.get(9..12)?;
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    Some((code, answer.split_off(head_end + 4)))
}

/// Status code and body; `None` if nobody answers.
pub(crate) fn get(node: &NodeSpec, path: &str) -> Option<(u16, Vec<u8>)> {
    ask(node, &request(node, path))
}

/// Sends JSON. Status code and body; `None` if nobody answers.
pub(crate) fn post(node: &NodeSpec, path: &str, json: &str) -> Option<(u16, Vec<u8>)> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        node.host,
        node.admin_port(),
        json.len()
    );
    ask(node, &request)
}

fn ask(node: &NodeSpec, request: &str) -> Option<(u16, Vec<u8>)> {
    let address = (node.host.as_str(), node.admin_port())
        .to_socket_addrs()
        .ok()?
        .next()?;
    let mut stream = connect(address).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).ok()?;
    split_answer(answer)
}

/// What the node says about itself, if it answers.
pub(crate) fn status(node: &NodeSpec) -> Option<NodeStatus> {
    match get(node, "/status")? {
        (200, body) => serde_json::from_slice(&body).ok(),
        _ => None,
    }
}
