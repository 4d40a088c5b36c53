//! `config/cluster.yaml`: which nodes there are and where they listen.
//!
//! A wrong configuration must be refused with the file, the line and the reason. `serde_yaml` knows the line
//! of an error only when it is raised while the offending value is being read, so every rule is checked inside
//! a visitor: a value's own rules at the value, a duplicate id at the second one, rules between fields at
//! the node they belong to.
//!
//! The schema is a mapping with the list `nodes`, each `{ id, host, port }`, and optionally `retention`, a mapping with
//! `max_age` and `max_bytes`, and `limits`, one with `max_message`. Anything added later is optional.

mod limits;
mod retention;
mod seeds;

use serde::de::{Deserialize as _, DeserializeSeed as _, IgnoredAny};

use self::seeds::{ConfigSeed, SecondDocument};
pub use self::{limits::Limits, retention::Retention};

/// The highest client port: the derived ports must fit, too.
pub const MAX_PORT: u16 = 64_535;
/// The longest node id in bytes: it names a folder.
pub const MAX_NODE_ID_BYTES: usize = 32;
/// The longest host name in bytes (RFC 1035, section 2.3.4).
pub const MAX_HOST_BYTES: usize = 253;

const ADMIN_PORT_OFFSET: u16 = 100;
pub const TIME_PORT_OFFSET: u16 = 200;
/// The node-to-node port stands this far above the client port.
pub const RPC_PORT_OFFSET: u16 = 1000;

/// One node as `cluster.yaml` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// `[A-Za-z0-9_-]{1,32}`, unique even where case is ignored.
    pub id: String,
    pub host: String,
    /// The client line protocol's port, 1 to [`MAX_PORT`].
    pub port: u16,
}

impl NodeSpec {
    /// HTTP admin: `/healthz /readyz /metrics /status /events`.
    pub fn admin_port(&self) -> u16 {
        self.port.saturating_add(ADMIN_PORT_OFFSET)
    }

    /// Time synchronisation.
    pub fn time_port(&self) -> u16 {
        self.port.saturating_add(TIME_PORT_OFFSET)
    }

    /// Node to node.
    pub fn rpc_port(&self) -> u16 {
        self.port.saturating_add(RPC_PORT_OFFSET)
    }

    fn ports(&self) -> [u16; 4] {
        [self.port, self.admin_port(), self.time_port(), self.rpc_port()]
    }

    /// Whether both name the same machine, as far as the names alone can tell.
    fn shares_host(&self, other: &Self) -> bool {
        let name = |host: &str| match host.to_ascii_lowercase() {
            local if local == "localhost" || local == "::1" => "127.0.0.1".to_owned(),
            other => other,
        };
        name(&self.host) == name(&other.host)
    }
}

/// The nodes a cluster is made of, in the file's order: at least one, ids unique, no two ports alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    pub nodes: Vec<NodeSpec>,
    pub retention: Retention,
    pub limits: Limits,
}

/// Why a configuration was refused. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct ConfigError {
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    pub reason: String,
}

impl ClusterConfig {
    pub fn node(&self, id: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Reads the text of a configuration; `file` is its name in error messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        // What the parser can't name the line of is refused before it.
        if let Some(at) = text.find(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) {
            return Err(error(
                text,
                file,
                line_of(text.as_bytes(), at),
                "contains a control character",
            ));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let yaml_error = |e: serde_yaml::Error| yaml_error(text, file, &e);
        // A broken line often looks like a missing field from above, so syntax is checked first.
        for document in serde_yaml::Deserializer::from_str(text) {
            IgnoredAny::deserialize(document).map_err(yaml_error)?;
        }
        let mut documents = serde_yaml::Deserializer::from_str(text);
        let config = documents
            .next()
            .map(|first| ConfigSeed.deserialize(first))
            .transpose()
            .map_err(yaml_error)?;
        if let Some(second) = documents.next() {
            SecondDocument.deserialize(second).map_err(yaml_error)?;
        }
        let config = config.flatten().ok_or_else(|| {
            error(
                text,
                file,
                1,
                "the file is empty, expected a mapping with the list `nodes`",
            )
        })?;
        Ok(config)
    }

    /// [`Self::parse`] for a file's bytes, which may not be UTF-8.
    pub fn parse_bytes(bytes: &[u8], file: &str) -> Result<Self, ConfigError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text, file),
            Err(e) => {
                let line = line_of(bytes, e.valid_up_to());
                Err(ConfigError {
                    file: file.to_owned(),
                    line,
                    reason: "is not UTF-8 text".to_owned(),
                })
            }
        }
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    bytes[..at].split(|byte| *byte == b'\n').count()
}

fn error(text: &str, file: &str, line: usize, reason: &str) -> ConfigError {
    // A parser that runs out of input stands on the line after the last.
    let line = line.clamp(1, text.lines().count().max(1));
    let mut one_line = String::with_capacity(reason.len());
    for c in reason.chars() {
        if c.is_control() {
            one_line.extend(c.escape_default());
        } else {
            one_line.push(c);
        }
    }
    ConfigError {
        file: file.to_owned(),
        line,
        reason: one_line,
    }
}

fn yaml_error(text: &str, file: &str, e: &serde_yaml::Error) -> ConfigError {
    let mut reason = e.to_string();
    let Some(at) = e.location() else {
        return error(text, file, 1, &reason);
    };
    let suffix = format!(" at line {} column {}", at.line(), at.column());
    if let Some(bare) = reason.strip_suffix(&suffix) {
        reason.truncate(bare.len());
    }
    error(text, file, at.line(), &reason)
}

#[cfg(test)]
mod tests;
