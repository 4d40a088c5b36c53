//! Visitors that check each value of a configuration while it is being read, each being the seed that carries what it
//! must know of what was read before.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{
    ClusterConfig, MAX_HOST_BYTES, MAX_NODE_ID_BYTES, MAX_PORT, NodeSpec, Retention,
    limits::{Limits, LimitsSeed},
    retention::RetentionSeed,
};

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
pub(super) struct Key<'a> {
    pub known: &'static [&'static str],
    pub seen: &'a mut Vec<&'static str>,
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
pub(super) struct ConfigSeed;

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
        let (mut nodes, mut retention, mut limits) = (None, Retention::default(), Limits::default());
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(Key {
            known: &["nodes", "retention", "limits"],
            seen: &mut seen,
        })? {
            match key {
                "nodes" => nodes = Some(map.next_value_seed(NodesSeed)?),
                "limits" => limits = map.next_value_seed(LimitsSeed)?,
                _ => retention = map.next_value_seed(RetentionSeed)?,
            }
        }
        let nodes = nodes.ok_or_else(|| A::Error::custom("the key `nodes` is missing"))?;
        Ok(Some(ClusterConfig {
            nodes,
            retention,
            limits,
        }))
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
pub(super) struct SecondDocument;

seed!(SecondDocument, ());

impl Visitor<'_> for SecondDocument {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("one YAML document, not a second one")
    }
}
