//! A process ends between the rename of a file and the sync of its folder.

use wiber_storage::DiskOp;

use super::*;

/// What was lost: the node. Its log began after the cut, and the state as of there was gone with the power.
#[test]
fn a_state_as_of_the_cut_that_a_start_relies_on_outlives_a_power_loss() {
    // Which of what was not synced is lost differs.
    for power_loss in 0..8 {
        let mut model = Model::new();
        let mut node = Node::open(MemoryDisk::new());
        // Parts that have a file would be removed at the start, and the folder be synced for that.
        grow_unsaved(&mut node, &mut model, 3);
        node.commit(&model.cut(1).expect("two parts to cut"));
        let Some(Job::Cut { at, unsaved }) = node.state.jobs().1.cloned() else {
            panic!("the cut is to be kept");
        };
        node.disk.fail_next(DiskOp::DirSync);
        node.index
            .cut(at, &unsaved)
            .expect_err("the folder is not synced");
        node.disk.end_process();
        let mut node = node.restart();
        // The cut, and with it the log up to there.
        node.keep(1);
        assert_eq!(node.log.purged(), Some((at.term, at.index)));
        node.disk.crash(power_loss);
        check(&node.restart(), &model);
    }
}
