//! A snapshot comes while the keeper still holds parts from before it.

use super::*;

/// A node that has two parts, of which only the first is saved, and then gets a snapshot of all that another one has.
/// Its keeper may still hold the second.
fn overtaken() -> (Node, Model, Arc<SealedPart>) {
    let (mut ahead, mut model) = grown(2);
    let mut node = Node::open(MemoryDisk::new());
    for stored in ahead.log.read(0, u64::MAX, usize::MAX).expect("it reads") {
        node.commit(&Entry::decode(stored.bytes).expect("a whole entry"));
    }
    node.keep(1);
    let Some(Job::Save(held)) = node.state.jobs().1.cloned() else {
        panic!("the second part is not saved");
    };
    // The ids of the parts above are forgotten by then, and others are not.
    while model.state.parts().count() < 6 {
        let id = u8::try_from(model.next_index).expect("few entries");
        ahead.commit(&model.publish(&[(0, id, 0), (1, id, 1)]));
    }
    ahead.commit(&model.cut(5).expect("six parts"));
    ahead.keep(usize::MAX);
    let snapshot = ahead
        .index
        .snapshot()
        .expect("it reads")
        .expect("there was a cut");
    let next = snapshot.checkpoint.applied.expect("a position").index + 1;
    node.install(snapshot);
    let rest = ahead.log.read(next, u64::MAX, usize::MAX).expect("it reads");
    for stored in rest {
        node.commit(&Entry::decode(stored.bytes).expect("a whole entry"));
    }
    (node, model, held)
}

/// What was lost: ids, so that a retry was published twice on this node and refused on the others.
fn remembers_the_same_after_a_cut(mut node: Node, mut model: Model) {
    while model.state.parts().count() < 1 {
        let id = u8::try_from(model.next_index).expect("few entries");
        node.commit(&model.publish(&[(0, id, 0), (1, id, 1)]));
    }
    node.commit(&model.cut(0).expect("a part"));
    node.keep(usize::MAX);
    check(&node, &model);
    let node = node.restart();
    check(&node, &model);
}

#[test]
fn a_part_that_is_saved_after_a_snapshot_came_stays_out() {
    let (node, model, held) = overtaken();
    node.index.save(&held).expect("there is nothing to do");
    remembers_the_same_after_a_cut(node, model);
}

#[test]
fn a_file_from_before_the_cut_says_nothing() {
    let (node, model, held) = overtaken();
    node.index.write(&held).expect("it is written");
    remembers_the_same_after_a_cut(node, model);
}

#[test]
fn a_part_made_again_does_not_follow_from_a_file_before_the_cut() {
    let (mut node, mut model, held) = overtaken();
    while model.state.parts().count() < 1 {
        let id = u8::try_from(model.next_index).expect("few entries");
        node.commit(&model.publish(&[(0, id, 0), (1, id, 1)]));
    }
    node.keep(usize::MAX);
    let first = model.state.parts().next().expect("a part").first_index;
    let path = Path::new("/index").join(part_name(first));
    let sound = node.disk.contents()[&path].clone();
    node.index.write(&held).expect("it is written");
    node.disk.flip_byte(&path, sound.len() - 1);
    node.index.tables(first).expect("it is made again");
    assert_eq!(node.disk.contents()[&path], sound);
}
