//! What lies under the messages: folded bands, the cone, the lanes and the axis.

use leptos::prelude::*;

use super::super::{
    figure::{Figure, to_px},
    lanes::{Look, Stretch},
    marks::Mark,
    scale::{Fold, WIDE_FOLD_PX},
};
use crate::words::duration;

/// Lanes go on to the left of the first event, as far as a wide frame may reach.
const BEFORE_PX: i64 = 4_000;

/// Folded bands and the cone, under everything else.
pub(super) fn ground(figure: RwSignal<Figure>) -> AnyView {
    let folds = Memo::new(move |_| figure.with(|figure| figure.folds.clone()));
    let cone = Memo::new(move |_| figure.with(|figure| figure.cone.clone()));
    let edges = Memo::new(move |_| {
        figure.with(|figure| {
            (
                figure.clients_y,
                figure.lanes.last().map_or(figure.clients_y, |lane| lane.y),
            )
        })
    });
    let cone_words = move || {
        let (_, last_y) = edges.get();
        cone.get().map(|cone| {
            let between = cone.future_x - cone.past_x;
            view! {
                <text class="cone-word" x=cone.past_x - 8 y=last_y + 28 text-anchor="end">
                    "may have caused it"
                </text>
                {(between > 96)
                    .then(|| {
                        view! {
                            <text
                                class="cone-word"
                                x=i64::midpoint(cone.past_x, cone.future_x)
                                y=last_y + 28
                                text-anchor="middle"
                            >
                                "concurrent"
                            </text>
                        }
                    })}
                <text class="cone-word" x=cone.future_x + 8 y=last_y + 28>
                    "may depend on it"
                </text>
            }
        })
    };
    view! {
        <g class="ground">
            <path class="cone" d=move || cone.get().map(|cone| format!("{}{}", cone.past, cone.future)) />
            <For each=move || folds.get() key=|fold| (fold.left, fold.right, fold.us, fold.quiet) let:fold>
                {fold_view(fold, edges)}
            </For>
            {cone_words}
        </g>
    }
    .into_any()
}

fn fold_view(fold: Fold, edges: Memo<(i64, i64)>) -> AnyView {
    let (left, right) = (fold.left + 8, fold.right - 8);
    let middle = i64::midpoint(left, right);
    // A beat back and forth, as often as there is room for.
    let hatch = move || {
        let (top, bottom) = edges.get();
        let beats = (left..=right - 4).step_by(5);
        beats
            .map(|x| format!("M{x} {}L{} {bottom}", top + 20, x + 3))
            .collect::<Vec<_>>()
            .concat()
    };
    let is_wide = fold.right - fold.left >= WIDE_FOLD_PX;
    let ms = u64::try_from(fold.us / 1_000).unwrap_or(0);
    view! {
        <g class="fold" class:quiet=fold.quiet>
            <path class="hatch" d=hatch />
            {is_wide
                .then(|| {
                    view! {
                        <text x=middle y="14" text-anchor="middle">
                            {duration(ms)}
                        </text>
                        <text class="q" x=middle y="30" text-anchor="middle">
                            {if fold.quiet { "heartbeats" } else { "folded" }}
                        </text>
                    }
                })}
        </g>
    }
    .into_any()
}

pub(super) fn lanes(figure: RwSignal<Figure>) -> AnyView {
    let clients = move || {
        figure.with(|figure| {
            format!(
                "M{} {}H{}",
                figure.left - BEFORE_PX,
                figure.clients_y,
                figure.right
            )
        })
    };
    let stretches = Memo::new(move |_| {
        figure.with(|figure| {
            figure
                .lanes
                .iter()
                .flat_map(|lane| {
                    lane.stretches.iter().enumerate().map(move |(place, stretch)| {
                        let before = if place == 0 { BEFORE_PX } else { 0 };
                        (
                            lane.y,
                            Stretch {
                                from: stretch.from - before,
                                ..*stretch
                            },
                        )
                    })
                })
                .collect::<Vec<_>>()
        })
    });
    let axis = move || {
        figure.with(|figure| {
            format!(
                "M{} {}H{}",
                figure.left - BEFORE_PX,
                figure.height - 24,
                figure.right
            )
        })
    };
    let ticks = Memo::new(move |_| figure.with(|figure| figure.ticks.clone()));
    let tick_y = Memo::new(move |_| figure.with(|figure| figure.height - 24));
    // Where a process ended: its last event is the last that is known of it.
    let gone = Memo::new(move |_| {
        figure.with(|figure| {
            figure
                .lanes
                .iter()
                .flat_map(|lane| {
                    lane.stretches
                        .iter()
                        .skip(1)
                        .map(move |stretch| (lane.y, stretch))
                })
                .filter(|(_, stretch)| stretch.look == Look::Down)
                .map(|(y, stretch)| Mark::Fault.path(to_px(stretch.from) + 7.0, to_px(y)))
                .collect::<String>()
        })
    });
    let writes = Memo::new(move |_| figure.with(|figure| figure.writes.clone()));
    view! {
        <g class="lanes">
            <path class="lane clients" d=clients />
            {move || {
                stretches
                    .get()
                    .into_iter()
                    .map(|(y, stretch)| {
                        view! {
                            <path
                                class=format!("lane {}", stretch.look.class())
                                d=format!("M{} {y}H{}", stretch.from, stretch.to)
                            />
                        }
                    })
                    .collect_view()
            }}
            <path class="writes" d=move || writes.get() />
            <path class="mark gone" d=move || gone.get() />
            <path class="axis" d=axis />
            <For each=move || ticks.get() key=|tick| (tick.x, tick.text.clone()) let:tick>
                <text class="tick" x=tick.x y=move || tick_y.get() + 17 text-anchor="middle">
                    {tick.text}
                </text>
            </For>
        </g>
    }
    .into_any()
}
