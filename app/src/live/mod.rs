//! The one picture of the cluster that every component reads, on the server and in the browser.
//!
//! The server takes a [`ClusterView`] from the gateway, renders it, and writes it into the page; the browser
//! starts from that very value, so both render the same, and then a socket keeps it current. The whole view
//! is the truth; what components read are signals cut out of it, one per node, so that one node's change
//! repaints one row. Numbers are repainted at most four times a second (see [`pace`]); whatever changes how
//! a node stands is repainted at once.

pub mod pace;
#[cfg(feature = "hydrate")]
mod socket;
#[cfg(test)]
mod tests;

#[cfg(feature = "hydrate")]
pub use socket::socket_url;

use std::collections::VecDeque;

use leptos::prelude::*;
use wiber_protocol::event::TraceEvent;

use crate::view::{Change, ClusterView, Happening, NodeView, SequenceGap};

/// The newest trace events that are written into a rendered page; the socket's snapshot brings the rest.
pub const RENDERED_TRACE_EVENTS: usize = 200;

/// Samples of the commit rate that are kept, one a second.
pub const RATE_SAMPLES: usize = 60;

/// How the page hears of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// What the server rendered, and no socket yet: a still picture.
    #[default]
    Rendered,
    /// Frames arrive.
    Live,
    /// The socket ended or fell silent; it is being reopened.
    Lost,
}

/// Where a reader of the trace stands. Within one `epoch`, events are only added (and the oldest dropped);
/// a new epoch means a new snapshot, to be read from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceMark {
    pub epoch: u32,
    /// Events that have arrived in this epoch, those dropped at the bound included.
    pub arrived: u64,
}

/// One node's signal, by name.
#[derive(Clone)]
struct NodeCell {
    id: String,
    view: ArcRwSignal<NodeView>,
}

/// A handle on the live picture: cheap to copy, found by [`use_live`].
#[derive(Clone, Copy)]
pub struct Live {
    /// The truth, as far as frames have arrived.
    view: StoredValue<ClusterView>,
    cells: RwSignal<Vec<NodeCell>>,
    records_per_s: RwSignal<f64>,
    happenings: RwSignal<VecDeque<Happening>>,
    trace: RwSignal<TraceMark>,
    connection: RwSignal<Connection>,
    paused: RwSignal<bool>,
    /// The gateway's clock as the browser estimates it, milliseconds since the Unix epoch.
    now_ms: RwSignal<i64>,
    /// The same clock when the newest frame arrived.
    heard_at_ms: RwSignal<i64>,
    /// Minutes by which the reader's clock is ahead of UTC; 0 until the browser says.
    utc_offset_min: RwSignal<i32>,
    rates: RwSignal<VecDeque<f64>>,
}

/// The live picture. Panics outside [`provide_live`]'s tree, which spans the whole app.
pub fn use_live() -> Live {
    expect_context::<Live>()
}

/// Makes the picture, offers it to the tree below, and (in the browser) keeps it current.
pub fn provide_live() -> Live {
    let rendered = SharedValue::new(rendered_view).into_inner();
    let live = Live::from_view(rendered);
    provide_context(live);
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| socket::keep_current(live));
    live
}

/// The gateway's picture at the moment of rendering; empty where nobody offers one.
fn rendered_view() -> ClusterView {
    #[cfg(feature = "ssr")]
    {
        use std::sync::Arc;

        use crate::service::ClusterService;

        if let Some(service) = use_context::<Arc<dyn ClusterService>>() {
            let mut view = service.view();
            view.keep_newest_trace(RENDERED_TRACE_EVENTS, RENDERED_TRACE_EVENTS / 8);
            return view;
        }
    }
    ClusterView::default()
}

impl Live {
    /// The picture of a view that nothing keeps current yet.
    pub fn from_view(view: ClusterView) -> Self {
        Self {
            cells: RwSignal::new(cells_of(&view)),
            records_per_s: RwSignal::new(view.records_per_s),
            happenings: RwSignal::new(view.happenings.clone()),
            trace: RwSignal::new(TraceMark {
                epoch: 0,
                arrived: view.trace.len() as u64,
            }),
            connection: RwSignal::new(Connection::Rendered),
            paused: RwSignal::new(false),
            now_ms: RwSignal::new(view.at_ms),
            heard_at_ms: RwSignal::new(view.at_ms),
            utc_offset_min: RwSignal::new(0),
            rates: RwSignal::new(VecDeque::new()),
            view: StoredValue::new(view),
        }
    }

    /// The nodes' names in the order of `cluster.yaml`; changes only when that does.
    pub fn node_ids(self) -> Vec<String> {
        self.cells
            .with(|cells| cells.iter().map(|cell| cell.id.clone()).collect())
    }

    /// One node as last painted; a blank one for a name that is not (yet) known.
    pub fn node(self, id: &str) -> NodeView {
        self.cell(id).map(|cell| cell.get()).unwrap_or_default()
    }

    /// All nodes as last painted.
    pub fn nodes(self) -> Vec<NodeView> {
        self.cells
            .with(|cells| cells.iter().map(|cell| cell.view.get()).collect())
    }

    /// Commits per second over the last second.
    pub fn records_per_s(self) -> f64 {
        self.records_per_s.get()
    }

    /// *What happened*, oldest first.
    pub fn happenings(self) -> VecDeque<Happening> {
        self.happenings.get()
    }

