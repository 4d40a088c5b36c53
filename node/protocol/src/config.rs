//! `config/cluster.yaml`: which nodes there are and where they listen.
//!
//! A wrong configuration must be refused with the file, the line and the reason. `serde_yaml` knows the line
//! of an error only when it is raised while the offending value is being read, so every rule is checked inside
//! a visitor: a value's own rules at the value, a duplicate id at the second one, rules between fields at
//! the node they belong to.
//!
//! The schema is a mapping with the list `nodes`, each `{ id, host, port }`. Anything added later is optional.

use std::fmt;

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

/// The highest client port: the derived ports must fit, too.
pub const MAX_PORT: u16 = 64_535;
/// The longest node id in bytes: it names a folder.
pub const MAX_NODE_ID_BYTES: usize = 32;
/// The longest host name in bytes (RFC 1035, section 2.3.4).
pub const MAX_HOST_BYTES: usize = 253;

const ADMIN_PORT_OFFSET: u16 = 100;
const TIME_PORT_OFFSET: u16 = 200;
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

/// Makes a visitor a seed, so that it can carry what it needs to know. `any`: YAML says what stands there, and a
/// `9101` in quotes is no number.
macro_rules! seed {
    ($seed:ty, $value:ty) => {
        impl<'de> DeserializeSeed<'de> for $seed {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

/// Reads a mapping's key: one of `known`, and not one of `seen`.
struct Key<'a> {
    known: &'static [&'static str],
    seen: &'a mut Vec<&'static str>,
}

seed!(Key<'_>, &'static str);

impl Visitor<'_> for Key<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "one of the keys `{}`", self.known.join("`, `"))
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        let Some(key) = self.known.iter().find(|known| **known == key) else {
            return Err(E::custom(format_args!(
                "unknown key `{key}`, expected {}",
                ExpectedKey(&self)
            )));
        };
        if self.seen.contains(key) {
            return Err(E::custom(format_args!(
                "the key `{key}` stands here for the second time"
            )));
        }
        self.seen.push(key);
        Ok(key)
    }
}

struct ExpectedKey<'a, 'b>(&'a Key<'b>);

impl fmt::Display for ExpectedKey<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// Reads the whole document; `None` if there is none.
struct ConfigSeed;

seed!(ConfigSeed, Option<ClusterConfig>);

impl<'de> Visitor<'de> for ConfigSeed {
    type Value = Option<ClusterConfig>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a mapping with the list `nodes`")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut nodes, mut seen) = (None, Vec::new());
        while map
            .next_key_seed(Key {
                known: &["nodes"],
                seen: &mut seen,
            })?
            .is_some()
        {
            nodes = Some(map.next_value_seed(NodesSeed)?);
        }
        let nodes = nodes.ok_or_else(|| A::Error::custom("the key `nodes` is missing"))?;
        Ok(Some(ClusterConfig { nodes }))
    }
}

struct NodesSeed;

seed!(NodesSeed, Vec<NodeSpec>);

impl<'de> Visitor<'de> for NodesSeed {
    type Value = Vec<NodeSpec>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of nodes, each `{ id, host, port }`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element_seed(NodeSeed { earlier: &nodes })? {
            nodes.push(node);
        }
        if nodes.is_empty() {
            return Err(A::Error::custom(
                "the list is empty, a cluster needs at least one node",
            ));
        }
        Ok(nodes)
    }
}

/// Reads one node, which must agree with the nodes before it.
struct NodeSeed<'a> {
    earlier: &'a [NodeSpec],
}

seed!(NodeSeed<'_>, NodeSpec);

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = NodeSpec;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a node `{ id, host, port }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut id, mut host, mut port) = (None, None, None);
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(Key {
            known: &["id", "host", "port"],
            seen: &mut seen,
        })? {
            match key {
                "id" => id = Some(map.next_value_seed(Id::after(self.earlier))?),
                "host" => host = Some(map.next_value_seed(Host)?),
                _ => port = Some(map.next_value_seed(Port)?),
            }
        }
        let missing = |key: &str| A::Error::custom(format_args!("the key `{key}` is missing"));
        let node = NodeSpec {
            id: id.ok_or_else(|| missing("id"))?,
            host: host.ok_or_else(|| missing("host"))?,
            port: port.ok_or_else(|| missing("port"))?,
        };
        for other in self.earlier.iter().filter(|other| node.shares_host(other)) {
            if let Some(port) = node.ports().into_iter().find(|port| other.ports().contains(port)) {
                return Err(A::Error::custom(format_args!(
                    "nodes `{}` and `{}` would both use port {port} of host {}: each node uses port, port + 100, \
                     port + 200 and port + 1000",
                    other.id, node.id, node.host
                )));
            }
        }
        Ok(node)
    }
}

struct Id<'a> {
    earlier: &'a [NodeSpec],
}

impl<'a> Id<'a> {
    fn after(earlier: &'a [NodeSpec]) -> Self {
        Self { earlier }
    }
}

seed!(Id<'_>, String);

impl Visitor<'_> for Id<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "a string of 1 to {MAX_NODE_ID_BYTES} of the characters A-Z a-z 0-9 _ -"
        )
    }

    fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Self::Value, E> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if id.is_empty() || id.len() > MAX_NODE_ID_BYTES || !id.bytes().all(allowed) {
            return Err(E::invalid_value(Unexpected::Str(id), &self));
        }
        match self.earlier.iter().find(|node| node.id.eq_ignore_ascii_case(id)) {
            Some(node) if node.id == id => Err(E::custom(format_args!("duplicate id `{id}`"))),
            Some(node) => Err(E::custom(format_args!(
                "duplicate id `{id}`: it differs from `{}` in case alone, and both name a folder",
                node.id
            ))),
            None => Ok(id.to_owned()),
        }
    }
}

struct Host;

seed!(Host, String);

impl Visitor<'_> for Host {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a host name or address, a string without white space")
    }

    fn visit_str<E: serde::de::Error>(self, host: &str) -> Result<Self::Value, E> {
        let bad = |c: char| c.is_whitespace() || c.is_control();
        if host.is_empty() || host.len() > MAX_HOST_BYTES || host.contains(bad) {
            return Err(E::invalid_value(Unexpected::Str(host), &self));
        }
        Ok(host.to_owned())
    }
}

struct Port;

seed!(Port, u16);

impl Visitor<'_> for Port {
    type Value = u16;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a port from 1 to {MAX_PORT} (port + 1000 must fit, too)")
    }

    fn visit_u64<E: serde::de::Error>(self, port: u64) -> Result<Self::Value, E> {
        match u16::try_from(port) {
            Ok(port @ 1..=MAX_PORT) => Ok(port),
            _ => Err(E::invalid_value(Unexpected::Unsigned(port), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, port: i64) -> Result<Self::Value, E> {
        Err(E::invalid_value(Unexpected::Signed(port), &self))
    }
}

/// Refuses whatever follows the first document, so that the error stands where that begins.
struct SecondDocument;

seed!(SecondDocument, ());

impl Visitor<'_> for SecondDocument {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("one YAML document, not a second one")
    }
}

#[cfg(test)]
mod tests;
