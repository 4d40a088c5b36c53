//! Members of a group that nobody moves or deletes.

use std::time::Duration;

use wiber_client::{AckError, GroupOptions, Member, MemberEvent, RecordLine, SubscribeStart};

use super::Program;
use crate::{
    clients::TOPICS,
    count::Count,
    oracle::{HandOut, Shown},
    say,
};

const GROUP: &str = "lib";

impl Program {
    pub(super) async fn work(self) {
        let topic = self.clients.dice("libgroup", 0).pick(&TOPICS);
        let options = GroupOptions::new()
            .start(SubscribeStart::Beginning)
            .ack_timeout(Duration::from_millis(self.dice.pick(&[200, 600, 1_500])))
            .max_deliveries(20)
            .max_in_flight(self.dice.pick(&[1, 4, 30]));
        loop {
            match self.client.join(topic, GROUP, options) {
                Ok(member) => self.take_part(topic, member).await,
                Err(error) => return self.fail(&format!("cannot join: {error}")),
            }
        }
    }

    async fn take_part(&self, topic: &str, mut member: Member) {
        while let Some(event) = member.next().await {
            match event {
                MemberEvent::Record(record) => {
                    let Some(handed_out) = self.handed_out(topic, GROUP, (*record).clone()) else {
                        return;
                    };
                    say!(self.world(), self.name, "{handed_out:?}");
                    let what = if self.clients.is_winding_down() {
                        0
                    } else {
                        self.dice.between(0, 100)
                    };
                    match what {
                        0..75 => self.acknowledge(topic, &member, &record).await,
                        75..85 => member.nack(&record).await,
                        85..98 => self.world().count(Count::GroupForgotten),
                        _ => return self.world().count(Count::GroupVanished),
                    }
                }
                MemberEvent::Joined { node } => say!(self.world(), self.name, "joined at {node}"),
                MemberEvent::Skipped { last, .. } => {
                    self.clients.cluster.look();
                    self.oracle().dropped(self.world(), topic, last + 1, &self.name);
                }
                MemberEvent::Disconnected { reason } => say!(self.world(), self.name, "{reason}"),
                MemberEvent::Ended { reason } => self.fail(&format!("the group has ended: {reason}")),
            }
        }
    }

    async fn acknowledge(&self, topic: &str, member: &Member, record: &RecordLine) {
        let acked = member.ack(record).await;
        say!(self.world(), self.name, "ack {}: {acked:?}", record.offset);
        match acked {
            Ok(()) => {
                self.world().count(Count::LibraryAcked);
                self.oracle().group_acked(topic, GROUP, record.offset);
            }
            Err(AckError::Unknown(_) | AckError::Unavailable(_)) => {}
            Err(error) => self.fail(&format!("cannot acknowledge {}: {error}", record.offset)),
        }
    }

    /// Tells the oracle of a record that was handed out here; `None` if it does not belong here.
    pub(super) fn handed_out(&self, topic: &str, group: &str, record: RecordLine) -> Option<HandOut> {
        let text = format!("{record:?}");
        let Some((shown, of, delivery)) = Shown::handed_out_of(record) else {
            self.fail(&format!("{text} without a group"));
            return None;
        };
        if of != group || shown.topic != topic {
            self.fail(&format!("{text} for a member of {group} of {topic}"));
            return None;
        }
        let handed_out = HandOut {
            topic: topic.to_owned(),
            group: of,
            offset: shown.offset,
            delivery,
        };
        self.oracle().handed_out(handed_out.clone(), &self.name);
        self.oracle().shown(self.world(), shown, &self.name);
        Some(handed_out)
    }
}