    /// Follows the trace: changes with every batch of events, at the pace of the socket.
    pub fn trace_mark(self) -> TraceMark {
        self.trace.get()
    }

    /// Reads the trace as it is now, oldest first, without following it.
    pub fn with_trace<R>(self, read: impl FnOnce(&VecDeque<TraceEvent>) -> R) -> R {
        self.view.with_value(|view| read(&view.trace))
    }

    pub fn connection(self) -> Connection {
        self.connection.get()
    }

    /// Whether painting is held; events go on arriving underneath.
    pub fn paused(self) -> bool {
        self.paused.get()
    }

    /// The same for event handlers, which follow nothing.
    pub fn paused_untracked(self) -> bool {
        self.paused.get_untracked()
    }

    /// Holds painting, or goes on with the newest.
    pub fn set_paused(self, paused: bool) {
        self.paused.set(paused);
        if !paused {
            self.paint();
        }
    }

    /// The gateway's clock now, milliseconds since the Unix epoch; ticks four times a second in the browser.
    pub fn now_ms(self) -> i64 {
        self.now_ms.get()
    }

    /// The gateway's clock when the newest frame arrived, milliseconds since the Unix epoch.
    pub fn heard_at_ms(self) -> i64 {
        self.heard_at_ms.get()
    }

    /// The same, without following it.
    pub fn heard_at_untracked(self) -> i64 {
        self.heard_at_ms.get_untracked()
    }

    /// How long ago the newest frame arrived, milliseconds.
    pub fn age_ms(self) -> i64 {
        (self.now_ms.get() - self.heard_at_ms.get()).max(0)
    }

    /// A moment as the time of day where the reader is: UTC on the server, local time once in the browser.
    pub fn time_of_day(self, at_ms: i64) -> String {
        crate::words::time_of_day(at_ms, self.utc_offset_min.get())
    }

    /// The commit rate as this page saw it, one sample a second, oldest first, at most [`RATE_SAMPLES`].
    pub fn rates(self) -> VecDeque<f64> {
        self.rates.get()
    }

    fn cell(self, id: &str) -> Option<ArcRwSignal<NodeView>> {
        self.cells.with(|cells| {
            cells
                .iter()
                .find(|cell| cell.id == id)
                .map(|cell| cell.view.clone())
        })
    }

    /// Takes in a whole new picture.
    pub fn take_snapshot(self, view: ClusterView) {
        self.trace.update(|mark| {
            *mark = TraceMark {
                epoch: mark.epoch.wrapping_add(1),
                arrived: view.trace.len() as u64,
            };
        });
        self.heard(view.at_ms);
        self.view.set_value(view);
        if !self.paused.get_untracked() {
            self.paint();
        }
    }

    /// Takes in one change. After a gap the picture is wrong, and a new snapshot is needed.
    pub fn take_change(self, seq: u64, at_ms: i64, change: Change) -> Result<(), SequenceGap> {
        let events = change.trace.len() as u64;
        let happened = !change.happenings.is_empty();
        self.view
            .try_update_value(|view| view.apply(seq, at_ms, change))
            .unwrap_or(Err(SequenceGap))?;
        self.heard(at_ms);
        if events > 0 {
            self.trace.update(|mark| mark.arrived += events);
        }
        if happened && !self.paused.get_untracked() {
            self.happenings
                .set(self.view.with_value(|view| view.happenings.clone()));
        }
        Ok(())
    }

    fn heard(self, at_ms: i64) {
        self.heard_at_ms.set(at_ms);
        self.now_ms.set(at_ms);
    }

    /// Whether some node stands otherwise than it is painted: that is shown at once.
    pub fn is_urgent(self) -> bool {
        self.view.with_value(|view| {
            self.cells.with_untracked(|cells| {
                view.nodes.len() != cells.len()
                    || view.nodes.iter().zip(cells).any(|(node, cell)| {
                        cell.view
                            .with_untracked(|painted| pace::stands_otherwise(painted, node))
                    })
            })
        })
    }

    /// Brings every signal to what the view says; only what differs is set.
    pub fn paint(self) {
        self.view.with_value(|view| {
            let same_nodes = self.cells.with_untracked(|cells| {
                cells.len() == view.nodes.len()
                    && cells
                        .iter()
                        .zip(&view.nodes)
                        .all(|(cell, node)| cell.id == node.id)
            });
            if same_nodes {
                self.cells.with_untracked(|cells| {
                    for (cell, node) in cells.iter().zip(&view.nodes) {
                        if cell.view.with_untracked(|painted| painted != node) {
                            cell.view.set(node.clone());
                        }
                    }
                });
            } else {
                self.cells.set(cells_of(view));
            }
            if self
                .records_per_s
                .with_untracked(|painted| painted.to_bits() != view.records_per_s.to_bits())
            {
                self.records_per_s.set(view.records_per_s);
            }
            if self
                .happenings
                .with_untracked(|painted| *painted != view.happenings)
            {
                self.happenings.set(view.happenings.clone());
            }
        });
    }
}

fn cells_of(view: &ClusterView) -> Vec<NodeCell> {
    view.nodes
        .iter()
        .map(|node| NodeCell {
            id: node.id.clone(),
            view: ArcRwSignal::new(node.clone()),
        })
        .collect()
}
