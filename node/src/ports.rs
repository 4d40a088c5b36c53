//! The node's listening ports, all taken before anything on disk is touched.

use std::{
    io,
    net::{TcpListener, ToSocketAddrs},
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
}

impl Ports {
    /// Takes all of `spec`'s ports or none.
    pub fn bind(spec: &NodeSpec) -> Result<Self, PortError> {
        Ok(Self {
            client: bind(spec, spec.port, "client port")?,
            admin: bind(spec, spec.admin_port(), "admin port, client port + 100")?,
            rpc: bind(spec, spec.rpc_port(), "node-to-node port, client port + 1000")?,
        })
    }
}

fn bind(spec: &NodeSpec, port: u16, purpose: &'static str) -> Result<TcpListener, PortError> {
    let listen = || {
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host name has no address");
        for address in (spec.host.as_str(), port).to_socket_addrs()? {
            match listen_on(address) {
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
