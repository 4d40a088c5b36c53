//! The node's listening ports, all taken before anything on disk is touched.

use std::{
    io,
    net::{TcpListener, ToSocketAddrs, UdpSocket},
};

use wiber_protocol::config::NodeSpec;

/// Connections the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1_024;

/// A port could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {host}:{port} ({purpose}): {source}")]
pub struct PortError {
    host: String,
    port: u16,
    purpose: &'static str,
    source: io::Error,
}

/// Bound and not yet served.
#[derive(Debug)]
pub struct Ports {
    pub client: TcpListener,
    pub admin: TcpListener,
    pub rpc: TcpListener,
    /// Time probes: the old form by lines …
    pub time_lines: TcpListener,
    /// … and datagrams.
    pub time: UdpSocket,
}

impl Ports {
    /// Takes all of `spec`'s ports or none.
    pub fn bind(spec: &NodeSpec) -> Result<Self, PortError> {
        Ok(Self {
            client: bind(spec, spec.port, "client port")?,
            admin: bind(spec, spec.admin_port(), "admin port, client port + 100")?,
            rpc: bind(spec, spec.rpc_port(), "node-to-node port, client port + 1000")?,
            time_lines: bind(spec, spec.time_port(), "time port, client port + 200")?,
            time: bind_with(
                spec,
                spec.time_port(),
                "time port, client port + 200, UDP",
                receive_on,
            )?,
        })
    }
}

fn bind(spec: &NodeSpec, port: u16, purpose: &'static str) -> Result<TcpListener, PortError> {
    bind_with(spec, port, purpose, listen_on)
}

/// Binds the first of the host's addresses that can be bound.
fn bind_with<T>(
    spec: &NodeSpec,
    port: u16,
    purpose: &'static str,
    bind_one: fn(std::net::SocketAddr) -> io::Result<T>,
) -> Result<T, PortError> {
    let listen = || {
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host name has no address");
        for address in (spec.host.as_str(), port).to_socket_addrs()? {
            match bind_one(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    listen().map_err(|source| PortError {
        host: spec.host.clone(),
        port,
        purpose,
        source,
    })
}

fn receive_on(address: std::net::SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn listen_on(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A node that was just killed leaves connections in TIME_WAIT; they must not keep it from coming back.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
