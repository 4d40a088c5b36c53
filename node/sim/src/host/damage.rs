//! A disk that changes what was on it, and what a person then does about it: start the node with `--rebuild`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use wiber_node::group::Group;

use super::Host;
use crate::{count::Count, say};

/// A folder that a node must refuse.
pub(super) struct Damage {
    /// The file in which a byte is not what it was.
    file: PathBuf,
    /// The log's files as they were before the node was started.
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Host {
    fn log_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let folder = Path::new("/").join(&self.name).join("log");
        let mut files = self.disk().contents();
        files.retain(|path, _| path.starts_with(&folder));
        files
    }

    /// Changes a byte of a segment that is still needed and that another one follows: all of it is known to be durable.
    pub(super) fn damage(&self, group: &Group) {
        let files = self.log_files();
        let base = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let is_segment = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "seg");
        let segments: Vec<(u64, &PathBuf)> = files
            .keys()
            .filter(is_segment)
            .filter_map(|path| Some((base(path)?, path)))
            .collect();
        let purged = group.log.log().purged().map_or(0, |(_, index)| index + 1);
        let needed = segments.windows(2).filter(|pair| pair[1].0 > purged);
        let needed: Vec<&PathBuf> = needed.map(|pair| pair[0].1).collect();
        if needed.is_empty() {
            return;
        }
        let file = needed[self.dice.index(needed.len())].clone();
        // Zeros at its end only kept room.
        let written = files[&file].iter().rposition(|byte| *byte != 0);
        let position = self.dice.index(written.map_or(1, |last| last + 1));
        say!(
            self.world,
            "DISK",
            "changes byte {position} of {}",
            file.display()
        );
        self.world.count(Count::Damaged);
        self.disk().flip_byte(&file, position);
        *self.damaged.lock() = Some(Damage {
            file,
            before: BTreeMap::new(),
        });
    }

    /// The node is about to start.
    pub(super) fn note_damaged_log(&self) {
        let files = self.log_files();
        if let Some(damage) = &mut *self.damaged.lock() {
            damage.before = files;
        }
    }

    /// However its run ended, the node has not opened a damaged log.
    pub(super) fn refuses_damage(&self) {
        if let Some(damage) = &*self.damaged.lock()
            && self.group().is_some()
        {
            let (name, file) = (&self.name, damage.file.display());
            self.world
                .fail(format!("{name} has opened its log, and {file} is damaged"));
        }
    }

    /// Whether the node gave up because its log is damaged, and said so. Then it left everything as it was.
    pub(super) fn told_damage(&self, text: &str) -> bool {
        let files = self.log_files();
        let mut damaged = self.damaged.lock();
        let told = damaged.take_if(|damage| {
            text.contains("is damaged at byte") && text.contains(&damage.file.display().to_string())
        });
        let Some(damage) = told else { return false };
        self.world.count(Count::DamageRefused);
        if damage.before != files {
            self.world
                .fail(format!("{} has changed a damaged log", self.name));
        }
        true
    }

    /// What `wiber-node --rebuild` does before the node starts.
    pub(super) fn set_aside(&self) {
        let folder = Path::new("/").join(&self.name);
        let aside = format!("{}.set-aside-{}", self.name, self.runs.load(Relaxed));
        self.disk().rename_dir(&folder, &Path::new("/").join(aside));
        self.join_only.store(true, Relaxed);
        self.world.count(Count::Rebuild);
    }
}
