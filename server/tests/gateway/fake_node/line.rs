//! The line protocol of a fake node: one connection, its commands, and what it follows.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use wiber_protocol::{
    line::{
        Command, Consistency, DEFAULT_IN_FLIGHT, Ended, Line, LineSplitter, MAX_LINE_BYTES, PublishCommand,
        ReadCommand, ReadStart, Reply, SubscribeCommand, SubscribeStart,
    },
    pattern::Pattern,
};

use super::{
    Node,
    log::{Decided, Group, Offered},
};

/// What a connection is sent without asking again.
enum Follow {
    Topic {
        topic: String,
        next: u64,
    },
    Pattern {
        pattern: Pattern,
        after: u64,
    },
    Member {
        key: (String, String),
        max_in_flight: u32,
    },
}

/// A `PUBLISH` whose body is not here yet.
struct Announced {
    topic: String,
    id: String,
    headers: Vec<(String, String)>,
    expect: Option<u64>,
}

struct Connection {
    node: Node,
    number: u64,
    follow: Option<Follow>,
    announced: Option<Announced>,
    splitter: LineSplitter,
    out: Vec<u8>,
}

impl Node {
    pub(super) async fn line(self, stream: TcpStream) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut connection = Connection {
            node: self,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            follow: None,
            announced: None,
            splitter: LineSplitter::new(MAX_LINE_BYTES),
            out: Vec::new(),
        };
        connection.serve(stream).await;
        connection.leave();
    }

    /// The first offset that is kept, of every topic.
    fn kept_from(&self) -> u64 {
        let file = std::fs::read_to_string(self.folder.join("kept_from"));
        file.ok().and_then(|text| text.parse().ok()).unwrap_or(1)
    }
}

impl Connection {
    async fn serve(&mut self, mut stream: TcpStream) {
        let mut changed = self.node.changed.subscribe();
        loop {
            while let Some(line) = self.splitter.next_line() {
                match line {
                    Line::Text(line) => self.answer(&line),
                    Line::Body(body) => {
                        let it = self.announced.take().unwrap();
                        self.offer(
                            &Offered {
                                topic: &it.topic,
                                id: &it.id,
                                headers: &it.headers,
                                expect: it.expect,
                                body: &body,
                                binary_safe: true,
                            },
                            true,
                        );
                    }
                    Line::TooLong => panic!("the gateway sent too long a line"),
                }
            }
            self.deliver();
            if stream.write_all(&self.out).await.is_err() {
                return;
            }
            self.out.clear();
            tokio::select! {
                read = stream.read_buf(self.splitter.buffer()) => if read.unwrap_or(0) == 0 { return },
                _ = changed.changed() => {}
            }
        }
    }

    fn leave(&mut self) {
        if let Some(Follow::Member { key, .. }) = self.follow.take() {
            if let Some(group) = self.node.log().groups.get_mut(&key) {
                group.leave(self.number);
            }
            self.tell_others();
        }
    }

    fn tell_others(&self) {
        self.node.changed.send_modify(|count| *count += 1);
    }

    fn say(&mut self, reply: Reply<'_>) {
        reply.write(&mut self.out);
    }

