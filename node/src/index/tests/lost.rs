//! A part's file goes while the node runs.

use super::*;

fn remove(node: &Node, first: u64) -> Vec<u8> {
    let path = Path::new("/index").join(part_name(first));
    let bytes = node.disk.contents()[&path].clone();
    node.disk.remove(&path);
    bytes
}

/// Forgets what was read, as other readers make it do.
fn forget(node: &Node) {
    node.index.cached.lock().clear();
}

#[test]
fn it_is_made_again_for_a_reader() {
    let (node, model) = grown(4);
    let firsts: Vec<u64> = model.state.parts().map(|part| part.first_index).collect();
    for gone in [&firsts[..1], &firsts[2..3], &firsts[1..3], &firsts[..]] {
        let before: Vec<Vec<u8>> = gone.iter().map(|first| remove(&node, *first)).collect();
        forget(&node);
        check(&node, &model);
        for (first, before) in gone.iter().zip(before) {
            assert_eq!(
                node.disk.contents()[&Path::new("/index").join(part_name(*first))],
                before
            );
        }
    }
}

/// What was lost: the ids of the missing part, so that this node took their retries for new.
#[test]
fn it_is_made_again_for_a_cut() {
    for at in 0..3 {
        let (mut node, mut model) = grown(4);
        let first = model.state.parts().nth(at).expect("four parts").first_index;
        remove(&node, first);
        node.commit(&model.cut(2).expect("three parts to cut"));
        node.keep(usize::MAX);
        check(&node, &model);
        let node = node.restart();
        check(&node, &model);
    }
}

#[test]
fn one_from_before_the_cut_stays_away() {
    let (mut node, mut model) = grown(3);
    let firsts: Vec<u64> = model.state.parts().map(|part| part.first_index).collect();
    node.commit(&model.cut(1).expect("two parts to cut"));
    node.keep(usize::MAX);
    for first in &firsts[..2] {
        let error = node.index.tables(*first).expect_err("it is gone");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(node.index.part_firsts().expect("a folder"), firsts[2..]);
}

#[test]
fn one_under_another_name_is_no_part() {
    let (node, model) = grown(3);
    let firsts: Vec<u64> = model.state.parts().map(|part| part.first_index).collect();
    let other = remove(&node, firsts[1]);
    node.disk
        .put(&Path::new("/index").join(part_name(firsts[2])), other);
    forget(&node);
    check(&node, &model);
    let node = node.restart();
    check(&node, &model);
}
