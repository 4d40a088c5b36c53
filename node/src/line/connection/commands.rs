//! What a client said, understood: publishes are stamped, everything else is a step for the responder.

use bytes::Bytes;
use wiber_protocol::{
    group_op::{GroupAction, GroupOp},
    line::{Command, CommandError, Line, LineError, LineSplitter, PublishCommand, looks_like_http},
    record::Record,
};

use super::{super::responder::Step, Reader};

/// A publish without its body.
pub(super) struct Announced {
    topic: String,
    id: Option<String>,
    headers: Vec<(String, String)>,
    expect: Option<u64>,
}

/// Whether the connection goes on.
pub(super) enum Next {
    More,
    /// Answer what is pending, then end.
    Finish,
    /// End now.
    Drop,
}

impl Reader {
    pub(super) async fn line(&mut self, line: Line, is_first: bool, lines: &mut LineSplitter) -> Next {
        let Line::Text(text) = line else {
            let refused = self.refuse(LineError::TOO_LONG).await;
            // A first line this long may be an HTTP request, and what follows it a page's commands.
            return if is_first { finish(refused) } else { more(refused) };
        };
        if is_first && looks_like_http(&text) {
            tracing::warn!(target: "publish", "closed a connection that speaks HTTP to the client port");
            return Next::Drop;
        }
        let command = match Command::parse(&text) {
            Ok(command) => command,
            Err(CommandError::Line(error)) => return more(self.refuse(error).await),
            Err(CommandError::Publish(wrong)) => {
                let refused = self.refuse(wrong.error).await;
                // What follows may be any bytes: commands must not be looked for among them.
                let Some(bytes) = wrong.body_bytes else {
                    return finish(refused);
                };
                lines.skip_body(bytes);
                return more(refused);
            }
        };
        match command {
            Command::Pub { topic, id, text } => {
                if text.len() > self.clients.max_message_bytes {
                    return more(self.refuse_large().await);
                }
                let body = Bytes::copy_from_slice(text.as_bytes());
                self.publish(topic, |stamper, moment, topic| {
                    stamper.record(moment, topic, id, body)
                });
                more(self.submit_if_full().await)
            }
            Command::Publish(publish) => self.announce(&publish, lines).await,
            Command::Ack {
                topic,
                group,
                first,
                last,
            } => {
                let offsets = vec![first..=last];
                self.change_group(topic, group, GroupAction::Ack { offsets })
                    .await
            }
            Command::DeleteGroup { topic, group } => {
                self.change_group(topic, group, GroupAction::Delete).await
            }
            Command::SeekGroup {
                topic,
                group,
                next_offset,
            } => {
                self.change_group(topic, group, GroupAction::Seek { next_offset })
                    .await
            }
            Command::Quit => finish(self.step(Step::Quit).await),
            command => match Step::of(&command) {
                Some(step) => more(self.step(step).await),
                // Everything else stands above.
                None => Next::Drop,
            },
        }
    }

    /// A message is to come.
    async fn announce(&mut self, publish: &PublishCommand<'_>, lines: &mut LineSplitter) -> Next {
        let bytes = usize::try_from(publish.body_bytes).ok();
        let Some(bytes) = bytes.filter(|bytes| *bytes <= self.clients.max_message_bytes) else {
            lines.skip_body(publish.body_bytes);
            return more(self.refuse_large().await);
        };
        lines.expect_body(bytes);
        self.announced = Some(Announced {
            topic: publish.topic.to_owned(),
            id: publish.id.map(str::to_owned),
            headers: publish.headers.clone(),
            expect: publish.expect,
        });
        Next::More
    }

    pub(super) async fn body(&mut self, body: Bytes) -> Next {
        let Some(announced) = self.announced.take() else {
            // No body comes that was not announced.
            return Next::Drop;
        };
        let Announced {
            topic,
            id,
            headers,
            expect,
        } = announced;
        self.publish(&topic, |stamper, moment, topic| Record {
            headers,
            expect,
            binary_safe: true,
            ..stamper.record(moment, topic, id.as_deref(), body)
        });
        more(self.submit_if_full().await)
    }

    async fn change_group(&mut self, topic: &str, group: &str, action: GroupAction) -> Next {
        let op = GroupOp {
            group: group.to_owned(),
            action,
        };
        self.publish(topic, |stamper, moment, topic| {
            stamper.group_op(moment, topic, op)
        });
        more(self.submit_if_full().await)
    }

    async fn refuse_large(&mut self) -> Option<()> {
        let max_bytes = self.clients.max_message_bytes;
        self.refuse(LineError::TooLarge { max_bytes }).await
    }

    async fn refuse(&mut self, error: LineError) -> Option<()> {
        let mut line = Vec::new();
        error.write(&mut line);
        self.step(Step::Line(line)).await
    }
}

pub(super) fn finish(sent: Option<()>) -> Next {
    match sent {
        Some(()) => Next::Finish,
        None => Next::Drop,
    }
}

fn more(sent: Option<()>) -> Next {
    match sent {
        Some(()) => Next::More,
        None => Next::Drop,
    }
}
