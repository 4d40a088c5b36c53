//! Supervision of real processes: what is started, found, ended, lost and adopted.

use std::time::Duration;

use crate::home::{Home, is_alive, send, wait_for};

fn texts(home: &Home) -> Vec<String> {
    let view = home.get("/api/cluster").json();
    let happenings = view["happenings"].as_array().unwrap();
    happenings
        .iter()
        .map(|happening| happening["text"].as_str().unwrap().to_owned())
        .collect()
}

fn wait_for_text(home: &Home, part: &str) -> String {
    wait_for(part, || {
        texts(home).into_iter().rev().find(|text| text.contains(part))
    })
}

#[test]
fn a_node_that_dies_by_itself_is_known_at_once_with_its_end() {
    let home = Home::new(3);
    home.post("/cluster/start", "");
    let pid = home.pid_of("n1");
    send("KILL", pid);
    let process = home.wait_for_state("n1", "exited");
    assert_eq!(process["how"], "signal 9, SIGKILL");
    assert_eq!(process["expected"], false);
    let text = wait_for_text(&home, "n1 ended by itself");
    assert_eq!(
        text,
        "n1 ended by itself: signal 9, SIGKILL while leading term 1. 2 of 3 alive: no further failure could be borne."
    );
}

#[test]
fn ends_that_were_asked_for_are_told_as_such() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    home.post("/cluster/node/n1/kill", "");
    let process = home.process("n1");
    assert_eq!(process["how"], "killed (SIGKILL, through the gateway)");
    assert_eq!(process["expected"], true);
    home.post("/cluster/start", "");
    home.post("/api/nodes/n1/stop", "");
    assert_eq!(
        home.process("n1")["how"],
        "stopped, as asked through the gateway (exit status 0)"
    );
}

#[test]
fn a_node_that_ignores_a_stop_is_killed_after_a_while() {
    let home = Home::new(1);
    home.tell("n1", "deaf");
    home.post("/cluster/start", "");
    let pid = home.pid_of("n1");
    assert_eq!(home.post("/api/nodes/n1/stop", "").json()["action"], "stopped");
    assert!(!is_alive(pid));
    assert_eq!(
        home.process("n1")["how"],
        "killed (SIGKILL): it did not stop when asked"
    );
}

#[test]
fn actions_on_one_node_do_not_interleave() {
    let home = Home::new(1);
    home.post("/cluster/start", "");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let restarts: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| home.post("/cluster/node/n1/restart", "").status))
            .collect();
        restarts
            .into_iter()
            .map(|restart| restart.join().unwrap())
            .collect()
    });
    assert_eq!(answers, [200; 6]);
    assert!(is_alive(home.pid_of("n1")));
    let started = texts(&home)
        .iter()
        .filter(|text| text.contains("was started"))
        .count();
    assert_eq!(started, 7, "{:?}", texts(&home));
}

