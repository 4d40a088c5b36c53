//! Whether a process id that an admin port reports is that node's process on this machine.
//!
//! A port on 127.0.0.1 may be a tunnel to another machine, whose process ids mean something else here. Nothing is
//! signalled on such a word alone: either the node's lock file in our data root names the process, or the
//! process was started with `--id <id>`.

/// Whether the process's own command line says that it is this node.
pub(super) fn runs_as(pid: u32, id: &str) -> bool {
    let arguments = arguments(pid);
    let joined = format!("--id={id}");
    arguments.contains(&joined)
        || arguments
            .windows(2)
            .any(|pair| pair[0] == "--id" && pair[1] == id)
}

#[cfg(target_os = "linux")]
fn arguments(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn arguments(pid: u32) -> Vec<String> {
    let listed = std::process::Command::new("ps")
        .args(["-o", "args=", "-p", &pid.to_string()])
        .output();
    let text = listed
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::runs_as;

    #[test]
    fn a_process_is_the_node_it_was_started_as() {
        let mut child = Command::new("sh")
            .args(["-c", "echo; read line", "sh", "--id", "n7"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Once it has written, it is no longer the fork of this test.
        let mut said = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        let judged = [
            runs_as(child.id(), "n7"),
            runs_as(child.id(), "n1"),
            runs_as(u32::MAX, "n7"),
        ];
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(judged, [true, false, false]);
    }
}
