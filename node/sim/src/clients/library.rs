//! Programs that use the client library, as the gateway and the command line do: nothing here speaks the line protocol.
//! What the library promises beyond the node's own promises is checked: whoever is told that a message is not stored never
//! finds it, a subscription goes on without a gap wherever it was cut off, a request gets the reply to it.

mod member;
mod outside;
mod publisher;
mod reader;
mod request;
mod subscriber;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use wiber_client::{Client, ClientOptions};

use self::outside::SimulatedOutside;
use super::{Clients, PATTERNS, TOPICS};
use crate::{
    dice::Dice,
    oracle::{Oracle, Publish},
    world::World,
};

/// One program, with a client of its own.
pub(super) struct Program {
    clients: Clients,
    client: Client,
    name: String,
    dice: Dice,
}

impl Clients {
    /// Starts the programs.
    pub(super) fn start_library(&self) {
        for number in 0..2 {
            self.busy.fetch_add(1, Relaxed);
            tokio::spawn(self.program("lpub", number).publish());
        }
        self.busy.fetch_add(1, Relaxed);
        tokio::spawn(self.program("lask", 0).ask());
        for number in 0..2 {
            tokio::spawn(self.program("lsrv", number).serve());
            tokio::spawn(self.program("lmem", number).work());
        }
        tokio::spawn(self.program("lread", 0).read());
        tokio::spawn(self.program("lsub", 0).follow_topic(TOPICS[0]));
        tokio::spawn(self.program("lpat", 0).follow_pattern(PATTERNS[1]));
        tokio::spawn(self.program("lord", 0).follow_by_origin(PATTERNS[0]));
    }

    fn program(&self, kind: &str, number: u64) -> Program {
        let outside = SimulatedOutside::new(self, self.dice(kind, 1_000 + number));
        let config = &self.cluster.hosts[0].config;
        Program {
            clients: self.clone(),
            client: Client::within(Arc::new(outside), config, ClientOptions::default()),
            name: format!("{kind}{number}"),
            dice: self.dice(kind, number),
        }
    }
}

impl Program {
    fn world(&self) -> &World {
        &self.clients.cluster.world
    }

    fn oracle(&self) -> &Oracle {
        self.world().oracle()
    }

    fn asks(&self, publish: Publish) {
        self.oracle().asks(self.world(), publish);
    }

    /// Looks at the nodes if none is known to have this record.
    fn look_for(&self, topic: &str, offset: u64) {
        if self.oracle().high_watermark(topic) < offset {
            self.clients.cluster.look();
        }
    }

    fn fail(&self, text: &str) {
        self.world().fail(format!("{}: {text}", self.name));
    }
}
