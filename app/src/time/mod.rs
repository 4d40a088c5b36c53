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
    reactive::memo,
};

/// What is derived from all nodes together, once a repaint.
#[derive(Clone, Copy)]
pub struct TimeFacts {
    pub clocks: Memo<Clocks>,
    pub scale: Memo<Scale>,
    headline: Memo<Headline>,
    /// Whether any node lets its clock be made false.
    pub faults_allowed: Memo<bool>,
}

impl TimeFacts {
    fn of(live: Live) -> Self {
        let clocks = memo(move || Clocks::of(&live.nodes()));
        Self {
            clocks,
            scale: Memo::new(move |before: Option<&Scale>| {
                clocks.with(|clocks| Scale::of(&extents(clocks), before.copied()))
            }),
            headline: memo(move || clocks.with(|clocks| headline::headline(&live.nodes(), clocks))),
            faults_allowed: memo(move || live.nodes().iter().any(faults::are_allowed)),
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
            <p class="actions" class:absent=move || !facts.faults_allowed.get()>
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
