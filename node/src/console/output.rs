//! One output of the console: a bounded queue, and the thread that writes it.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing::Level;

use super::format::{Line, date, render_date};

/// Lines waiting for one output. What comes on top is dropped and counted.
pub(super) const MAX_QUEUED_LINES: usize = 4_096;
/// At the end an output that is stuck is not waited for any longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Lines on their way to one output.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Arc<Line>>,
    /// Since the output last admitted to it.
    dropped: u64,
    phase: Phase,
}

#[derive(Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Running,
    /// What is queued is still written.
    Stopping,
    /// The thread is gone.
    Finished,
}

impl Queue {
    /// Never waits.
    pub(super) fn push(&self, line: Arc<Line>) {
        let mut state = self.state.lock();
        if state.lines.len() == MAX_QUEUED_LINES {
            state.dropped += 1;
        } else {
            state.lines.push_back(line);
            self.filled.notify_one();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state.lock().lines.len()
    }

    #[cfg(test)]
    pub(super) fn wait_for_dropped(&self) {
        while self.state.lock().dropped == 0 {
            std::thread::yield_now();
        }
    }

    /// Waits for lines; `None` when the last one was taken and no more are to come.
    fn take(&self) -> Option<(VecDeque<Arc<Line>>, u64)> {
        let mut state = self.state.lock();
        while state.lines.is_empty() && state.phase == Phase::Running {
            self.filled.wait(&mut state);
        }
        if state.lines.is_empty() {
            state.phase = Phase::Finished;
            self.finished.notify_all();
            return None;
        }
        Some((
            std::mem::take(&mut state.lines),
            std::mem::take(&mut state.dropped),
        ))
    }
}

/// The owner of a queue and its thread. Dropping it writes what is queued, within [`FLUSH_TIMEOUT`].
#[derive(Debug)]
pub(super) struct Output {
    queue: Arc<Queue>,
}

impl Output {
    pub(super) fn start(name: &str, writer: impl Write + Send + 'static, coloured: bool) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn({
            let queue = Arc::clone(&queue);
            move || write_all(&queue, writer, coloured)
        })?;
        Ok(Self { queue })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Stopping;
        }
        self.queue.filled.notify_one();
        let unfinished = |state: &mut State| state.phase != Phase::Finished;
        self.queue
            .finished
            .wait_while_for(&mut state, unfinished, FLUSH_TIMEOUT);
    }
}

/// The thread. A write that fails (full disk, closed pipe) costs its lines, which are counted; the next ones
/// are tried again.
fn write_all(queue: &Queue, mut writer: impl Write, coloured: bool) {
    let mut text = String::new();
    let mut day = String::new();
    while let Some((lines, dropped)) = queue.take() {
        text.clear();
        for line in &lines {
            let today = date(line.at_us);
            if today != day {
                render_date(&today, coloured, &mut text);
                day = today;
            }
            line.render(coloured, &mut text);
        }
        if let (Some(last), 1..) = (lines.back(), dropped) {
            dropped_line(last.at_us, dropped).render(coloured, &mut text);
        }
        if writer
            .write_all(text.as_bytes())
            .and_then(|()| writer.flush())
            .is_err()
        {
            queue.state.lock().dropped += dropped + lines.len() as u64;
        }
    }
}

fn dropped_line(at_us: i64, dropped: u64) -> Line {
    Line {
        at_us,
        level: Level::WARN,
        target: "console".to_owned(),
        message: "lines were dropped: this output was too slow or failed".to_owned(),
        fields: vec![("lines", dropped.to_string())],
        emphasis: false,
        alike: 0,
    }
}
