//! How tagged values are read. Serde reads an internally tagged enum by first keeping the whole value in a form
//! of its own and then reading that: for a snapshot of the cluster this is a second copy and a second set of
//! readers in the wasm. Here a tagged value is read flat, all its possible fields at once, and then understood.

use serde::Deserialize;

use super::{Change, ClusterView, LiveFrame, ProcessState};

/// A field that its tag calls for is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field {field:?} of a {tag:?} is missing")]
pub(super) struct Missing {
    tag: &'static str,
    field: &'static str,
}

fn needed<T>(value: Option<T>, tag: &'static str, field: &'static str) -> Result<T, Missing> {
    value.ok_or(Missing { tag, field })
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FrameTag {
    Snapshot,
    Change,
}

#[derive(Deserialize)]
pub(super) struct FlatFrame {
    event: FrameTag,
    view: Option<ClusterView>,
    seq: Option<u64>,
    at_ms: Option<i64>,
    change: Option<Change>,
}

impl TryFrom<FlatFrame> for LiveFrame {
    type Error = Missing;

    fn try_from(flat: FlatFrame) -> Result<Self, Missing> {
        Ok(match flat.event {
            FrameTag::Snapshot => Self::Snapshot {
                view: needed(flat.view, "snapshot", "view")?,
            },
            FrameTag::Change => Self::Change {
                seq: needed(flat.seq, "change", "seq")?,
                at_ms: needed(flat.at_ms, "change", "at_ms")?,
                change: needed(flat.change, "change", "change")?,
            },
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProcessTag {
    Stopped,
    Starting,
    Running,
    Exited,
}

#[derive(Deserialize)]
pub(super) struct FlatProcess {
    state: ProcessTag,
    pid: Option<u32>,
    by_gateway: Option<bool>,
    how: Option<String>,
    at_ms: Option<i64>,
    expected: Option<bool>,
}

impl TryFrom<FlatProcess> for ProcessState {
    type Error = Missing;

    fn try_from(flat: FlatProcess) -> Result<Self, Missing> {
        Ok(match flat.state {
            ProcessTag::Stopped => Self::Stopped,
            ProcessTag::Starting => Self::Starting {
                pid: needed(flat.pid, "starting", "pid")?,
            },
            ProcessTag::Running => Self::Running {
                pid: needed(flat.pid, "running", "pid")?,
                by_gateway: needed(flat.by_gateway, "running", "by_gateway")?,
            },
            ProcessTag::Exited => Self::Exited {
                how: needed(flat.how, "exited", "how")?,
                at_ms: needed(flat.at_ms, "exited", "at_ms")?,
                expected: needed(flat.expected, "exited", "expected")?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};
    use wiber_protocol::status::{Formation, Role};

    use super::*;
    use crate::cluster::fixture::{at_positions, blank, cluster, gone, live};

    fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let text = serde_json::to_string(value).expect("it can be written");
        assert_eq!(&serde_json::from_str::<T>(&text).expect(&text), value);
    }

    #[test]
    fn every_frame_is_read_as_it_was_written() {
        let mut waiting = live("n4", Role::Learner, 0);
        if let Some(status) = &mut waiting.status {
            status.formation = Formation::Waiting {
                missing: vec!["n3".into()],
            };
        }
        let starting = crate::view::NodeView {
            process: ProcessState::Starting { pid: 7 },
            ..blank("n5")
        };
        let nodes = vec![
            at_positions(live("n1", Role::Leader, 7), [1, 2, 3, 4]),
            gone("n2", false),
            blank("n3"),
            waiting,
            starting,
        ];
        survives(&LiveFrame::Snapshot {
            view: cluster(&nodes),
        });
        let change = Change {
            nodes,
            records_per_s: Some(0.5),
            ..Change::default()
        };
        survives(&LiveFrame::Change {
            seq: 9,
            at_ms: -1,
            change,
        });
    }

    #[test]
    fn the_tag_stands_beside_the_fields() {
        let frame = LiveFrame::Change {
            seq: 2,
            at_ms: 3,
            change: Change::default(),
        };
        let text = serde_json::to_string(&frame).expect("it can be written");
        assert_eq!(text, r#"{"event":"change","seq":2,"at_ms":3,"change":{}}"#);
        let exited = ProcessState::Exited {
            how: "exit status 2".into(),
            at_ms: 4,
            expected: false,
        };
        let text = serde_json::to_string(&exited).expect("it can be written");
        assert_eq!(
            text,
            r#"{"state":"exited","how":"exit status 2","at_ms":4,"expected":false}"#
        );
    }

    #[test]
    fn a_frame_without_what_its_tag_calls_for_is_refused() {
        let read = serde_json::from_str::<LiveFrame>;
        let missing = read(r#"{"event":"change","seq":2,"at_ms":3}"#)
            .expect_err("no change")
            .to_string();
        assert!(missing.contains("\"change\""), "{missing}");
        assert!(read(r#"{"event":"snapshot"}"#).is_err());
        assert!(read(r#"{"event":"other"}"#).is_err());
        assert!(read(r#"{"seq":2}"#).is_err());
    }
}
