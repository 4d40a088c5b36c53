//! Identities and positions that must not be mistaken for one another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Which Raft group a frame or entry belongs to. One process has one group today; the formats
/// carry the number from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u32);

/// The random id of one data folder's Raft member. A name such as `n1` outlives its folder; this
/// id does not, which is why a wiped node can never vote for its old self.
///
/// Written as 16 hex digits, because JSON numbers are exact only up to 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RaftId(pub u64);

/// The random id of a formed cluster, 32 hex digits. Frames of another cluster are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

/// The id text was not the expected number of hex digits.
#[derive(Debug, thiserror::Error)]
#[error("expected {digits} hex digits, found `{found}`")]
pub struct ParseIdError {
    digits: usize,
    found: String,
}

macro_rules! hex_id {
    ($name:ident, $int:ty, $digits:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = || ParseIdError {
                    digits: $digits,
                    found: text.to_owned(),
                };
                if text.len() != $digits {
                    return Err(error());
                }
                <$int>::from_str_radix(text, 16)
                    .map(Self)
                    .map_err(|_| error())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(D::Error::custom)
            }
        }
    };
}

hex_id!(RaftId, u64, 16);
hex_id!(ClusterId, u128, 32);

/// A position in the Raft log: the term whose leader made the entry, and its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    pub term: u64,
    pub index: u64,
}

/// A Raft vote: the term, whom it is for, and whether a majority has confirmed that leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    pub term: u64,
    pub voted_for: RaftId,
    pub committed: bool,
}
