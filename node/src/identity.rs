//! Who this data folder is to the cluster: `<folder>/identity.json`.
//!
//! A name such as `n1` outlives its folder; the random Raft id in here does not, so a node whose folder was
//! wiped comes back as somebody else and can't vote twice in one term. The id is on disk before anything
//! is said to another node. The founding membership stays in here until the cluster's first entry is
//! in the log, so that a crash in the middle of forming ends in the same cluster and not in a second one.

use std::{
    io,
    path::{Path, PathBuf},
};

use rand::Rng;
use serde::{Deserialize, Serialize};
use wiber_protocol::{
    ids::{ClusterId, RaftId},
    membership::{Member, Membership},
};

use crate::{folder::REBUILD, small_files::SmallFiles};

const VERSION: u32 = 1;

/// The identity of one data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node id in `cluster.yaml` that the folder was made for.
    pub name: String,
    /// Random, never 0, made once.
    pub raft_id: RaftId,
    /// `None` until a cluster has formed with this member or has taken it in.
    pub cluster_id: Option<ClusterId>,
    /// What the cluster was agreed to start as.
    pub founding: Option<Membership>,
    /// Configured nodes the cluster was formed without; they may join later.
    pub awaited: Vec<Member>,
    /// The folder has a log of this cluster. If it is then missing, the node's votes are lost with it.
    pub log_started: bool,
}

/// Why a node has no identity to start with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{} is damaged: {reason}; without it this node can't know whom it voted for: restore it, or {REBUILD}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} belongs to node `{found}`, not to `{expected}`", path.display())]
    OtherNode {
        path: PathBuf,
        expected: String,
        found: String,
    },
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    identity: Fields,
    /// CRC-32C of `identity` as compact JSON, hex digits: one flipped digit of an id is another voter.
    checksum: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    version: u32,
    name: String,
    raft_id: RaftId,
    cluster_id: Option<ClusterId>,
    founding: Option<Membership>,
    awaited: Vec<Member>,
    log_started: bool,
}

impl Fields {
    fn checksum(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{:08x}", crc32c::crc32c(&serde_json::to_vec(self)?)))
    }
}

impl Identity {
    /// Reads the identity at `path`, or makes one for `name` and stores it.
    pub fn load_or_create(
        path: &Path,
        name: &str,
        rng: &mut dyn Rng,
        files: &dyn SmallFiles,
    ) -> Result<Self, IdentityError> {
        let Some(bytes) = files.read(path)? else {
            let raft_id = RaftId(rng.next_u64().max(1));
            let identity = Self {
                name: name.to_owned(),
                raft_id,
                cluster_id: None,
                founding: None,
                awaited: Vec::new(),
                log_started: false,
            };
            identity.store(path, files)?;
            return Ok(identity);
        };
        let identity = Self::parse(&bytes).map_err(|reason| IdentityError::Damaged {
            path: path.to_owned(),
            reason,
        })?;
        if identity.name != name {
            return Err(IdentityError::OtherNode {
                path: path.to_owned(),
                expected: name.to_owned(),
                found: identity.name,
            });
        }
        Ok(identity)
    }

    /// Writes the identity; it is durable when this returns.
    pub fn store(&self, path: &Path, files: &dyn SmallFiles) -> Result<(), IdentityError> {
        Ok(files.replace(path, &self.to_json().map_err(io::Error::from)?)?)
    }

    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let identity = Fields {
            version: VERSION,
            name: self.name.clone(),
            raft_id: self.raft_id,
            cluster_id: self.cluster_id,
            founding: self.founding.clone(),
            awaited: self.awaited.clone(),
            log_started: self.log_started,
        };
        let checksum = identity.checksum()?;
        let mut text = serde_json::to_vec_pretty(&IdentityFile { identity, checksum })?;
        text.push(b'\n');
        Ok(text)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: IdentityFile = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let fields = file.identity;
        if fields.version != VERSION {
            return Err(format!(
                "version is {}, this program knows {VERSION}",
                fields.version
            ));
        }
        let expected = fields.checksum().map_err(|e| e.to_string())?;
        if file.checksum != expected {
            return Err(format!("checksum is `{}`, expected `{expected}`", file.checksum));
        }
        let Fields {
            name,
            raft_id,
            cluster_id,
            founding,
            awaited,
            log_started,
            ..
        } = fields;
        Ok(Self {
            name,
            raft_id,
            cluster_id,
            founding,
            awaited,
            log_started,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use tempfile::TempDir;

    use super::*;
    use crate::small_files::OsFiles;

    fn folder() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        (folder, path)
    }

    fn load(path: &Path, name: &str, seed: u64) -> Result<Identity, IdentityError> {
        Identity::load_or_create(path, name, &mut StdRng::seed_from_u64(seed), &OsFiles)
    }

    #[test]
    fn an_identity_is_made_once() {
        let (_folder, path) = folder();
        let made = load(&path, "n1", 1).unwrap();
        assert_eq!(load(&path, "n1", 2).unwrap(), made);
        assert_ne!(made.raft_id, RaftId(0));
    }

    #[test]
    fn a_wiped_folder_is_somebody_else() {
        let (_folder, path) = folder();
        let made = load(&path, "n1", 1).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_ne!(load(&path, "n1", 2).unwrap().raft_id, made.raft_id);
    }

    #[test]
    fn what_is_stored_reads_back() {
        let (_folder, path) = folder();
        let mut identity = load(&path, "n1", 1).unwrap();
        let member = Member {
            name: "n1".into(),
            host: "127.0.0.1".into(),
            port: 9101,
        };
        identity.cluster_id = Some(ClusterId(7));
        identity.founding = Some(Membership {
            voter_sets: vec![[identity.raft_id].into()],
            members: [(identity.raft_id, member)].into(),
        });
        identity.awaited = vec![Member {
            name: "n3".into(),
            host: "127.0.0.1".into(),
            port: 9103,
        }];
        identity.log_started = true;
        identity.store(&path, &OsFiles).unwrap();
        assert_eq!(load(&path, "n1", 2).unwrap(), identity);
    }

    #[test]
    fn another_nodes_folder_is_refused() {
        let (_folder, path) = folder();
        load(&path, "n1", 1).unwrap();
        let error = load(&path, "n2", 2).unwrap_err();
        assert!(
            error.to_string().contains("belongs to node `n1`, not to `n2`"),
            "{error}"
        );
    }

    #[test]
    fn every_torn_file_is_refused_and_left_as_it_is() {
        let (_folder, path) = folder();
        load(&path, "n1", 1).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // The last byte is only the newline.
        for len in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = load(&path, "n1", 2).unwrap_err();
            assert!(
                matches!(error, IdentityError::Damaged { .. }),
                "{len} bytes: {error}"
            );
            for words in ["identity.json is damaged", "start the node with --rebuild"] {
                assert!(error.to_string().contains(words), "{error}");
            }
            assert_eq!(std::fs::read(&path).unwrap().len(), len);
        }
    }

    #[test]
    fn every_changed_letter_is_refused() {
        let (_folder, path) = folder();
        let made = load(&path, "n1", 1).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[at] ^= 0x01;
            std::fs::write(&path, &garbled).unwrap();
            match load(&path, "n1", 2) {
                // White space between the fields carries no meaning.
                Ok(same) => assert_eq!(same, made, "byte {at}"),
                Err(IdentityError::Damaged { .. }) => {}
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }
}
