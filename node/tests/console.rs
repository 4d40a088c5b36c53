//! The console as a process has it: installed once, for everything that process says. One test, as there is one
//! console.

use std::{fs, sync::Arc};

use wiber_node::{clock::SystemClock, console};

#[test]
fn a_process_prints_to_its_file_in_colour_and_panics_are_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("console.log");
    let guard = console::install(&path, Some("info"), Arc::new(SystemClock::new())).unwrap();
    tracing::info!(target: "node", id = "n1", "starting");
    let panicked = std::thread::spawn(|| panic!("it broke\nin two lines")).join();
    assert!(panicked.is_err());
    assert!(
        console::install(&path, None, Arc::new(SystemClock::new())).is_err(),
        "there is one console"
    );
    drop(guard);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("\x1b[2m20"), "the date: {:?}", lines[0]);
    assert!(
        lines[1].contains("\x1b[32m INFO\x1b[0m") && lines[1].contains("starting"),
        "{:?}",
        lines[1]
    );
    assert!(
        lines[2].contains("ERROR") && lines[2].contains("it broke in two lines"),
        "{:?}",
        lines[2]
    );
}
