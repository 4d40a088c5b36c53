//! Connections in memory, to a node that is in no cluster yet.

use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex},
    time::timeout,
};
use wiber_protocol::record::MAX_BODY_BYTES;
use wiber_storage::MemoryDisk;

use super::*;
use crate::{clock::ManualClock, lamport::Lamport, small_files::DiskFiles, time::ClusterClock};

/// Longer than anything here takes, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(30);

fn clients() -> Arc<Clients> {
    let clock = ClusterClock::alone(Arc::new(ManualClock::new(0)));
    let files = DiskFiles(Arc::new(MemoryDisk::new()));
    let lamport = Lamport::open_threadless(Path::new("/lamport"), files).expect("an empty disk");
    let lamport = Arc::new(lamport);
    let name = || "n1".to_owned();
    Arc::new(Clients {
        group: GroupCell::default(),
        stamper: Arc::new(Stamper::new(name(), clock.clone(), lamport.clone(), 1)),
        coordinators: Arc::default(),
        trace: Trace::new(name(), 0, clock, lamport, 1),
        counters: Arc::default(),
        cursors: Arc::default(),
        lines: LineCache::default(),
        room: Room::new(),
        max_message_bytes: MAX_BODY_BYTES,
        lag_records: LAG_RECORDS,
    })
}

/// A client's two ends, with room for so many bytes of its own and of the node's that nobody has read.
fn connect(clients: &Arc<Clients>, sent_bytes: usize, answered_bytes: usize) -> (DuplexStream, DuplexStream) {
    let (speak, hears) = duplex(sent_bytes);
    let (answers, listen) = duplex(answered_bytes);
    tokio::spawn(serve_client(Box::new(hears), Box::new(answers), clients.clone()));
    (speak, listen)
}

fn message(bytes: usize) -> Vec<u8> {
    [format!("PUBLISH t {bytes}\n").into_bytes(), vec![b'x'; bytes]].concat()
}

/// What was lost: every message of more than 64 KiB, of whomever, for as long as they stayed.
#[tokio::test]
async fn clients_that_do_not_read_their_answers_keep_nobody_from_saying_something_large() {
    /// As many answers as may wait.
    const ANSWERS: usize = 256;
    /// So much is submitted at once.
    const LARGE_BYTES: usize = 300_000;
    let clients = clients();
    let mut stay = Vec::new();
    for _ in 0..room::LARGE_INPUTS {
        let (mut speak, mut listen) = connect(&clients, 4_096, 1);
        speak.write_all(b"PING\n").await.expect("it is heard");
        // From here on the node waits for the rest of this to be read.
        listen.read_u8().await.expect("the answer's beginning");
        speak
            .write_all("PING\n".repeat(ANSWERS).as_bytes())
            .await
            .expect("it is heard");
        stay.push((speak, listen));
    }
    let all_speak = stay.iter_mut().map(|(speak, _)| async {
        let message = message(LARGE_BYTES);
        let said = speak.write_all(&message);
        timeout(PATIENCE, said).await.is_ok_and(|said| said.is_ok())
    });
    let heard = futures_util::future::join_all(all_speak).await;
    assert!(heard.into_iter().all(|is_heard| is_heard));
    let (mut speak, listen) = connect(&clients, 4_096, 4_096);
    let mut answer = String::new();
    let mut listen = BufReader::new(listen);
    let large = message(100_000);
    let both = async { tokio::join!(speak.write_all(&large), listen.read_line(&mut answer)) };
    timeout(PATIENCE, both)
        .await
        .expect("it is answered")
        .0
        .expect("it is heard");
    assert_eq!(answer, "ERR not_leader\n");
}
