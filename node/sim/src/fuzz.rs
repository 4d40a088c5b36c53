//! Rubbish for the client port: sessions made by mutating a corpus, sent in pieces to the nodes of a healthy cluster.
//!
//! What must hold for any bytes: every command is answered, once; nothing panics; the connection ends when the client
//! has said all, or earlier only for a reason that a client can know. How many commands there are in the bytes is
//! counted here by itself: where one ends and the next begins is what the node may get wrong.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use wiber_protocol::{
    line::{Command, MAX_LINE_BYTES, looks_like_http},
    record::MAX_BODY_BYTES,
};

use crate::{cluster::Cluster, count::Count, dice::Dice, say};

/// Everything is answered within this time.
const PATIENCE: Duration = Duration::from_mins(1);
/// Mutations of one session.
const MUTATIONS: u64 = 8;
/// Corpus entries in one session.
const ENTRIES: u64 = 4;
/// A session has at most so many bytes, so that many can be tried.
const SESSION_BYTES: usize = 8 << 10;

/// Lines that are no answers, but what was asked for or subscribed to.
const NO_ANSWERS: [&str; 9] = [
    "RECORD ",
    "MSG ",
    "HISTORY ",
    "TOPIC ",
    "GROUP ",
    "LAG ",
    "ENDED ",
    "SKIPPED ",
    "{\"topic\":",
];

/// Words that lie at the edges of what the parser looks at.
const TOKENS: [&str; 24] = [
    "\n",
    "\r\n",
    "\r",
    " ",
    "--id ",
    "--header k=v ",
    "--expect 1 ",
    "--json ",
    "--group g ",
    "--start ",
    "0",
    "1",
    "5",
    "1048576",
    "1048577",
    "18446744073709551615",
    "-1",
    "PUBLISH t 3\nabc",
    "PUBLISH ",
    "QUIT\n",
    "PING\n",
    "\u{a0}",
    "\0",
    "%",
];

/// Sends `sessions` of them, one after the other, to whichever node listens.
pub(crate) async fn run(cluster: &Cluster, corpus: &[Vec<u8>], sessions: u64) {
    let dice = Dice::new(cluster.world.seed(), "fuzz", 0);
    for session in 0..sessions {
        let bytes = make(corpus, &dice);
        let host = dice.index(cluster.hosts.len());
        check(cluster, host, &bytes, session, &dice).await;
        if cluster.world.failure().is_some() {
            return;
        }
    }
}

/// Sends one session as it is, in one piece, to every node.
pub(crate) async fn replay(cluster: &Cluster, bytes: &[u8]) {
    let dice = Dice::new(cluster.world.seed(), "replay", 0);
    for host in 0..cluster.hosts.len() {
        check(cluster, host, bytes, 0, &dice).await;
    }
}

