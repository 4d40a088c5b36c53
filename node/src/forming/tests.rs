use super::*;

fn member(name: &str) -> Member {
    Member {
        name: name.into(),
        host: "127.0.0.1".into(),
        port: 9100 + u16::from(name.as_bytes()[1] - b'0'),
    }
}

fn three() -> Vec<Member> {
    ["n1", "n2", "n3"].map(member).to_vec()
}

fn blank(name: &str, id: u64) -> (Member, Option<ProbeReply>) {
    let reply = ProbeReply {
        name: name.into(),
        raft_id: RaftId(id),
        formed: None,
        configured: three(),
    };
    (member(name), Some(reply))
}

fn formed(name: &str, id: u64, cluster: u128, founders: &[u64]) -> (Member, Option<ProbeReply>) {
    let (member, reply) = blank(name, id);
    let founding = Membership {
        voter_sets: vec![founders.iter().map(|id| RaftId(*id)).collect()],
        members: founders.iter().map(|id| (RaftId(*id), member.clone())).collect(),
    };
    let cluster = FormedCluster {
        cluster_id: ClusterId(cluster),
        founding,
        awaited: Vec::new(),
    };
    (
        member,
        reply.map(|reply| ProbeReply {
            formed: Some(cluster),
            ..reply
        }),
    )
}

fn silent(name: &str) -> (Member, Option<ProbeReply>) {
    (member(name), None)
}

fn step(own: &str, id: u64, without: &[&str], answers: &[(Member, Option<ProbeReply>)]) -> Step {
    let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
    decide(&member(own), RaftId(id), &three(), &without, answers)
}

#[test]
fn with_one_node_missing_nobody_founds() {
    let missing = step("n1", 1, &[], &[blank("n2", 2), silent("n3")]);
    assert_eq!(
        missing,
        Step::Wait {
            missing: vec!["n3".into()]
        }
    );
}

#[test]
fn the_smallest_name_founds_with_everybody_and_the_others_wait_for_it() {
    let Step::Found { founding, awaited } = step("n1", 30, &[], &[blank("n2", 2), blank("n3", 3)]) else {
        panic!("n1 founds");
    };
    assert_eq!(founding.voter_sets, [[RaftId(2), RaftId(3), RaftId(30)].into()]);
    assert!(awaited.is_empty());
    let waits = step("n2", 2, &[], &[blank("n1", 30), blank("n3", 3)]);
    assert_eq!(waits, Step::WaitForFounder { name: "n1".into() });
}

#[test]
fn a_node_named_as_absent_is_awaited_and_not_a_founder() {
    let Step::Found { founding, awaited } = step("n1", 1, &["n3"], &[blank("n2", 2), silent("n3")]) else {
        panic!("n1 founds");
    };
    assert_eq!(founding.members.len(), 2);
    assert_eq!(awaited, [member("n3")]);
}

#[test]
fn a_founding_member_adopts_and_a_stranger_joins() {
    let answers = [formed("n2", 2, 7, &[1, 2, 3]), silent("n3")];
    assert!(
        matches!(step("n1", 1, &[], &answers), Step::Adopt(cluster) if cluster.cluster_id == ClusterId(7))
    );
    // The same name with a wiped folder has another id.
    assert_eq!(
        step("n1", 99, &[], &answers),
        Step::Join {
            through: member("n2")
        }
    );
}

#[test]
fn contradicting_answers_stop_the_forming() {
    let two = [formed("n2", 2, 7, &[2]), formed("n3", 3, 8, &[3])];
    assert!(matches!(step("n1", 1, &[], &two), Step::Conflict { .. }));
    let (at, reply) = blank("n2", 2);
    let wrong_name = reply.clone().map(|reply| ProbeReply {
        name: "n9".into(),
        ..reply
    });
    assert!(matches!(
        step("n1", 1, &[], &[(at.clone(), wrong_name), blank("n3", 3)]),
        Step::Conflict { .. }
    ));
    let other_list = reply.map(|reply| ProbeReply {
        configured: Vec::new(),
        ..reply
    });
    assert!(matches!(
        step("n1", 1, &[], &[(at, other_list), blank("n3", 3)]),
        Step::Conflict { .. }
    ));
}

#[test]
fn a_single_node_founds_alone() {
    let alone = decide(&member("n1"), RaftId(5), &[member("n1")], &[], &[]);
    assert!(matches!(alone, Step::Found { founding, .. } if founding.members.len() == 1));
}
