//! `<data-root>/<id>/node.lock`: who runs on a data folder. The node writes it, the gateway reads it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The file's name in the data folder.
pub const LOCK_FILE: &str = "node.lock";
/// A lock file's text is never longer; whatever follows is not read.
pub const MAX_LOCK_BYTES: u64 = 1_024;

/// Who started a node, and so who may stop it: a gateway's graceful exit stops only its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartedBy {
    Gateway,
    Hand,
}

impl StartedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Hand => "hand",
        }
    }
}

impl fmt::Display for StartedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StartedBy {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "gateway" => Ok(Self::Gateway),
            "hand" => Ok(Self::Hand),
            _ => Err("neither `gateway` nor `hand`"),
        }
    }
}

/// What the file says about the process that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    pub pid: u32,
    pub started_by: StartedBy,
    /// Microseconds since the Unix epoch, by the node's own clock.
    pub started_at_us: i64,
    pub admin_port: u16,
}
