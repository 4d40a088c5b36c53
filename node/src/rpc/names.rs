//! Which name belongs to which Raft id: from memberships and from what nodes say of themselves.
//!
//! Only for people and for the trace. Whether a frame is accepted depends on ids alone.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use wiber_protocol::{ids::RaftId, membership::Membership};

/// The most ids remembered; a folder that is wiped again and again makes a new one each time, and the
/// smallest numbers go first then.
const MAX_NAMES: usize = 256;

#[derive(Default)]
pub struct Names(RwLock<BTreeMap<RaftId, String>>);

impl Names {
    pub fn learn(&self, id: RaftId, name: &str) {
        if self.0.read().get(&id).is_some_and(|known| known == name) {
            return;
        }
        let mut names = self.0.write();
        if names.len() >= MAX_NAMES {
            names.pop_first();
        }
        names.insert(id, name.to_owned());
    }

    pub fn learn_all(&self, membership: &Membership) {
        for (id, member) in &membership.members {
            self.learn(*id, &member.name);
        }
    }

    /// The name, or the id itself where nobody has said it yet.
    pub fn of(&self, id: RaftId) -> String {
        self.0.read().get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}
