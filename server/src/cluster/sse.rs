//! Server-sent events, from bytes (WHATWG HTML, section 9.2.6). Pure.
//!
//! Only what a node sends is kept: the event's name and its data. Ids, retry times and comments are skipped.

/// The largest event taken; a node's whole trace ring is far below it.
pub(super) const MAX_EVENT_BYTES: usize = 8 << 20;

/// One event of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    pub(super) name: String,
    pub(super) data: String,
}

/// An event was larger than [`MAX_EVENT_BYTES`], or not UTF-8: this is no node's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event stream is not what a node sends")]
pub(super) struct BadStream;

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    /// A line without its end so far.
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
}

impl SseParser {
    /// Takes in the next bytes and gives the events they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<SseEvent>, BadStream> {
        let mut events = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend_line(&bytes[..end])?;
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            events.extend(self.take_line(&line)?);
        }
        self.extend_line(bytes)?;
        Ok(events)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), BadStream> {
        if self.line.len() + self.event.data.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(BadStream);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<SseEvent>, BadStream> {
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| BadStream)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent {
            name: name.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text = ":hello\n\nevent: status\ndata: {\"a\":1}\n\nevent:trace\r\ndata:x\r\ndata: y\r\nid: 7\r\n\r\nevent: none\n\n";
        let expected = vec![event("status", "{\"a\":1}"), event("trace", "x\ny")];
        for cut in 1..text.len() {
            let mut parser = SseParser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(cut) {
                events.extend(parser.feed(chunk).unwrap());
            }
            assert_eq!(events, expected, "cut every {cut} bytes");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..64).find(|_| parser.feed(&chunk).is_err());
        assert_eq!(refused, Some(MAX_EVENT_BYTES >> 20));
    }
}
