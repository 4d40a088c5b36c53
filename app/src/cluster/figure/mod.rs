//! The log figure: every node's log on one shared scale. Everything is placed in percent and by CSS, so the
//! figure is complete as the server sends it, fits any width, and never shifts when data arrives.

pub mod axis;
pub mod bars;
pub mod marks;

use std::fmt::Write;

use axis::{Axis, STEP, formed};
use bars::{BAR_HEIGHT, Fate};
use leptos::prelude::*;
use marks::{Mark, POSITIONS, Side};
use wiber_protocol::status::NodeStatus;

use crate::{
    reactive::{derived, memo},
    view::NodeView,
    words::{bytes, compact, counted, grouped, head_and_tail},
};

/// The scale above all rows: the whole log, and its last entries.
#[component]
pub fn FigureAxis(axis: Memo<Option<Axis>>) -> impl IntoView {
    let ticks = move || {
        axis.get()
            .map(|axis| axis.ticks().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    let commit = memo(move || axis.get().and_then(|axis| axis.commit));
    let commit_x = memo(move || axis.get().and_then(|axis| axis.x(axis.commit.as_ref()?.index())));
    view! {
        <div class="log axis" aria-hidden="true">
            <div class="whole">
                <span class="axis-name">
                    <span class="long">"the whole log"</span>
                    <span class="short">"all"</span>
                </span>
                <span class="axis-tick first" style:--x="0%">
                    {derived(move || axis.get().map(|axis| compact(axis.start)))}
                </span>
                <span class="axis-tick last" style:--x="100%">
                    {derived(move || axis.get().map(|axis| compact(u64::try_from(axis.hi()).unwrap_or(0))))}
                </span>
            </div>
            <div class="window">
                <span class="axis-name">{format!("its last {} entries", axis::WINDOW)}</span>
                <span
                    class="axis-commit"
                    class:absent=move || commit_x.get().is_none()
                    style:--x=move || percent(commit_x.get().unwrap_or(0.0))
                >
                    <span>{derived(move || commit.get().map(|commit| commit.name()))}</span>
                </span>
                {move || {
                    ticks()
                        .into_iter()
                        .enumerate()
                        .map(|(place, index)| {
                            let x = axis.get_untracked().and_then(|axis| axis.x(index)).unwrap_or(0.0);
                            view! {
                                <span class="axis-tick" class:first=place == 0 class:minor=place % 2 == 1 style:--x=percent(x)>
                                    {tick_text(index, place == 0)}
                                </span>
                            }
                        })
                        .collect_view()
                }}
            </div>
        </div>
    }
    .into_any()
}

/// The first tick is written out, the others by their moving digits.
fn tick_text(index: u64, whole: bool) -> String {
    if whole || index < 1_000 {
        grouped(index)
    } else {
        format!("{:03}", index % 1_000)
    }
}

/// One node's log. A node that is not live is drawn as it was last heard.
#[component]
pub fn LogFigure(node: Memo<NodeView>, axis: Memo<Option<Axis>>) -> impl IntoView {
    // Both a log and a scale, or nothing to draw.
    let drawn = memo(move || {
        let axis = axis.get()?;
        node.with(|node| formed(node).cloned())
            .map(|status| (axis, status))
    });
    let label = memo(move || node.with(spoken));
    let off_scale = memo(move || {
        let (axis, status) = drawn.get()?;
        axis.x(status.last_log_index)
            .is_none()
            .then(|| off_scale_text(&axis, &status))
    });
    let commit_x = memo(move || axis.get().and_then(|axis| axis.x(axis.commit.as_ref()?.index())));
    let peers = memo(move || drawn.get().map_or(0, |(_, status)| rows_above(&status)));
    view! {
        <div class="log" role="img" aria-label=move || label.get() style:--above=move || peers.get().to_string()>
            <Whole node drawn />
            <div class="window" aria-hidden="true">
                <i
                    class="guide"
                    class:absent=move || commit_x.get().is_none()
                    style:--x=move || percent(commit_x.get().unwrap_or(0.0))
                ></i>
                <Bars drawn />
                <MatchMarks drawn />
                <PositionMarks drawn />
                <p class="off-scale" hidden=move || off_scale.get().is_none()>
                    {off_scale}
                </p>
            </div>
        </div>
    }
    .into_any()
}

type Drawn = Memo<Option<(Axis, NodeStatus)>>;

/// The whole log in small: from the first entry still there to the last.
#[component]
fn Whole(node: Memo<NodeView>, drawn: Drawn) -> impl IntoView {
    let strip = memo(move || {
        drawn.get().map(|(axis, status)| {
            let from = axis.x_whole(status.first_log_index);
            (from, (axis.x_whole(status.last_log_index) - from).max(0.0))
        })
    });
    let start = memo(move || drawn.get().map(|(_, status)| status.first_log_index));
    let size = memo(move || {
        node.with(|node| node.status.as_ref().map(|status| status.storage.clone()))
            .filter(|storage| storage.segments > 0)
            .map(|storage| {
                (
                    counted(storage.segments, "segment", "segments"),
                    bytes(storage.bytes),
                )
            })
    });
    view! {
        <div class="whole" aria-hidden="true">
            <i
                class="strip"
                class:absent=move || strip.get().is_none()
                style:left=move || percent(strip.get().map_or(0.0, |strip| strip.0))
                style:width=move || percent(strip.get().map_or(0.0, |strip| strip.1))
            ></i>
            <div class="whole-words" class:absent=move || start.get().is_none()>
                <span>"log start"</span>
                <span class="m">{derived(move || start.get().map(grouped))}</span>
                <span class="q">{derived(move || size.get().map(|(segments, _)| segments))}</span>
                <span class="q">{derived(move || size.get().map(|(_, bytes)| bytes))}</span>
            </div>
        </div>
    }
}

/// One path for each fate. A step of the window slides the bars along.
#[component]
fn Bars(drawn: Drawn) -> impl IntoView {
    let paths = memo(move || {
        drawn
            .get()
            .map(|(axis, status)| bars::paths(&axis, &status))
            .unwrap_or_default()
    });
    // A new origin makes new elements, so that it is not taken for a slide of a thousand entries.
    let origin = memo(move || drawn.get().map(|(axis, _)| bars::origin(&axis)));
    let shift = memo(move || drawn.get().map_or(0, |(axis, _)| bars::shift(&axis)));
    let view_box = format!("0 0 {} {BAR_HEIGHT}", axis::WINDOW);
    view! {
        <svg class="bars" viewBox=view_box preserveAspectRatio="none" focusable="false">
            {move || {
                origin.get();
                view! {
                    <g class="bars-slide" style:transform=move || format!("translateX({}px)", -shift.get())>
                        {Fate::ALL
                            .into_iter()
                            .map(|fate| {
                                view! {
                                    <path class=fate.class() d=move || paths.with(|paths| paths[fate as usize].clone()) />
                                }
                            })
                            .collect_view()}
                    </g>
                }
            }}
        </svg>
    }
}

#[component]
fn PositionMarks(drawn: Drawn) -> impl IntoView {
    let marks = memo(move || {
        drawn
            .get()
            .map(|(axis, status)| marks::position_marks(&axis, &status))
            .unwrap_or_default()
    });
    (0..POSITIONS.len())
        .map(|slot| {
            let mark = memo(move || marks.with(|marks| marks[slot].clone()));
            view! { <MarkView mark above=false /> }
        })
        .collect_view()
}

/// A slot for each peer; those that share another's mark stay empty.
#[component]
fn MatchMarks(drawn: Drawn) -> impl IntoView {
    let marks = memo(move || {
        drawn
            .get()
            .map(|(axis, status)| marks::match_marks(&axis, &status))
            .unwrap_or_default()
    });
    let slots = memo(move || marks.with(Vec::len));
    move || {
        (0..slots.get())
            .map(|slot| {
                let mark = memo(move || marks.with(|marks| marks.get(slot).cloned()));
                view! { <MarkView mark above=true /> }
            })
            .collect_view()
    }
}

#[component]
fn MarkView(mark: Memo<Option<Mark>>, above: bool) -> impl IntoView {
    let class = move || {
        mark.with(|mark| match mark {
            None => "mark absent".to_owned(),
            Some(mark) => {
                let side = if mark.side == Side::End { "end" } else { "start" };
                let place = if above { "above" } else { "below" };
                let off = if mark.off { " off" } else { "" };
                format!("mark {side} {place} {}{off}", mark.ink.class())
            }
        })
    };
    let text = move |pick: fn(&Mark) -> String| derived(move || mark.with(|mark| mark.as_ref().map(pick)));
    view! {
        <span
            class=class
            style:--x=move || percent(mark.with(|mark| mark.as_ref().map_or(0.0, |mark| mark.x)))
            style:--row=move || mark.with(|mark| mark.as_ref().map_or(0, |mark| mark.row)).to_string()
        >
            <span class="mark-text">
                <span class="long">{text(|mark| mark.long.clone())}</span>
                <span class="short">{text(|mark| mark.short.clone())}</span>
                " "
                <span class="head-digits">{text(|mark| head_and_tail(mark.index).0)}</span>
                <b>{text(|mark| head_and_tail(mark.index).1)}</b>
            </span>
        </span>
    }
}

/// Rows kept free above the bars: one for each follower of a leader, whether or not their matches coincide,
/// so that a row does not jump when they do.
fn rows_above(status: &NodeStatus) -> usize {
    if status.peers.iter().any(|peer| peer.match_index.is_some()) {
        status.peers.len()
    } else {
        0
    }
}

fn off_scale_text(axis: &Axis, status: &NodeStatus) -> String {
    let behind = axis.last.saturating_sub(status.last_log_index);
    format!(
        "{} behind the furthest, off this scale",
        counted(behind, "entry", "entries")
    )
}

/// The figure in words.
fn spoken(node: &NodeView) -> String {
    let Some(status) = formed(node) else {
        return format!("{} has no log yet", node.id);
    };
    let mut text = format!(
        "{}: log start {}, applied {}, commit {}, flushed {}, last {}",
        node.id,
        grouped(status.first_log_index),
        grouped(status.applied_index),
        grouped(status.commit_index),
        grouped(status.flushed_index),
        grouped(status.last_log_index)
    );
    for peer in &status.peers {
        if let Some(index) = peer.match_index {
            // Writing to a string does not fail.
            let _ = write!(text, ", match of {} {}", peer.id, grouped(index));
        }
    }
    text
}

pub(crate) fn percent(x: f64) -> String {
    format!("{x:.2}%")
}

/// The sentence under the figure's title.
pub fn how_to_read(axis: Option<&Axis>) -> String {
    let Some(axis) = axis else {
        return "Each node’s log will be drawn here, on one scale, as soon as there is one.".to_owned();
    };
    format!(
        "One bar is one entry, its height the records in it; a full one holds {}. The same log on every node; \
         only how far each has come differs.",
        grouped(u64::from(axis.full_bar_records))
    )
}

const _: () = assert!(axis::WINDOW % STEP == 0);
