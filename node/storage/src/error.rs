//! Why a log could not be opened, in words that say which file, where, and what was expected.

use std::{io, path::PathBuf};

/// A log that refuses to open has changed nothing on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Bytes that were durable are not what was written. Never repaired by truncation: the node that owns this
    /// log has lost its word and must be rebuilt under a new identity.
    #[error(
        "{} is damaged at byte {position}: expected {expected}, found {found}; start the node with --rebuild to set \
         its data aside and take it from the others", file.display()
    )]
    Damaged {
        file: PathBuf,
        position: u64,
        expected: String,
        found: String,
    },
    /// A log was made in this folder before, and there is none. What it promised cannot be kept.
    #[error("{} has no log any more", dir.display())]
    Missing { dir: PathBuf },
    /// The files belong to another cluster or group.
    #[error("{} belongs to {found}, not to {expected}", file.display())]
    WrongStamp {
        file: PathBuf,
        expected: String,
        found: String,
    },
    /// Written by a version of this program that knows more than this one.
    #[error("{} has format version {found}, this program reads version {expected}", file.display())]
    UnknownVersion {
        file: PathBuf,
        expected: u32,
        found: u32,
    },
    #[error("log options: {what}")]
    Options { what: String },
    #[error("{op} {}: {source}", file.display())]
    Io {
        op: &'static str,
        file: PathBuf,
        source: io::Error,
    },
}
