//! How frames get from one node to another: the seam between what nodes say and what carries it.

use std::{future::Future, io, pin::Pin};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream, StreamExt};
use tokio::net::TcpStream;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use wiber_protocol::{membership::Member, rpc::MAX_FRAME_BYTES};

/// What came in, one whole frame at a time; ends when the other side closed.
pub type FramesIn = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
/// What goes out; sent for sure only when flushed.
pub type FramesOut = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>;

/// Two ways of ordered frames between two nodes.
pub struct Connection {
    pub frames_in: FramesIn,
    pub frames_out: FramesOut,
}

/// What a connection to come looks like.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send + 'a>>;

/// Makes connections to other nodes.
pub trait Transport: Send + Sync {
    fn connect<'a>(&'a self, member: &'a Member) -> Connecting<'a>;
}

/// Frames over TCP: a 4-byte big-endian length, then the frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect<'a>(&'a self, member: &'a Member) -> Connecting<'a> {
        Box::pin(async move {
            let rpc_port = member.port + wiber_protocol::config::RPC_PORT_OFFSET;
            over_tcp(TcpStream::connect((member.host.as_str(), rpc_port)).await?)
        })
    }
}

pub(super) fn over_tcp(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok(Connection {
        frames_in: Box::pin(FramedRead::new(read, codec()).map(|frame| frame.map(BytesMut::freeze))),
        frames_out: Box::pin(FramedWrite::new(write, codec())),
    })
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME_BYTES)
        .new_codec()
}
