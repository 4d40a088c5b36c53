//! What the machine says about itself and about a process.

use std::{fs, time::Duration};

/// Resident memory of a process in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// All of it, mapped files included.
    pub(super) resident: u64,
    /// What belongs to no file.
    pub(super) anonymous: u64,
}

/// `None` where the system does not tell (only Linux does).
pub(super) fn memory(pid: u32) -> Option<Memory> {
    parse_memory(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory {
        resident: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
    })
}

/// The unit of `/proc/<pid>/stat`, the same on every processor that Rust's standard library runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used of the processors, all its threads together; `None` where the system does not tell (only
/// Linux does).
pub(super) fn processor_time(pid: u32) -> Option<Duration> {
    parse_processor_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_processor_time(stat: &str) -> Option<Duration> {
    // The name before it may hold spaces and brackets itself.
    let (_, fields) = stat.rsplit_once(')')?;
    // proc_pid_stat(5): `utime` and `stime` are fields 14 and 15, and the first here is field 3.
    let mut ticks = fields.split_whitespace().skip(11);
    let user: u32 = ticks.next()?.parse().ok()?;
    let system: u32 = ticks.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

/// Processors this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The load average of the last minute; other work on the machine lifts it.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nRssFile:\t 0 kB\n";
        let memory = parse_memory(status).unwrap();
        assert_eq!((memory.resident, memory.anonymous), (2 << 20, 1 << 20));
        assert_eq!(parse_memory("Name:\tx\n"), None);
    }

    #[test]
    fn processor_time_is_that_of_user_and_system_in_hundredths_of_a_second() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 3 0 120 45 9 9 20 0 5 0 100";
        assert_eq!(parse_processor_time(stat), Some(Duration::from_millis(1_650)));
        assert_eq!(parse_processor_time("7 (a) S 1"), None);
    }
}
