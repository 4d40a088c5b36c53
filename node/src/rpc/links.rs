//! The connections to all peers, made when first asked for and shared by everybody who talks to that peer.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wiber_protocol::membership::Member;

use super::{
    link::{Link, Local},
    transport::Transport,
};

/// One link per address. Members come and go with the configuration and the membership, so there are few.
pub struct Links {
    local: Arc<Local>,
    transport: Arc<dyn Transport>,
    stop: CancellationToken,
    by_member: Mutex<HashMap<Member, Link>>,
}

impl Links {
    pub fn new(local: Arc<Local>, transport: Arc<dyn Transport>, stop: CancellationToken) -> Self {
        Self {
            local,
            transport,
            stop,
            by_member: Mutex::new(HashMap::new()),
        }
    }

    /// The link to `member`; it starts connecting when it is made.
    pub fn to(&self, member: &Member) -> Link {
        let mut links = self.by_member.lock();
        if let Some(link) = links.get(member) {
            return link.clone();
        }
        let link = Link::start(
            member.clone(),
            self.local.clone(),
            self.transport.clone(),
            self.stop.clone(),
        );
        links.insert(member.clone(), link.clone());
        link
    }

    /// The link to `member` if somebody talks to it already.
    pub fn get(&self, member: &Member) -> Option<Link> {
        self.by_member.lock().get(member).cloned()
    }
}
