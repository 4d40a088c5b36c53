//! Starts that are refused: one line on standard error, exit code 2.

use std::{fs, net::TcpListener, process::Stdio};

use crate::home::Home;

fn refused(home: &Home, change: impl FnOnce(&mut std::process::Command)) -> String {
    let mut command = home.command();
    change(&mut command);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(output.stdout.is_empty());
    assert!(!home.path("data").exists(), "nothing was touched");
    said
}

#[test]
fn a_bad_configuration_is_refused_with_file_line_and_reason() {
    let home = Home::without_gateway(1);
    let path = home.path("cluster.yaml");
    fs::write(&path, "nodes:\n  - { id: n1, host: 127.0.0.1, port: 70000 }\n").unwrap();
    let said = refused(&home, |_| {});
    assert!(said.contains(&format!("{}:2:", path.display())), "{said}");
    fs::remove_file(&path).unwrap();
    assert!(refused(&home, |_| {}).contains("cluster.yaml: cannot be read"));
}

#[test]
fn a_port_in_use_is_refused() {
    let home = Home::without_gateway(1);
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = refused(&home, |command| {
        command.env("GATEWAY_PORT", port.to_string());
    });
    assert!(said.contains(&format!("cannot listen on port {port}")), "{said}");
}

#[test]
fn leave_for_faults_may_be_any_yes_or_no_in_the_environment() {
    let home = Home::without_gateway(1);
    // It gets as far as the configuration.
    fs::remove_file(home.path("cluster.yaml")).unwrap();
    for word in ["1", "true", "0", ""] {
        let said = refused(&home, |command| {
            command.env("WIBER_ALLOW_FAULTS", word);
        });
        assert!(said.contains("cluster.yaml: cannot be read"), "{said}");
    }
}

#[test]
fn a_port_on_the_command_line_wins_over_the_environment() {
    let home = Home::without_gateway(1);
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(&home, |command| {
        command.args(["--port", &port]);
    });
    assert!(said.contains(&port), "{said}");
}
