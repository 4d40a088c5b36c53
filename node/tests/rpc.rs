//! What a node makes of peers that behave oddly: frames by hand to the RPC port of real processes.

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use support::{PATIENCE, cluster::Cluster, wait_for};
use wiber_protocol::{
    ids::{GroupId, RaftId},
    membership::Member,
    rpc::{Body, Frame, Header, JoinReply, JoinRequest, Request, Response},
};

/// Sends one request as a node that is in no cluster, and waits for the answer.
#[track_caller]
fn call(port: u16, from: RaftId, request: Request) -> Response {
    let header = Header {
        group: GroupId(0),
        cluster: None,
        from,
        target: None,
        rpc_id: 1,
        lamport: 0,
        traced: false,
    };
    let body = Body::Request(request);
    let frame = Frame { header, body }.encode();
    let mut stream = TcpStream::connect(("127.0.0.1", port + 1000)).expect("a node that listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = u32::try_from(frame.len()).expect("a small frame");
    stream
        .write_all(&length.to_be_bytes())
        .expect("a node that listens");
    stream.write_all(&frame).expect("a node that listens");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("an answer");
    match Frame::decode(answer.into()).expect("a frame").body {
        Body::Response(response) => response,
        Body::Request(request) => panic!("asked {request:?} instead of answering"),
    }
}

/// It asked to join, became a learner, and was never heard of again: its folder was wiped once more, say.
#[test]
fn a_joiner_that_vanished_gets_no_vote_and_stands_in_nobodys_way() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.wait_for_leader();
    let wiped = cluster.follower();
    cluster.kill(wiped);
    std::fs::remove_dir_all(cluster.node_folder(wiped)).expect("a data folder");
    let vanished = RaftId(0x1234_5678_9abc);
    let join = JoinRequest {
        raft_id: vanished,
        member: Member {
            name: Cluster::id(wiped),
            host: "127.0.0.1".to_owned(),
            port: cluster.port(wiped),
        },
    };
    let answer = call(cluster.port(leader), vanished, Request::Join(join));
    assert!(
        matches!(answer, Response::Join(JoinReply::Accepted(_))),
        "{answer:?}"
    );
    let peers = || {
        let status = cluster.status(leader)?;
        Some(status["peers"].as_array()?.clone())
    };
    let vanished = serde_json::to_value(vanished).expect("JSON");
    wait_for("it is a learner", PATIENCE, || {
        peers()?
            .iter()
            .any(|peer| peer["raft_id"] == vanished && peer["voter"] == false)
            .then_some(())
    });

    cluster.start_node(wiped);
    wait_for(
        "the next identity of that name is a voter, and the only one",
        PATIENCE,
        || {
            let status = cluster.status(leader)?;
            let peers = status["peers"].as_array()?;
            let ghost = peers.iter().find(|peer| peer["raft_id"] == vanished);
            assert!(
                ghost.is_none_or(|ghost| ghost["voter"] == false),
                "{ghost:?} votes"
            );
            (peers.len() == 2 && peers.iter().all(|peer| peer["voter"] == true)).then_some(())
        },
    );
    cluster.wait_for_leader();
    let answer = cluster.conn(wiped).ask("PUB t --id m-1 hello");
    assert!(answer.starts_with("OK "), "{answer}");
}
