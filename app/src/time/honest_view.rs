//! *Was the bound honest?* A strip for each pair of nodes whose truth is known: every dot an estimate, in the
//! middle the truth, the shaded part the bound.

use leptos::prelude::*;

use super::honest::{Honesty, STRIP_REACH, dots, strip_x};
use crate::{
    cluster::figure::percent,
    live::use_live,
    reactive::{derived, memo},
    view::NodeView,
    words::grouped,
};

/// Who measures whom, and how often the truth lay within the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Total {
    by: String,
    of: String,
    checked: u64,
    inside: u64,
}

/// The pairs whose truth is known, by the nodes' own count.
fn totals(nodes: &[NodeView]) -> Vec<Total> {
    nodes
        .iter()
        .flat_map(|node| {
            let peers = node.status.iter().flat_map(|status| &status.clock.peers);
            peers.filter(|peer| peer.truth_checked > 0).map(|peer| Total {
                by: node.id.clone(),
                of: peer.id.clone(),
                checked: peer.truth_checked,
                inside: peer.truth_inside,
            })
        })
        .collect()
}

/// All pairs in a sentence.
fn summary(totals: &[Total]) -> String {
    let checked: u64 = totals.iter().map(|total| total.checked).sum();
    let inside: u64 = totals.iter().map(|total| total.inside).sum();
    match (checked, checked - inside.min(checked)) {
        (0, _) => "The truth is known only of nodes that share one machine, and so one clock.".to_owned(),
        (_, 0) => format!(
            "Yes: in all {} estimates the truth lay within the bound.",
            grouped(checked)
        ),
        (_, outside) => format!(
            "Not always: in {} of {} estimates the truth lay outside the bound.",
            grouped(outside),
            grouped(checked)
        ),
    }
}

#[component]
pub fn WasItHonest() -> impl IntoView {
    let live = use_live();
    let mut seen = Honesty::default();
    seen.take(&untrack(|| live.nodes()));
    let seen = RwSignal::new(seen);
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| {
        let nodes = live.nodes();
        seen.maybe_update(|seen| seen.take(&nodes));
    });
    let totals = memo(move || totals(&live.nodes()));
    let pairs = memo(move || {
        totals.with(|totals| {
            totals
                .iter()
                .map(|total| (total.by.clone(), total.of.clone()))
                .collect::<Vec<_>>()
        })
    });
    let words = memo(move || totals.with(|totals| summary(totals)));
    let unknown = move || pairs.with(Vec::is_empty);
    view! {
        <section class="honest-section" aria-labelledby="honest">
            <div class="title">
                <h2 id="honest">"Was the bound honest?"</h2>
                <p hidden=unknown>"Estimates against the truth; shaded is the bound."</p>
            </div>
            <div class="set honest">
                <p class="verdict">{words}</p>
                <For each=move || pairs.get() key=|pair| pair.clone() let:pair>
                    <Strip by=pair.0 of=pair.1 seen totals />
                </For>
                <div class="strip-row strip-axis" aria-hidden="true" class:absent=unknown>
                    <div></div>
                    <div class="strip-box">
                        {[(-1.0, "−bound"), (0.0, "truth"), (1.0, "+bound")]
                            .map(|(error, text)| {
                                view! {
                                    <span class="axis-tick" style:--x=percent(strip_x(error))>
                                        {text}
                                    </span>
                                }
                            })}
                    </div>
                </div>
            </div>
            <p class="read" class:absent=unknown>
                "Each estimate is divided by its own bound, so that wide and narrow ones can be compared. The dots are those this page has seen, 60 a pair at most; the counts are the nodes’ own."
            </p>
        </section>
    }
    .into_any()
}

type Totals = Memo<Vec<Total>>;

#[component]
fn Strip(by: String, of: String, seen: RwSignal<Honesty>, totals: Totals) -> impl IntoView {
    let label = format!("{by} of {of}");
    let names = StoredValue::new((by, of));
    let path = move |inside: bool| {
        memo(move || names.with_value(|(by, of)| seen.with(|seen| dots(seen.samples(by, of), inside))))
    };
    let (inside, outside) = (path(true), path(false));
    let total = memo(move || {
        names.with_value(|(by, of)| {
            totals.with(|totals| {
                totals
                    .iter()
                    .find(|total| total.by == *by && total.of == *of)
                    .cloned()
            })
        })
    });
    let is_bad = move || total.with(|total| total.as_ref().is_some_and(|total| total.inside < total.checked));
    view! {
        <div class="strip-row" data-pair=label.clone()>
            <span class="strip-name">{label.clone()}</span>
            <div class="strip-box" aria-hidden="true">
                <i
                    class="strip-bound"
                    style:left=percent(strip_x(-1.0))
                    style:width=percent(100.0 / STRIP_REACH)
                ></i>
                <i class="claim-zero"></i>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none">
                    <path class="dots" d=move || inside.get() />
                    <path class="dots outside" d=move || outside.get() />
                </svg>
            </div>
            <span class="num" class:alarm=is_bad>
                {derived(move || {
                    total
                        .with(|total| {
                            total
                                .as_ref()
                                .map(|total| {
                                    format!("{} of {} inside", grouped(total.inside), grouped(total.checked))
                                })
                        })
                })}
            </span>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{clocks_agree, unsynchronised};

    #[test]
    fn the_verdict_counts_every_estimate() {
        let mut nodes = clocks_agree();
        assert_eq!(
            summary(&totals(&nodes)),
            "Yes: in all 3,588 estimates the truth lay within the bound."
        );
        if let Some(status) = &mut nodes[0].status {
            status.clock.peers[0].truth_inside -= 2;
        }
        assert!(summary(&totals(&nodes)).starts_with("Not always: in 2 of 3,588"));
        assert!(summary(&totals(&unsynchronised())).starts_with("The truth is known only"));
    }
}
