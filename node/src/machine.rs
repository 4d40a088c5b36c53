//! What a node asks of the machine under it, beside time ([`crate::clock`]) and tasks ([`crate::runtime`]): a disk,
//! connections to other nodes, and somebody to give the log's writer its turns.

use std::{io, path::Path, sync::Arc};

use wiber_storage::{Disk, Log, LogOptions, Observer, OpenError, RealDisk, Recovered, Writer};

use crate::{
    rpc::transport::{Tcp, Transport},
    small_files::{DiskFiles, SmallFiles},
    time::ProbeSocket,
};

/// The machine, or what a simulation puts in its place. Clones share it.
#[derive(Clone)]
pub struct Machine {
    pub disk: Arc<dyn Disk>,
    pub transport: Arc<dyn Transport>,
    /// Takes over a log's writer; `None` gives it a thread of its own.
    pub drive: Option<Arc<dyn Fn(Writer) + Send + Sync>>,
    /// Carries time probes; without it no clock is measured.
    pub probes: Option<Arc<dyn ProbeSocket>>,
}

impl Machine {
    /// This machine.
    pub fn real() -> Self {
        Self {
            disk: Arc::new(RealDisk::new()),
            transport: Arc::new(Tcp),
            drive: None,
            probes: None,
        }
    }

    pub fn small_files(&self) -> Arc<dyn SmallFiles> {
        Arc::new(DiskFiles(self.disk.clone()))
    }

    /// Whether there is such a folder.
    pub fn has_folder(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_dir(path)
    }

    /// Recovers the log in `dir` and starts its writer; blocks.
    pub fn open_log(
        &self,
        dir: &Path,
        options: LogOptions,
        observer: Arc<dyn Observer>,
    ) -> Result<(Log, Recovered), OpenError> {
        let Some(drive) = &self.drive else {
            return Log::open(dir, options, self.disk.clone(), observer);
        };
        let (log, writer, recovered) = Log::open_driven(dir, options, self.disk.clone(), observer)?;
        drive(writer);
        Ok((log, recovered))
    }
}

/// Which machine this is, for as long as it runs: nodes that find the same number in each other read the same clock. 0 where
/// that cannot be told.
pub fn machine_id() -> u64 {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = boot.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}
