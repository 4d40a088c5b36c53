//! What `wiber pub` and `history` show on a terminal.

mod cluster;

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use cluster::{Cluster, Running, numbered};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What the command shows on a terminal that is its stdout and stderr; `look` sees all of it after each part.
fn on_terminal(command: &mut Command, look: impl Fn(&str) + Send + 'static) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("its other end");
    unlockpt(&terminal).expect("its other end");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let open = || {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().expect("UTF-8"));
        file.expect("it opens")
    };
    let reader = std::thread::spawn(move || {
        let mut file = std::fs::File::from(terminal);
        let (mut seen, mut part) = (Vec::new(), [0; 4096]);
        // Its end is an end of file on some systems and an error on others.
        while let Ok(count @ 1..) = file.read(&mut part) {
            seen.extend_from_slice(&part[..count]);
            look(&String::from_utf8_lossy(&seen));
        }
        String::from_utf8(seen).expect("UTF-8")
    });
    let running = Running::start(command.env("TERM", "xterm").stdout(open()).stderr(open()));
    // The command's own ends, which else would keep the terminal open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(running.code(), Some(0));
    reader.join().expect("no panic")
}

#[test]
fn on_a_terminal_there_are_colours_and_a_message_is_no_command_to_it() {
    let cluster = Cluster::start(1);
    let (code, ..) = cluster.publish_lines(&["t"], b"it\x1b[2J is\n");
    assert_eq!(code, Some(0));
    let mut history = cluster.command(&["history", "t"]);
    let seen = on_terminal(history.env_remove("NO_COLOR"), |_| ());
    assert!(
        seen.starts_with("\x1b[2m     1  ") && seen.ends_with("\x1b[0m  it[2J is\r\n"),
        "{seen:?}"
    );
    let seen = on_terminal(history.env("NO_COLOR", "1"), |_| ());
    assert!(
        !seen.contains('\x1b') && seen.ends_with("  it[2J is\r\n"),
        "{seen:?}"
    );
    assert_eq!(
        cluster.says(&["history", "t", "-f", "%s"]),
        "it\x1b[2J is",
        "a pipe gets every byte"
    );
}

#[test]
fn on_a_terminal_a_long_input_is_counted_and_nothing_of_it_stays() {
    let cluster = Cluster::start(1);
    let (input, mut writer) = std::io::pipe().expect("a pipe");
    let (tell_counted, counted) = mpsc::channel();
    let feeder = std::thread::spawn(move || {
        // A counter is drawn only after a while.
        while counted.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
            writer.write_all(numbered(10).as_bytes()).expect("it reads");
        }
    });
    let seen = on_terminal(cluster.command(&["pub", "t"]).stdin(input), move |seen| {
        if seen.contains("0 published, ") {
            let _ = tell_counted.send(());
        }
    });
    feeder.join().expect("no panic");
    assert!(
        seen.starts_with("\r\x1b[K") && seen.ends_with("\r\x1b[K"),
        "{seen:?}"
    );
}
