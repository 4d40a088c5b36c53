//! The list of topics, as this node has them.

use wiber_protocol::{
    line::{Reply, TopicLine},
    pattern::Pattern,
};

use super::{FLUSH_BYTES, Gone, Responder};

impl Responder {
    /// `TOPICS`: those that match and come behind `after`, by name.
    pub(super) async fn topics(
        &mut self,
        pattern: Option<&str>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<(), Gone> {
        let Some(group) = self.group() else { return Ok(()) };
        self.await_caught_up(&group).await?;
        let pattern = pattern.and_then(|pattern| Pattern::new(pattern).ok());
        let is_asked_for = |name: &str| {
            after.is_none_or(|after| name > after)
                && pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
        };
        self.await_all_own_writes(&group, is_asked_for).await;
        let mut lines: Vec<TopicLine> = {
            let state = group.state.read();
            let topics = state.topics.iter().filter(|(name, _)| is_asked_for(name));
            let mut topics: Vec<_> = topics.collect();
            topics.sort_unstable_by_key(|(name, _)| *name);
            topics.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            let line = |(name, topic): (&str, &crate::state::Topic)| TopicLine {
                topic: name.to_owned(),
                high_watermark: topic.high_watermark,
                log_start_offset: topic.log_start_offset,
                bytes: topic.bytes,
                ..TopicLine::default()
            };
            topics.into_iter().map(line).collect()
        };
        let rates = group.rates.of(lines.iter().map(|line| line.topic.as_str()));
        for (line, rate) in lines.iter_mut().zip(rates) {
            line.records_per_s = rate.records_per_s;
            line.bytes_per_s = rate.bytes_per_s;
            line.write(&mut self.out);
            if self.out.len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        let count = lines.len() as u64;
        Reply::TopicsEnd { count }.write(&mut self.out);
        Ok(())
    }
}
