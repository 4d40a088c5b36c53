//! What happens to single frames.

use bytes::Bytes;
use std::time::Duration;
use wiber_protocol::{
    event::RpcKind,
    rpc::{Body, Frame},
};

use super::{Network, pipe::Pipe};
use crate::{count::Count, say};

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Every frame takes up to so long.
    pub latency_ms: u64,
    /// Chances of a thousand.
    pub drop: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: u64,
    /// What a delayed or reordered frame takes longer at most.
    pub delay_ms: u64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            latency_ms: 1,
            drop: 0,
            duplicate: 0,
            reorder: 0,
            delay: 0,
            delay_ms: 0,
        }
    }
}

/// What the protocol must stand for a kind of frame, beyond what TCP lets happen.
#[derive(Clone, Copy)]
struct Stands {
    loss: bool,
    repetition: bool,
    overtaking: bool,
}

fn stands(body: &Body) -> Stands {
    let all = |yes| Stands {
        loss: yes,
        repetition: yes,
        overtaking: yes,
    };
    match body {
        Body::Request(request) => match request.kind() {
            RpcKind::Heartbeat
            | RpcKind::Vote
            | RpcKind::PreVote
            | RpcKind::Probe
            | RpcKind::Join
            | RpcKind::ReadIndex => all(true),
            // An append builds on the one before: the engine takes one that overtook as a sign of lost entries.
            RpcKind::Append => Stands {
                loss: true,
                repetition: true,
                overtaking: false,
            },
            // A piece of a snapshot follows the one before.
            RpcKind::Snapshot | RpcKind::Transfer => Stands {
                loss: true,
                repetition: false,
                overtaking: false,
            },
            // Records of one client keep their order, and nobody asks again for a lost answer.
            RpcKind::Forward => all(false),
        },
        // Answers are paired by id; one that is missing is noticed by whoever waits, with a time limit.
        Body::Response(response) => Stands {
            loss: !matches!(response.kind(), Some(RpcKind::Forward) | None),
            repetition: true,
            overtaking: true,
        },
    }
}

impl Network {
    /// Puts a frame on its way, or not.
    pub(super) fn carry(&self, pipe: &Pipe, frame: Bytes) {
        let world = &self.0.world;
        let names = (&self.0.names[pipe.from], &self.0.names[pipe.to]);
        let decoded = match Frame::decode(frame.clone()) {
            Ok(decoded) => decoded,
            Err(error) => {
                return world.fail(format!("{} sent a frame that nobody can read: {error}", names.0));
            }
        };
        self.tap(pipe.from, &decoded);
        let noise = self.0.state.lock().noise;
        let stands = stands(&decoded.body);
        let dice = &self.0.dice;
        let mut fate = "";
        let mut after = self.latency();
        let mut keeps_order = true;
        if dice.permille(noise.drop) {
            if stands.loss {
                world.count(Count::FrameDropped);
                say!(world, names.0, "→ {} {} LOST", names.1, brief(&decoded));
                return;
            }
            if dice.permille(200) {
                world.count(Count::ConnectionReset);
                say!(
                    world,
                    names.0,
                    "→ {} {} LOST with its connection",
                    names.1,
                    brief(&decoded)
                );
                return self.reset(pipe.connection);
            }
        }
        if dice.permille(noise.delay) {
            world.count(Count::FrameDelayed);
            after += Duration::from_millis(dice.between(1, noise.delay_ms + 2));
            fate = " late";
        }
        if stands.overtaking && dice.permille(noise.reorder) {
            world.count(Count::FrameReordered);
            after += Duration::from_millis(dice.between(1, noise.delay_ms + 2));
            keeps_order = false;
            fate = " may be overtaken";
        }
        if stands.repetition && dice.permille(noise.duplicate) {
            world.count(Count::FrameDuplicated);
            fate = " twice";
            pipe.put(frame.clone(), after, keeps_order);
            pipe.put_again(
                frame,
                after + Duration::from_millis(dice.between(0, noise.delay_ms + 2)),
            );
        } else {
            pipe.put(frame, after, keeps_order);
        }
        say!(world, names.0, "→ {} {}{fate}", names.1, brief(&decoded));
    }
}

/// A frame in a few words.
fn brief(frame: &Frame) -> impl std::fmt::Display + '_ {
    struct Brief<'a>(&'a Frame);
    impl std::fmt::Display for Brief<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let id = self.0.header.rpc_id & 0xffff;
            match &self.0.body {
                Body::Request(request) => super::tap::request(f, request)?,
                Body::Response(response) => super::tap::response(f, response)?,
            }
            write!(f, " #{id:04x} L{}", self.0.header.lamport)
        }
    }
    Brief(frame)
}
