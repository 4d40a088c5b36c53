//! Requests, and who answers them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use wiber_client::{GroupOptions, PublishError, RecordLine, RequestError, ServeError, SubscribeStart};
use wiber_protocol::line::HEADER_CORRELATION_ID;

use super::Program;
use crate::{
    clients::Clients,
    count::Count,
    oracle::{Headers, Ids, Publish, Shown},
    say,
};

const TOPIC: &str = "ask.lib";
const GROUP: &str = "servers";

impl Clients {
    /// Asks until there is a reply.
    pub async fn get_reply(&self) {
        let program = self.program("lask", self.probe());
        let made = AtomicU64::new(0);
        while !program.ask_once(&made).await {}
    }
}

impl Program {
    pub(super) async fn ask(self) {
        let made = AtomicU64::new(0);
        while !self.clients.is_winding_down() {
            tokio::time::sleep(self.dice.pause(5, 300)).await;
            self.ask_once(&made).await;
        }
        self.clients.busy.fetch_sub(1, Relaxed);
    }

    /// Whether there was a reply.
    async fn ask_once(&self, made: &AtomicU64) -> bool {
        let key = format!("{}-{}", self.name, made.fetch_add(1, Relaxed));
        let text = format!("{key} what?");
        self.asks(Publish {
            topic: TOPIC.to_owned(),
            body: text.clone().into_bytes(),
            headers: Headers::OfRequest,
            ids: Ids::Library,
        });
        let timeout_ms = self.dice.pick(&[300, 2_000, 6_000]);
        let reply = self
            .client
            .request(TOPIC, text.clone(), Duration::from_millis(timeout_ms))
            .await;
        say!(self.world(), self.name, "{key}: {reply:?}");
        self.clients.cluster.look();
        match reply {
            Ok(reply) => {
                if !reply.text.ends_with(&format!(" to {text}")) {
                    self.fail(&format!("{text} is replied to with {reply:?}"));
                }
                self.world().count(Count::Replied);
                self.oracle().shown(self.world(), Shown::of(reply), &self.name);
                return true;
            }
            Err(RequestError::NoReply) => self.world().count(Count::NoReply),
            Err(RequestError::NoInbox(_) | RequestError::NotPublished(PublishError::Unavailable(_))) => {
                self.oracle().refused(self.world(), &key, &self.name);
            }
            Err(error) => self.fail(&format!("{text}: {error}")),
        }
        false
    }

    pub(super) async fn serve(self) {
        let options = GroupOptions::new()
            .start(SubscribeStart::Beginning)
            .ack_timeout(Duration::from_millis(self.dice.pick(&[300, 1_500])))
            .max_deliveries(20);
        let made = AtomicU64::new(0);
        loop {
            let answer = async |request: RecordLine| self.answer(&request, &made);
            match self.client.serve(TOPIC, GROUP, options, answer).await {
                Err(ServeError::Reply(_) | ServeError::Ack(_)) => {}
                ended => self.fail(&format!("serving ends with {ended:?}")),
            }
        }
    }

    /// The reply to a request; sometimes there is none.
    fn answer(&self, request: &RecordLine, made: &AtomicU64) -> Option<String> {
        self.look_for(TOPIC, request.offset);
        let handed_out = self.handed_out(TOPIC, GROUP, request.clone())?;
        say!(self.world(), self.name, "{handed_out:?}");
        if !self.clients.is_winding_down() && self.dice.permille(50) {
            return None;
        }
        let number = made.fetch_add(1, Relaxed);
        let text = format!("{}-{number} to {}", self.name, request.text);
        let header = |key: &str| request.headers.get(key).cloned().unwrap_or_default();
        self.asks(Publish {
            topic: header(wiber_protocol::line::HEADER_REPLY_TO),
            body: text.clone().into_bytes(),
            headers: Headers::These(vec![(
                HEADER_CORRELATION_ID.to_owned(),
                header(HEADER_CORRELATION_ID),
            )]),
            ids: Ids::Library,
        });
        Some(text)
    }
}
