//! The place Time: what each clock is against cluster time and how sure that is, who is outvoted, what every node
//! measures of every other, and, where a clock was made false on purpose, the truth beside the estimate.
//!
//! [`clocks`] puts the nodes' words together, [`headline`] says what they come to, [`scale`] and [`steps`] draw
//! them; all of it is pure. The views are [`figure`], [`matrix`], [`honest_view`], [`each`] and [`faults`].

pub mod cells;
pub mod clocks;
pub mod each;
pub mod faults;
pub mod figure;
pub mod headline;
pub mod honest;
pub mod honest_view;
pub mod icons;
pub mod matrix;
pub mod scale;
pub mod steps;

use clocks::{Agreement, Clocks};
use each::EachClock;
use faults::FalseClocks;
use figure::ClockFigure;
use honest_view::WasItHonest;
use leptos::prelude::*;
use leptos_meta::Title;
use matrix::Matrix;
use scale::{Extent, Scale};

use crate::{
    cluster::{Clauses, headline::Headline},
    live::{Live, use_live},
    reactive::{derived, memo},
    view::NodeView,
};

/// What the page shows of all nodes together.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub clocks: Clocks,
    pub scale: Scale,
    /// Where the majority lies, from and to, in percent.
    pub band: Option<(f64, f64)>,
    /// The step line and what it says.
    pub line: Option<(String, String)>,
}

impl Picture {
    /// `before` is the one that this one follows: its scale stays while it serves.
    pub fn of(nodes: &[NodeView], before: Option<&Self>) -> Self {
        let clocks = Clocks::of(nodes);
        let scale = Scale::of(&extents(&clocks), before.map(|before| before.scale));
        Self {
            band: clocks
                .agreement
                .map(|range| (scale.x(range.from_ms), scale.x(range.to_ms))),
            line: figure::step_line(&clocks, scale),
            clocks,
            scale,
        }
    }
}

/// What is derived from all nodes together, once a repaint.
#[derive(Clone, Copy)]
pub struct TimeFacts {
    pub picture: Memo<Picture>,
    headline: Memo<Headline>,
    /// Nodes that let their clock be made false.
    pub allowing: Memo<Vec<String>>,
}

impl TimeFacts {
    fn of(live: Live) -> Self {
        let picture = Memo::new(move |before: Option<&Picture>| Picture::of(&live.nodes(), before));
        Self {
            picture,
            headline: memo(move || {
                picture.with(|picture| headline::headline(&live.nodes(), &picture.clocks))
            }),
            allowing: memo(move || {
                let nodes = live.nodes();
                let allowing = nodes.iter().filter(|node| faults::are_allowed(node));
                allowing.map(|node| node.id.clone()).collect()
            }),
        }
    }
}

/// What the scale is made for.
fn extents(clocks: &Clocks) -> Vec<Extent> {
    clocks
        .clocks
        .iter()
        .filter_map(|clock| {
            Some(Extent {
                reach_ms: clock.claim?.reach_ms(),
                agrees: clock.agreement == Agreement::Agrees,
            })
        })
        .collect()
}

#[component]
pub fn TimePage() -> impl IntoView {
    let live = use_live();
    let facts = TimeFacts::of(live);
    let headline = facts.headline;
    let gloss = memo(move || headline.with(|headline| headline.gloss.clone()));
    let spoken = memo(move || headline.with(Headline::spoken));
    view! {
        <Title text=move || format!("{} · Wiber", spoken.get()) />
        <div class="lede time-lede">
            <h1>
                <Clauses headline />
            </h1>
            <p class="actions" class:absent=derived(move || facts.allowing.with(Vec::is_empty))>
                <a class="btn" href="#false-clock">
                    "Give a node a false clock"
                </a>
            </p>
            <p class="gloss">{gloss}</p>
            <p class="vh" role="status">
                {spoken}
            </p>
        </div>
        <div class="two">
            <ClockFigure facts />
            <Matrix facts />
        </div>
        <div class="two">
            <WasItHonest />
            <FalseClocks facts />
        </div>
        <EachClock facts />
    }
    .into_any()
}
