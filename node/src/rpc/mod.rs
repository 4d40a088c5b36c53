//! Talking to the other nodes: one connection a peer and direction, length-delimited frames of
//! [`wiber_protocol::rpc`], requests pipelined, answers paired by id.

pub mod appends;
mod frames;
pub mod link;
pub mod links;
pub mod names;
pub mod server;

use tokio_util::codec::LengthDelimitedCodec;
use wiber_protocol::rpc::MAX_FRAME_BYTES;

/// How frames are cut out of the stream: a 4-byte big-endian length, then the frame.
fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME_BYTES)
        .new_codec()
}