    fn answer(&mut self, line: &[u8]) {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return error.line_error().write(&mut self.out),
        };
        match command {
            Command::Ping => self.say(Reply::Pong),
            Command::Pub { topic, id, text } => self.offer(
                &Offered {
                    topic,
                    id: id.unwrap(),
                    headers: &[],
                    expect: None,
                    body: text.as_bytes(),
                    binary_safe: false,
                },
                false,
            ),
            Command::Publish(PublishCommand {
                topic,
                body_bytes,
                id,
                headers,
                expect,
            }) => {
                self.announced = Some(Announced {
                    topic: topic.to_owned(),
                    id: id.unwrap().to_owned(),
                    headers,
                    expect,
                });
                self.splitter.expect_body(usize::try_from(body_bytes).unwrap());
            }
            Command::Read(read) => self.read(&read),
            Command::Subscribe(subscribe) => self.subscribe(&subscribe),
            Command::Topics {
                pattern,
                after,
                limit,
            } => {
                let mut lines = self.node.log().topic_lines(matching(pattern));
                lines.retain(|line| after.is_none_or(|after| line.topic.as_str() > after));
                lines.truncate(usize::try_from(limit).unwrap());
                for line in &lines {
                    line.write(&mut self.out);
                }
                self.say(Reply::TopicsEnd {
                    count: lines.len() as u64,
                });
            }
            other => self.answer_about_groups(other),
        }
    }

    fn answer_about_groups(&mut self, command: Command<'_>) {
        match command {
            Command::Groups { pattern } => {
                let lines = self.node.log().group_lines(matching(pattern));
                for line in &lines {
                    line.write(&mut self.out);
                }
                self.say(Reply::GroupsEnd {
                    count: lines.len() as u64,
                });
            }
            Command::Ack {
                topic,
                group,
                first,
                last,
            } => self.change(topic, group, |it| {
                if it.ack(first, last) {
                    Reply::Acked {
                        topic,
                        group,
                        offset: last,
                    }
                } else {
                    Reply::NotDelivered { offset: last }
                }
            }),
            Command::Nack { topic, group, offset } => {
                let number = self.number;
                self.change(topic, group, |it| {
                    if it.nack(number, offset) {
                        Reply::Nacked { topic, group, offset }
                    } else {
                        Reply::NotDelivered { offset }
                    }
                });
            }
            Command::SeekGroup {
                topic,
                group,
                next_offset,
            } => self.change(topic, group, |it| {
                it.seek(next_offset);
                Reply::GroupMoved {
                    topic,
                    group,
                    next_offset,
                }
            }),
            Command::DeleteGroup { topic, group } => {
                let removed = self.node.log().groups.remove(&key(topic, group));
                self.say(match removed {
                    Some(_) => Reply::GroupDeleted { topic, group },
                    None => Reply::NoSuchGroup { topic, group },
                });
                self.tell_others();
            }
            other => panic!("the gateway has no use for {other:?}"),
        }
    }

    /// `tells_place`: whether a duplicate is told with its offset.
    fn offer(&mut self, offered: &Offered<'_>, tells_place: bool) {
        let id = offered.id;
        if self.node.has("no_leader") {
            return self.say(Reply::NotLeader);
        }
        if self.node.has("unheard") {
            return self.say(Reply::TimeoutWaitingCommit);
        }
        if self.node.has("full") && !self.node.log().has(offered.topic) {
            return self.say(Reply::TooManyTopics { max: 10_000 });
        }
        let decided = self.node.log().offer(offered);
        if self.node.has("stored_unheard") {
            return self.say(Reply::TimeoutWaitingCommit);
        }
        self.say(match decided {
            Decided::Stored { offset, logical_time } => Reply::Published {
                id,
                offset: Some(offset),
                logical_time: Some(logical_time),
            },
            Decided::Duplicate { offset } => Reply::Duplicate {
                id,
                offset: tells_place.then_some(offset),
            },
            Decided::Conflict => Reply::IdConflict { id },
            Decided::Mismatch { end } => Reply::OffsetMismatch { end },
        });
        self.tell_others();
    }

    fn read(&mut self, read: &ReadCommand<'_>) {
        if read.consistency == Consistency::Strong && self.node.has("no_strong") {
            return self.say(Reply::Unavailable {
                reason: "no majority answers",
            });
        }
        let log_start_offset = self.node.kept_from();
        let log = self.node.log();
        let high_watermark = log.end(read.topic);
        let (from, limit) = match read.start {
            ReadStart::Last(count) => (high_watermark.saturating_sub(count) + 1, count),
            ReadStart::From(offset) => (offset.max(1), read.limit),
            ReadStart::Since(us) => {
                let later = log.of(read.topic).find(|record| record.corrected_us() >= us);
                (
                    later.map_or(high_watermark + 1, |record| record.offset),
                    read.limit,
                )
            }
        };
        if from < log_start_offset {
            drop(log);
            return self.say(Reply::OffsetOutOfRange {
                start: log_start_offset,
                end: high_watermark,
            });
        }
        let mut next_offset = from;
        let mut lines = Vec::new();
        for record in log.of(read.topic).skip_while(|record| record.offset < from) {
            if next_offset - from == limit || lines.len() >= read.max_bytes {
                break;
            }
            record.write(&self.node.spec.id, None, &mut lines);
            next_offset += 1;
        }
        drop(log);
        self.out.append(&mut lines);
        self.say(Reply::ReadEnd {
            high_watermark,
            log_start_offset,
            consistency: read.consistency,
            next_offset,
        });
    }

    fn subscribe(&mut self, subscribe: &SubscribeCommand<'_>) {
        let topic = subscribe.pattern;
        let pattern = Pattern::new(topic).unwrap();
        let end = self.node.log().end(topic);
        if let Some(member) = subscribe.group {
            let next = match subscribe.start {
                SubscribeStart::Beginning => 1,
                SubscribeStart::From(offset) => offset,
                _ => end + 1,
            };
            let key = key(topic, member.group);
            let mut log = self.node.log();
            let group = log.groups.entry(key.clone()).or_insert_with(|| Group::new(next));
            group.members.insert(self.number);
            drop(log);
            self.follow = Some(Follow::Member {
                key,
                max_in_flight: member.max_in_flight.unwrap_or(DEFAULT_IN_FLIGHT),
            });
            return self.say(Reply::Joined {
                topic,
                group: member.group,
            });
        }
        if !pattern.is_literal() {
            let after = match subscribe.start {
                SubscribeStart::Beginning => 0,
                SubscribeStart::After(logical_time) => logical_time,
                _ => self.node.log().records.len() as u64 * 10,
            };
            self.follow = Some(Follow::Pattern { pattern, after });
            return self.say(Reply::SubscribedAfter {
                pattern: topic,
                logical_time: after,
            });
        }
        let start = self.node.kept_from();
        let next = match subscribe.start {
            SubscribeStart::From(offset) => offset,
            SubscribeStart::Beginning => start,
            _ => end + 1,
        };
        if next < start {
            let reason = Ended::OffsetOutOfRange { start, end };
            return self.say(Reply::Ended {
                pattern: topic,
                reason,
            });
        }
        self.say(Reply::Subscribed {
            topic,
            next_offset: Some(next),
        });
        if self.node.has("lag") {
            self.say(Reply::Lag {
                pattern: topic,
                records: 5_000,
            });
        }
        let topic = topic.to_owned();
        self.follow = Some(Follow::Topic { topic, next });
    }

    fn change<'a>(&mut self, topic: &'a str, group: &'a str, change: impl FnOnce(&mut Group) -> Reply<'a>) {
        let reply = match self.node.log().groups.get_mut(&key(topic, group)) {
            Some(it) => change(it),
            None => Reply::NoSuchGroup { topic, group },
        };
        self.say(reply);
        self.tell_others();
    }

    /// Writes what there is for the one who follows.
    fn deliver(&mut self) {
        let (node, number) = (self.node.spec.id.as_str(), self.number);
        let mut log = self.node.log();
        match &mut self.follow {
            None => {}
            Some(Follow::Topic { topic, next }) => {
                for record in log.of(topic).filter(|record| record.offset >= *next) {
                    record.write(node, None, &mut self.out);
                }
                *next = (*next).max(log.end(topic) + 1);
            }
            Some(Follow::Pattern { pattern, after }) => {
                let from = *after;
                for record in log.matching(|topic| pattern.matches(topic)) {
                    if record.logical_time > from {
                        record.write(node, None, &mut self.out);
                        *after = record.logical_time;
                    }
                }
            }
            Some(Follow::Member { key, max_in_flight }) => {
                let (topic, name) = (key.0.clone(), key.1.clone());
                let end = log.end(&topic);
                let Some(group) = log.groups.get_mut(key) else {
                    let reason = Ended::NoSuchGroup;
                    Reply::Ended {
                        pattern: &topic,
                        reason,
                    }
                    .write(&mut self.out);
                    self.follow = None;
                    return;
                };
                let handed: Vec<_> =
                    std::iter::from_fn(|| group.hand_out(number, *max_in_flight, end)).collect();
                for (offset, delivery) in handed {
                    let mut records = log.of(&topic);
                    let record = records.find(|record| record.offset == offset).unwrap();
                    record.write(node, Some((&name, delivery)), &mut self.out);
                }
            }
        }
    }
}

fn key(topic: &str, group: &str) -> (String, String) {
    (topic.to_owned(), group.to_owned())
}

fn matching(pattern: Option<&str>) -> impl Fn(&str) -> bool {
    let pattern = pattern.map(|pattern| Pattern::new(pattern).unwrap());
    move |topic| pattern.as_ref().is_none_or(|pattern| pattern.matches(topic))
}
