//! The Cluster page: the state of the world in a sentence, the log of every node on one scale, what happened,
//! a conversation, and the terminals.

pub mod consequence;
pub mod controls;
pub mod facts;
pub mod figure;
#[cfg(test)]
pub(crate) mod fixture;
pub mod happened;
pub mod headline;
pub mod icons;
pub mod row;
pub mod scales;
pub mod spark;
pub mod standing;

use controls::ClusterControls;
use facts::Facts;
use figure::{FigureAxis, how_to_read};
use happened::Happened;
use leptos::prelude::*;
use leptos_meta::Title;
use row::NodeRow;
use scales::{ClockAxis, LatencyAxis};
use spark::Spark;

use crate::{
    conversation::Conversation,
    live::use_live,
    reactive::{each_name, memo},
    terminal::Terminals,
    timeline::Timeline,
};

#[component]
pub fn ClusterPage() -> impl IntoView {
    let live = use_live();
    let facts = Facts::of(live);
    let ids = memo(move || live.node_ids());
    let how = memo(move || facts.axis.with(|axis| how_to_read(axis.as_ref())));
    let title = memo(move || {
        facts
            .headline
            .with(|headline| format!("{} · Wiber", headline.spoken()))
    });
    view! {
        <Title text=move || title.get() />
        <Lede facts />
        <section class="the-log" aria-labelledby="the-log">
            <div class="title">
                <h2 id="the-log">"The log"</h2>
                <p>{how}</p>
            </div>
            <div class="set figure" class:hurried=move || facts.hurried.get()>
                <div class="row axis-row">
                    <div class="who"></div>
                    <div class="figure-cell">
                        <FigureAxis axis=facts.axis />
                    </div>
                    <ClockAxis />
                    <LatencyAxis />
                    <div></div>
                </div>
                {each_name(ids, move |id| view! { <NodeRow id facts /> }.into_any())}
            </div>
            <Warnings />
        </section>
        <div class="two">
            <Happened />
            {view! { <Conversation /> }.into_any()}
        </div>
        {view! { <Timeline docked=true /> }.into_any()}
        {view! { <Terminals docked=true /> }.into_any()}
    }
    .into_any()
}

/// The headline, what it means, and what can be done about it.
#[component]
fn Lede(facts: Facts) -> impl IntoView {
    let headline = facts.headline;
    let pulse = memo(move || headline.with(|headline| headline.pulse.clone()));
    let gloss = memo(move || headline.with(|headline| headline.gloss.clone()));
    let spoken = memo(move || headline.with(headline::Headline::spoken));
    view! {
        <div class="lede">
            <h1>
                <Clauses headline />
                <span class="pulse" class:absent=move || pulse.get().is_none()>
                    {separator()}
                    <span class="nw">{pulse}</span>
                    <Spark />
                </span>
            </h1>
            <ClusterControls facts />
            <p class="gloss">{gloss}</p>
            <p class="vh" role="status">{spoken}</p>
        </div>
    }
    .into_any()
}

/// The clauses of a headline, set apart by dots; a clause breaks only where it must.
#[component]
pub fn Clauses(headline: Memo<headline::Headline>) -> impl IntoView {
    let clauses = memo(move || headline.with(|headline| headline.clauses.clone()));
    move || {
        clauses
            .get()
            .into_iter()
            .enumerate()
            .map(|(place, pieces)| {
                view! {
                    {(place > 0).then(separator)}
                    <span class="nw">
                        {pieces
                            .into_iter()
                            .map(|piece| {
                                view! { <span class=piece.ink.class()>{piece.text}</span> }
                            })
                            .collect_view()}
                    </span>
                }
            })
            .collect_view()
    }
}

fn separator() -> impl IntoView {
    view! { <span class="sep" aria-hidden="true">"\u{a0}· "</span> }
}

/// Differences between the configuration and the committed membership, as the nodes report them.
#[component]
fn Warnings() -> impl IntoView {
    let live = use_live();
    let warnings = memo(move || {
        let mut warnings: Vec<String> = Vec::new();
        for node in live.nodes().iter().filter(|node| node.live) {
            for warning in node.status.iter().flat_map(|status| &status.warnings) {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
        warnings
    });
    view! {
        <ul class="warnings small" hidden=move || warnings.with(Vec::is_empty)>
            {each_name(warnings, |warning| view! { <li><b class="alarm">"! "</b>{warning}</li> }.into_any())}
        </ul>
    }
    .into_any()
}
