//! What a failed operation on the disk says: which operation, which file, which error. It is kept as text, as every
//! waiting callback gets a copy.

use std::{io, path::Path};

use crate::error::OpenError;

#[derive(Debug)]
pub(crate) struct Failure {
    op: &'static str,
    file: std::path::PathBuf,
    source: io::Error,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.op, self.file.display(), self.source)
    }
}

impl Failure {
    /// Whether the disk had no room, which may pass.
    pub(crate) fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Io {
            op: failure.op,
            file: failure.file,
            source: failure.source,
        }
    }
}

/// Names the operation and the file in a result.
pub(crate) fn tried<T>(op: &'static str, file: &Path, result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|source| Failure {
        op,
        file: file.to_owned(),
        source,
    })
}