#[test]
fn a_node_started_by_hand_is_found_shown_and_can_be_killed() {
    let mut home = Home::without_gateway(2);
    let before = home.start_by_hand("n1");
    wait_for("the lock", || {
        home.node_folder("n1").join("node.lock").exists().then_some(())
    });
    home.start_gateway();
    let after = home.start_by_hand("n2");
    for (id, pid) in [("n1", before), ("n2", after)] {
        let process = home.wait_for_state(id, "running");
        assert_eq!(process["pid"], pid);
        assert_eq!(process["by_gateway"], false);
        wait_for_text(
            &home,
            &format!("{id} was found running (process {pid}), started by hand."),
        );
    }
    assert_eq!(
        home.post("/cluster/start", "").json()["already_running"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(home.post("/cluster/node/n1/kill", "").json()["action"], "killed");
    home.wait_by_hand(before);
    assert_eq!(home.post("/api/nodes/n2/stop", "").json()["action"], "stopped");
    assert_eq!(home.wait_by_hand(after).code(), Some(0), "SIGTERM");
}

#[test]
fn the_end_of_a_node_started_by_hand_is_noticed() {
    let mut home = Home::new(1);
    let pid = home.start_by_hand("n1");
    home.wait_for_state("n1", "running");
    send("KILL", pid);
    home.wait_by_hand(pid);
    let process = home.wait_for_state("n1", "exited");
    assert_eq!(process["expected"], false);
}

#[test]
fn a_graceful_end_stops_what_a_gateway_started_and_nothing_else() {
    for signal in ["TERM", "INT"] {
        let mut home = Home::new(2);
        home.post("/api/nodes/n1/start", "");
        let ours = home.pid_of("n1");
        let by_hand = home.start_by_hand("n2");
        home.wait_for_state("n2", "running");
        assert_eq!(home.end_gateway(signal).code(), Some(0));
        assert!(!is_alive(ours), "{signal}");
        assert!(is_alive(by_hand), "{signal}");
    }
}

#[test]
fn a_crashed_gateway_leaves_its_nodes_and_the_next_one_adopts_them() {
    let mut home = Home::new(2);
    home.post("/cluster/start", "");
    let pids = [home.pid_of("n1"), home.pid_of("n2")];
    home.end_gateway("KILL");
    std::thread::sleep(Duration::from_millis(100));
    assert!(pids.iter().all(|pid| is_alive(*pid)));

    home.start_gateway();
    for (id, pid) in ["n1", "n2"].into_iter().zip(pids) {
        assert!(
            home.get("/cluster/nodes")
                .json()
                .as_array()
                .unwrap()
                .iter()
                .all(|node| node["running"] == true)
        );
        let process = home.wait_for_state(id, "running");
        assert_eq!(
            (&process["pid"], &process["by_gateway"]),
            (&pid.into(), &true.into())
        );
    }
    wait_for_text(&home, "an earlier gateway had started it");
    send("KILL", pids[0]);
    home.wait_for_state("n1", "exited");
    assert_eq!(home.end_gateway("TERM").code(), Some(0));
    assert!(
        !is_alive(pids[1]),
        "an adopted node is stopped by whoever ends in order"
    );
}

#[test]
fn a_node_that_hangs_before_its_admin_port_is_adopted_by_its_lock() {
    let mut home = Home::without_gateway(1);
    home.tell("n1", "mute");
    let pid = home.start_by_hand("n1");
    wait_for("the lock", || {
        home.node_folder("n1").join("node.lock").exists().then_some(())
    });
    home.start_gateway();
    let process = home.wait_for_state("n1", "starting");
    assert_eq!(process["pid"], pid);
    assert_eq!(home.post("/cluster/node/n1/kill", "").json()["action"], "killed");
}

#[test]
fn a_node_behind_a_tunnel_is_shown_and_never_signalled_here() {
    // It answers on its port, and neither our data folder nor a command line here names its process.
    let mut home = Home::new(1);
    let pid = home.start_elsewhere("n1");
    let process = home.wait_for_state("n1", "running");
    assert_eq!(
        (&process["pid"], &process["by_gateway"]),
        (&pid.into(), &false.into())
    );
    for path in [
        "/cluster/node/n1/kill",
        "/cluster/node/n1/restart",
        "/api/nodes/n1/stop",
    ] {
        let why = home.post(path, "").refusal(400);
        assert!(why.contains("no process here is known to be it"), "{why}");
    }
    assert!(is_alive(pid));
    send("KILL", pid);
    home.wait_by_hand(pid);
    assert_eq!(
        home.wait_for_state("n1", "exited")["how"],
        "no longer answers on 127.0.0.1"
    );
}

#[test]
fn an_old_lock_file_is_no_running_node() {
    let mut home = Home::new(1);
    home.post("/cluster/start", "");
    let pid = home.pid_of("n1");
    home.end_gateway("KILL");
    send("KILL", pid);
    wait_for("its end", || (!is_alive(pid)).then_some(()));
    home.start_gateway();
    assert_eq!(home.process("n1")["state"], "stopped");
    assert_eq!(home.post("/cluster/start", "").json()["started"][0], "n1");
}
