//! Publishers that never give up: each sends its messages one by one, under ids of its own, to whichever node takes
//! them, and again under the same id when an answer was lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::conn::Conn;

/// Some publishers, each in a thread.
pub(crate) struct Publishers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Publishers {
    pub(crate) fn start(count: usize, ports: &[u16], topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let publisher = |which: usize| {
            let one = Publisher {
                which,
                ports: ports.to_vec(),
                topic: topic.to_owned(),
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
            };
            thread::spawn(move || one.run())
        };
        let threads = (0..count).map(publisher).collect();
        Self {
            stop,
            acknowledged,
            threads,
        }
    }

    /// How many messages were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops them, whatever they wait for, and gives the ids of all acknowledged messages.
    pub(crate) fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a publisher"))
            .collect()
    }
}

struct Publisher {
    which: usize,
    ports: Vec<u16>,
    topic: String,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Publisher {
    fn run(self) -> Vec<String> {
        let mut acknowledged = Vec::new();
        let mut conn = None;
        let mut node = self.which;
        while !self.stopped() {
            let id = format!("w{}-{}", self.which, acknowledged.len());
            while !self.stopped() {
                if self.publish(&mut conn, node, &id) {
                    acknowledged.push(id);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                conn = None;
                node += 1;
                thread::sleep(Duration::from_millis(5));
            }
        }
        acknowledged
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether one attempt was acknowledged.
    fn publish(&self, conn: &mut Option<Conn>, node: usize, id: &str) -> bool {
        if conn.is_none() {
            *conn = Conn::open(self.ports[node % self.ports.len()]).ok();
        }
        let Some(conn) = conn else { return false };
        let Ok(answer) = conn.try_ask(&format!("PUB {} --id {id} message {id}", self.topic)) else {
            return false;
        };
        let is = |word: &str| super::rows::id_of(&answer, word).is_some_and(|of| of == id);
        assert!(
            !answer.starts_with("ERR id_conflict") && !answer.starts_with("ERR usage"),
            "{answer}"
        );
        is("published") || is("duplicate") || is("REDIRECTED")
    }
}
