//! What the index does on a full disk.

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::*;

/// What was lost: a node that was started with more unsaved parts than may wait answered nothing.
#[tokio::test]
async fn more_parts_wait_in_memory_while_the_disk_is_full() {
    let mut model = Model::new();
    let mut node = Node::open(MemoryDisk::new());
    grow_unsaved(&mut node, &mut model, 8);
    node.disk.set_room(Some(0));
    let Node {
        disk,
        state,
        index,
        log: _log,
        writer: _writer,
    } = node;
    assert!(!index.may_go_on(&state), "a slow disk is waited for");
    let (state, index) = (Arc::new(RwLock::new(state)), Arc::new(index));
    let (work, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let keeper = Keeper {
        state: state.clone(),
        index: index.clone(),
        work: work.clone(),
        done: done.clone(),
        flushed: watch::Sender::new(Some(u64::MAX)).subscribe(),
        cut: watch::Sender::new(None),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    let until = async |reached: &dyn Fn(&State) -> bool| {
        loop {
            let moved = done.notified();
            if reached(&state.read()) {
                return;
            }
            moved.await;
        }
    };
    until(&|state| index.may_go_on(state)).await;
    assert_eq!(state.read().jobs().0, 8);

    disk.set_room(None);
    until(&|state| state.jobs().0 == 0).await;
    stop.cancel();
    running.await.expect("no panic").expect("it only waited");
}

/// What was lost: all that retention could have made room for. Records that nobody keeps filled the disk for good.
#[test]
fn retention_goes_on_without_room() {
    let (mut node, mut model) = grown(3);
    grow_unsaved(&mut node, &mut model, 6);
    for parts in [1, 2] {
        // Some have a file and some have none.
        let entry = model.cut(parts).expect("enough parts");
        node.commit(&entry);
        node.disk.set_room(Some(0));
        node.keep(1);
        assert_eq!(
            node.index
                .snapshot()
                .expect("it reads")
                .expect("a cut")
                .checkpoint
                .applied,
            model.state.cut
        );
    }
    assert_eq!(node.index.part_firsts().expect("a folder"), [0; 0]);
    node.disk.set_room(None);
    node.keep(usize::MAX);
    check(&node, &model);
    let node = node.restart();
    check(&node, &model);
}

#[test]
fn a_restart_keeps_room_for_the_next_cut() {
    let (node, mut model) = grown(4);
    let mut node = node.restart();
    let entry = model.cut(2).expect("enough parts");
    node.commit(&entry);
    node.disk.set_room(Some(0));
    node.keep(usize::MAX);
    check(&node, &model);
}

#[test]
fn a_part_that_does_not_fit_takes_no_room() {
    let (mut node, mut model) = grown(1);
    grow_unsaved(&mut node, &mut model, 2);
    let Some(Job::Save(part)) = node.state.jobs().1.cloned() else {
        panic!("the second part is not saved");
    };
    node.index.make_room(4_096).expect("there is room");
    node.disk.set_room(Some(100));
    let before = node.disk.contents();
    let error = node.index.save(&part).expect_err("it does not fit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(node.disk.contents(), before);
    let error = node.index.make_room(1 << 20).expect_err("it does not fit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(node.disk.contents(), before);
    node.disk.set_room(Some(0));
    node.index.make_room(4_096).expect("it was kept");
}
