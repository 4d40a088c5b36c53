//! *Was the bound honest?* A strip for each pair of nodes whose truth is known: every dot an estimate, in the
//! middle the truth, the shaded part the bound.

use leptos::prelude::*;

use super::honest::{Honesty, Pair, STRIP_REACH, dots, strip_x};
use crate::{
    cluster::figure::percent,
    live::use_live,
    reactive::{derived, each_name, memo},
    words::grouped,
};

#[component]
pub fn WasItHonest() -> impl IntoView {
    let live = use_live();
    let honesty = Memo::new(move |before: Option<&Honesty>| Honesty::of(&live.nodes(), before));
    let names =
        memo(move || honesty.with(|honesty| honesty.pairs.iter().map(Pair::name).collect::<Vec<_>>()));
    let unknown = derived(move || names.with(Vec::is_empty));
    view! {
        <section class="honest-section" aria-labelledby="honest">
            <div class="title">
                <h2 id="honest">"Was the bound honest?"</h2>
                <p hidden=unknown>"Estimates against the truth; shaded is the bound."</p>
            </div>
            <div class="set honest">
                <p class="verdict">{derived(move || honesty.with(Honesty::verdict))}</p>
                {each_name(names, move |name| view! { <Strip name honesty /> }.into_any())}
                <div class="strip-row strip-axis" aria-hidden="true" hidden=unknown>
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
            <p class="read" hidden=unknown>
                "Each estimate is divided by its own bound, so that wide and narrow ones can be compared. The dots are those this page has seen, 60 a pair at most; the counts are the nodes’ own."
            </p>
        </section>
    }
    .into_any()
}

/// How often the truth lay within the bound.
fn count(pair: &Pair) -> String {
    format!("{} of {} inside", grouped(pair.inside), grouped(pair.checked))
}

#[component]
fn Strip(name: String, honesty: Memo<Honesty>) -> impl IntoView {
    let label = name.clone();
    let part = move |read: fn(&Pair) -> String| {
        let name = name.clone();
        derived(move || {
            honesty.with(|honesty| {
                let mut pairs = honesty.pairs.iter();
                pairs
                    .find(|pair| pair.name() == name)
                    .map(read)
                    .unwrap_or_default()
            })
        })
    };
    view! {
        <div class="strip-row" data-pair=label.clone()>
            <span class="strip-name">{label.clone()}</span>
            <div class="strip-box" aria-hidden="true">
                <i class="strip-bound" style:left=percent(strip_x(-1.0)) style:width=percent(100.0 / STRIP_REACH)></i>
                <i class="claim-zero"></i>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none">
                    <path class="dots" d=part(|pair| dots(&pair.samples, true)) />
                    <path class="dots outside" d=part(|pair| dots(&pair.samples, false)) />
                </svg>
            </div>
            <span class=part(|pair| {
                if pair.inside < pair.checked { "num alarm" } else { "num" }.to_owned()
            })>{part(count)}</span>
        </div>
    }
    .into_any()
}
