//! The live picture takes in frames as the gateway sends them, and paints what it should when it should.

use leptos::prelude::*;
use wiber_protocol::status::Role;

use super::{Live, TraceMark};
use crate::{
    cluster::fixture::{at_positions, cluster, live as live_node},
    view::{Change, Happening, NodeView},
};

/// A picture of a leader and a follower, within an owner that outlives it.
fn picture() -> (Owner, Live) {
    let owner = Owner::new();
    let live = owner.with(|| {
        Live::from_view(cluster(&[
            at_positions(live_node("n1", Role::Leader, 1), [5; 4]),
            at_positions(live_node("n2", Role::Follower, 1), [5; 4]),
        ]))
    });
    (owner, live)
}

fn moved(node: NodeView) -> Change {
    Change {
        nodes: vec![node],
        ..Change::default()
    }
}

fn commit(live: Live, id: &str) -> u64 {
    live.node(id).status.map_or(0, |status| status.commit_index)
}

#[test]
fn a_new_position_waits_for_paint_and_a_new_role_is_urgent() {
    let (_owner, live) = picture();
    let further = at_positions(live_node("n2", Role::Follower, 1), [6; 4]);
    assert_eq!(live.take_change(2, 1_041_010, moved(further)), Ok(()));
    assert!(!live.is_urgent());
    assert_eq!(commit(live, "n2"), 5);
    live.paint();
    assert_eq!(commit(live, "n2"), 6);

    let elected = at_positions(live_node("n2", Role::Leader, 2), [6; 4]);
    assert_eq!(live.take_change(3, 1_041_020, moved(elected)), Ok(()));
    assert!(live.is_urgent());
}

#[test]
fn a_frame_left_out_is_noticed_and_changes_nothing() {
    let (_owner, live) = picture();
    let further = at_positions(live_node("n2", Role::Follower, 1), [6; 4]);
    assert!(live.take_change(3, 1_041_010, moved(further)).is_err());
    live.paint();
    assert_eq!(commit(live, "n2"), 5);
}

#[test]
fn a_pause_holds_the_picture_and_resuming_brings_the_newest() {
    let (_owner, live) = picture();
    live.set_paused(true);
    let happening = Happening {
        seq: 1,
        at_ms: 0,
        node: None,
        term: 1,
        text: "n2 ended.".into(),
        alarm: true,
    };
    let change = Change {
        nodes: vec![at_positions(live_node("n2", Role::Follower, 1), [7; 4])],
        happenings: vec![happening],
        ..Change::default()
    };
    assert_eq!(live.take_change(2, 1_041_010, change), Ok(()));
    assert!(live.happenings().is_empty());
    assert_eq!(commit(live, "n2"), 5);
    live.set_paused(false);
    assert_eq!(live.happenings().len(), 1);
    assert_eq!(commit(live, "n2"), 7);
}

#[test]
fn one_nodes_change_repaints_no_other_row() {
    let (owner, live) = picture();
    let repaints = owner.with(|| {
        let row = Memo::new(move |before: Option<&u32>| {
            live.node("n1");
            before.map_or(0, |count| count + 1)
        });
        row.get_untracked();
        row
    });
    let further = at_positions(live_node("n2", Role::Follower, 1), [6; 4]);
    assert_eq!(live.take_change(2, 1_041_010, moved(further)), Ok(()));
    live.paint();
    assert_eq!(repaints.get_untracked(), 0);
    let further = at_positions(live_node("n1", Role::Leader, 1), [6; 4]);
    assert_eq!(live.take_change(3, 1_041_020, moved(further)), Ok(()));
    live.paint();
    assert_eq!(repaints.get_untracked(), 1);
}

#[test]
fn a_snapshot_starts_the_trace_anew_and_may_bring_other_nodes() {
    let (_owner, live) = picture();
    let mut view = cluster(&[
        live_node("n1", Role::Leader, 1),
        live_node("n7", Role::Learner, 1),
    ]);
    view.seq = 90;
    live.take_snapshot(view);
    assert_eq!(live.node_ids(), ["n1", "n7"]);
    assert_eq!(live.trace_mark(), TraceMark { epoch: 1, arrived: 0 });
    assert_eq!(live.take_change(91, 1_041_010, Change::default()), Ok(()));
}