async fn check(cluster: &Cluster, host: usize, bytes: &[u8], session: u64, dice: &Dice) {
    let world = &cluster.world;
    let Some(stream) = cluster.network.connect_client(host) else {
        return;
    };
    let (mut read, mut write) = tokio::io::split(stream);
    let pieces = pieces(bytes, dice);
    let say_all = async move {
        for piece in pieces {
            // A node that will not hear more has said why.
            if write.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(write.shutdown().await);
        write
    };
    let mut heard = Vec::new();
    let both = async { tokio::join!(say_all, read.read_to_end(&mut heard)) };
    let ended = timeout(PATIENCE, both).await;
    let answers = heard.split(|byte| *byte == b'\n').filter(|line| {
        !line.is_empty() && !NO_ANSWERS.iter().any(|start| line.starts_with(start.as_bytes()))
    });
    let (found, expected) = (answers.count(), commands(bytes));
    for _ in 0..found {
        world.count(Count::Operations);
    }
    say!(
        world,
        "FUZZ",
        "session {session} at n{}: {found} answers",
        host + 1
    );
    let shown = || {
        format!(
            "session {session} at n{}:\n{}\nanswered:\n{}",
            host + 1,
            bytes.escape_ascii(),
            heard.escape_ascii()
        )
    };
    if ended.is_err() {
        world.fail(format!(
            "{expected} commands, and no end after {found} answers: {}",
            shown()
        ));
    } else if found != expected {
        world.fail(format!("{expected} commands, {found} answers: {}", shown()));
    } else if !heard.is_empty() && !heard.ends_with(b"\n") {
        world.fail(format!("an answer without its end: {}", shown()));
    }
}

fn make(corpus: &[Vec<u8>], dice: &Dice) -> Vec<u8> {
    let entry = || corpus.get(dice.index(corpus.len())).cloned().unwrap_or_default();
    let mut bytes: Vec<u8> = (0..dice.between(1, ENTRIES + 1)).flat_map(|_| entry()).collect();
    for _ in 0..dice.between(0, MUTATIONS + 1) {
        let at = dice.index(bytes.len() + 1).min(bytes.len());
        let until = (at + dice.index(16)).min(bytes.len());
        match dice.index(7) {
            0 => bytes.insert(at, u8::try_from(dice.between(0, 256)).unwrap_or(0)),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
            3 => drop(bytes.splice(at..at, dice.pick(&TOKENS).bytes())),
            4 => drop(bytes.splice(at..until, dice.pick(&TOKENS).bytes())),
            5 => bytes.truncate(at.max(1)),
            _ => {
                let other = entry();
                let from = dice.index(other.len());
                let to = (from + dice.index(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
        bytes.truncate(SESSION_BYTES);
    }
    bytes
}

fn pieces(bytes: &[u8], dice: &Dice) -> Vec<Vec<u8>> {
    let longest = dice.pick(&[1, 7, 100, usize::MAX]);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = longest.min(rest.len());
        let (piece, after) = rest.split_at(1 + dice.index(len));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

/// How many answers these bytes are owed.
fn commands(bytes: &[u8]) -> usize {
    let (mut rest, mut owed, mut is_first) = (bytes, 0, true);
    loop {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            // A line that never ends is told so as soon as it is too long.
            return owed + usize::from(rest.len() > MAX_LINE_BYTES);
        };
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let first = std::mem::take(&mut is_first);
        if line.len() > MAX_LINE_BYTES {
            owed += 1;
            if first {
                return owed;
            }
            continue;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if first && looks_like_http(line) {
            return owed;
        }
        match after_command(line, rest) {
            After::Goes(on) => (owed, rest) = (owed + 1, on),
            After::Ends => return owed + 1,
            After::Waits => return owed,
        }
    }
}

/// What comes after one line.
enum After<'a> {
    Goes(&'a [u8]),
    /// The connection ends with its answer.
    Ends,
    /// Its message is not whole, so it is no command yet.
    Waits,
}

fn after_command<'a>(line: &[u8], rest: &'a [u8]) -> After<'a> {
    let text = String::from_utf8_lossy(line);
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["PUBLISH", ..] if std::str::from_utf8(line).is_err() => After::Ends,
        ["PUBLISH", _, bytes, ..] => {
            let digits = bytes.strip_prefix('+').unwrap_or(bytes);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let Some(bytes) = digits
                .parse::<u64>()
                .ok()
                .filter(|bytes| is_number && *bytes < u64::MAX)
            else {
                return After::Ends;
            };
            let len = usize::try_from(bytes).unwrap_or(usize::MAX);
            let is_wanted = len <= MAX_BODY_BYTES && Command::parse(line).is_ok();
            match rest.get(len..) {
                Some(on) => After::Goes(
                    on.strip_prefix(b"\n")
                        .or_else(|| on.strip_prefix(b"\r\n"))
                        .unwrap_or(on),
                ),
                // It was refused before it came.
                None if !is_wanted => After::Goes(&[]),
                None => After::Waits,
            }
        }
        ["QUIT"] | ["PUBLISH", ..] => After::Ends,
        _ => After::Goes(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_by_their_framing() {
        for (bytes, owed) in [
            (&b""[..], 0),
            (b"PING\nPING\r\nPING", 2),
            (b"\n\n", 2),
            (b"QUIT\nPING\n", 1),
            (b"QUIT now\nPING\n", 2),
            (b"GET / HTTP/1.1\nPING\n", 0),
            (b"PING\nGET / HTTP/1.1\n", 2),
            (b"PUBLISH t 5\nPING\n\nPING\n", 2),
            (b"PUBLISH t 5\nPI", 0),
            (b"PUBLISH t 5 --id\nPI", 1),
            (b"PUBLISH t 9999999\nPING\n", 1),
            (b"PUBLISH t\nPING\n", 1),
            (b"PUBLISH t 1\nx\rPING\n", 2),
        ] {
            assert_eq!(commands(bytes), owed, "{}", bytes.escape_ascii());
        }
    }
}
