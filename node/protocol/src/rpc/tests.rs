use proptest::prelude::*;

use super::*;
use crate::{
    ids::{LogId, Vote},
    membership::{Member, Membership},
};

fn header() -> Header {
    Header {
        group: GroupId(0),
        cluster: Some(ClusterId(77)),
        from: RaftId(1),
        target: Some(RaftId(2)),
        rpc_id: 99,
        lamport: 1234,
        traced: true,
    }
}

fn samples() -> Vec<Body> {
    let requests = requests().into_iter().map(Body::Request);
    requests
        .chain(responses().into_iter().map(Body::Response))
        .collect()
}

/// What the samples are made of.
struct Parts {
    vote: Vote,
    log_id: Option<LogId>,
    member: Member,
    membership: Membership,
    formed: FormedCluster,
}

fn parts() -> Parts {
    let vote = Vote {
        term: 3,
        voted_for: RaftId(1),
        committed: true,
    };
    let log_id = Some(LogId { term: 2, index: 40 });
    let member = Member {
        name: "n1".into(),
        host: "127.0.0.1".into(),
        port: 9101,
    };
    let membership = Membership {
        voter_sets: vec![[RaftId(1)].into()],
        members: [(RaftId(1), member.clone())].into(),
    };
    let formed = FormedCluster {
        cluster_id: ClusterId(5),
        founding: membership.clone(),
        awaited: vec![member.clone()],
    };
    Parts {
        vote,
        log_id,
        member,
        membership,
        formed,
    }
}

fn requests() -> Vec<Request> {
    let Parts {
        vote,
        log_id,
        member,
        membership,
        ..
    } = parts();
    vec![
        Request::Probe(ProbeRequest {
            name: "n1".into(),
            configured: vec![member.clone()],
        }),
        Request::Join(JoinRequest {
            raft_id: RaftId(9),
            member: member.clone(),
        }),
        Request::Append(AppendRequest {
            vote,
            prev: log_id,
            leader_commit: None,
            entries: vec![Bytes::from_static(b"one"), Bytes::from_static(b"")],
        }),
        Request::Heartbeat(AppendRequest {
            vote,
            prev: log_id,
            leader_commit: log_id,
            entries: vec![],
        }),
        Request::Vote(VoteRequest {
            vote,
            last: log_id,
            leadership_transfer: true,
        }),
        Request::PreVote(VoteRequest {
            vote,
            last: None,
            leadership_transfer: false,
        }),
        Request::Transfer(TransferRequest {
            from_leader: vote,
            to: RaftId(3),
            last: log_id,
        }),
        Request::Snapshot(SnapshotChunk {
            vote,
            last: log_id,
            membership_log_id: None,
            membership,
            total_bytes: 10,
            offset: 4,
            data: Bytes::from_static(b"piece"),
        }),
        Request::Forward(ForwardRequest {
            term: 4,
            records: Bytes::from_static(b"batch"),
        }),
        Request::ReadIndex,
    ]
}

fn responses() -> Vec<Response> {
    let Parts {
        vote,
        log_id,
        member,
        formed,
        ..
    } = parts();
    vec![
        Response::Probe(ProbeReply {
            name: "n2".into(),
            raft_id: RaftId(2),
            formed: Some(formed.clone()),
            configured: vec![],
        }),
        Response::Join(JoinReply::Accepted(formed)),
        Response::Join(JoinReply::NotLeader(Some(member))),
        Response::Join(JoinReply::Refused("no".into())),
        Response::Append(AppendReply::Stored(log_id)),
        Response::Append(AppendReply::Conflict(LogId { term: 1, index: 2 })),
        Response::Append(AppendReply::HigherVote(vote)),
        Response::Vote(VoteReply {
            vote,
            last: log_id,
            granted: true,
        }),
        Response::PreVote(VoteReply {
            vote,
            last: None,
            granted: false,
        }),
        Response::Transfer(TransferReply::Accepted),
        Response::Transfer(TransferReply::VoteChanged {
            expected: vote,
            actual: vote,
        }),
        Response::Transfer(TransferReply::LogNotFlushed {
            expected: log_id,
            actual: None,
        }),
        Response::Snapshot(vote),
        Response::Forward(ForwardReply::Done(vec![
            PublishOutcome::Published {
                offset: 1,
                lamport: 2,
            },
            PublishOutcome::Duplicate { offset: 3 },
            PublishOutcome::Conflict,
        ])),
        Response::Forward(ForwardReply::NotLeader),
        Response::Forward(ForwardReply::Unknown("why".into())),
        Response::Forward(ForwardReply::NoRoom),
        Response::ReadIndex(ReadIndexReply::Ready(log_id.expect("one"))),
        Response::ReadIndex(ReadIndexReply::NotLeader),
        Response::ReadIndex(ReadIndexReply::Failed("why".into())),
        Response::Refused("another cluster".into()),
    ]
}

#[test]
fn every_body_reads_back() {
    for body in samples() {
        let frame = Frame {
            header: header(),
            body,
        };
        assert_eq!(Frame::decode(frame.encode()).as_ref(), Ok(&frame));
    }
}

#[test]
fn a_cut_frame_never_panics_and_a_longer_one_is_refused() {
    for body in samples() {
        // A forward's records run to the end of the frame: their own codec notices a cut.
        let self_delimiting = !matches!(body, Body::Request(Request::Forward(_)));
        let bytes = Frame {
            header: header(),
            body,
        }
        .encode();
        for len in 0..bytes.len() {
            let cut = Frame::decode(bytes.slice(..len));
            assert!(
                cut.is_err() || !self_delimiting,
                "{len} of {} bytes were enough",
                bytes.len()
            );
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(Frame::decode(longer.into()).is_err() || !self_delimiting);
    }
}

proptest! {
    #[test]
    fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::decode(bytes.into());
    }

    #[test]
    fn a_damaged_frame_never_panics(which in 0..29_usize, at: prop::sample::Index, value: u8) {
        let samples = samples();
        let body = samples[which % samples.len()].clone();
        let mut bytes = Frame { header: header(), body }.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = Frame::decode(bytes.into());
    }
}
