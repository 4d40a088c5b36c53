//! The clocks on one scale: an interval a node, the place where a majority agrees, and the step line that counts
//! how many intervals hold an instant. Placed in percent and by CSS, complete as the server sends it.

use leptos::prelude::*;
use wiber_protocol::status::Role;

use super::{
    TimeFacts,
    clocks::{Against, Agreement, Clock, Clocks, standing_word},
    icons::{agreement_ink, agreement_shape, icon},
    scale::{Scale, TICKS},
    steps::{self, highest},
};
use crate::{
    cluster::{figure::percent, standing::Standing},
    live::use_live,
    reactive::{derived, each_name, memo},
    view::NodeView,
    words::{NBSP, age, apart, offset_and_bound, signed},
};

/// A node's row, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub agreement: Agreement,
    pub word: &'static str,
    /// The ink of its name: that of its role.
    pub name_ink: &'static str,
    /// Dot, left end and right end in percent; none where there is nothing on the scale.
    pub bar: Option<(f64, f64, f64)>,
    /// What stands at the left or the right edge for a clock that is off the scale.
    pub edge: Option<(Edge, String)>,
    pub truth_x: Option<f64>,
    pub number: String,
    pub truth: String,
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Left,
    Right,
}

/// The row of a node's clock. `now_ms` is the gateway's time, for the age of what is only remembered.
pub fn row(node: &NodeView, clocks: &Clocks, scale: Scale, now_ms: i64) -> Row {
    let unknown = Clock {
        id: node.id.clone(),
        agreement: Agreement::Away,
        claim: None,
        is_hearsay: false,
        truth_ms: None,
        reason: None,
    };
    let clock = clocks.clock(&node.id).unwrap_or(&unknown);
    let is_far = |ms: f64| !scale.holds(ms);
    let near = clock.claim.filter(|claim| !is_far(claim.offset_ms));
    let far = clock.claim.filter(|claim| is_far(claim.offset_ms));
    Row {
        agreement: clock.agreement,
        word: standing_word(node, clock.agreement),
        name_ink: match node.live_role() {
            Some(Role::Leader) => "leader",
            Some(_) => "follower",
            None => Standing::of(node).ink().class(),
        },
        bar: near.map(|claim| {
            (
                scale.x(claim.offset_ms),
                scale.x(claim.from_ms()),
                scale.x(claim.to_ms()),
            )
        }),
        edge: far.map(|claim| {
            let side = if claim.offset_ms < 0.0 {
                Edge::Left
            } else {
                Edge::Right
            };
            let sign = if claim.offset_ms < 0.0 { '−' } else { '+' };
            (side, format!("{sign}{}", apart(claim.offset_ms)))
        }),
        truth_x: clock
            .truth_ms
            .filter(|truth_ms| !is_far(*truth_ms))
            .map(|truth_ms| scale.x(truth_ms)),
        number: match (clock.claim, &clocks.against) {
            (None, _) => "not measured".to_owned(),
            (Some(_), Against::ClockOf(id)) if *id == clock.id => "zero here".to_owned(),
            (Some(claim), _) => offset_and_bound(claim.offset_ms, claim.bound_ms),
        },
        truth: clock.truth_ms.map_or_else(String::new, |truth_ms| {
            format!("truth {}{NBSP}ms", signed(truth_ms, 3))
        }),
        note: note(node, clock, clocks, now_ms),
    }
}

fn note(node: &NodeView, clock: &Clock, clocks: &Clocks, now_ms: i64) -> String {
    if clock.agreement == Agreement::Away {
        return match (node.status_at_ms, &node.status) {
            (Some(heard_at_ms), Some(_)) => {
                let ms = u64::try_from(now_ms - heard_at_ms).unwrap_or(0);
                format!("last heard {} ago", age(ms / 1_000 * 1_000))
            }
            _ => String::new(),
        };
    }
    if let Some(reason) = &clock.reason {
        return reason.clone();
    }
    match &clocks.teller {
        Some(teller) if clock.is_hearsay => format!("as {teller} measures it"),
        _ => String::new(),
    }
}

/// The step line, and what its highest step says: over the bars as they are where those of a majority overlap, else over
/// the bars and what clocks may be apart and still agree, which is what the nodes count.
pub(super) fn step_line(clocks: &Clocks, scale: Scale) -> Option<(String, String)> {
    let all = clocks.clocks.len();
    let line = |give_ms: f64| {
        let heard = clocks
            .clocks
            .iter()
            .filter(|clock| clock.agreement != Agreement::Away);
        let intervals: Vec<(f64, f64)> = heard
            .filter_map(|clock| clock.claim)
            .map(|claim| (claim.from_ms() - give_ms, claim.to_ms() + give_ms))
            .collect();
        let (lo_ms, hi_ms) = scale.ends_ms();
        let steps = steps::steps(&intervals, lo_ms, hi_ms);
        let best = highest(&steps).filter(|best| best.count >= clocks.majority())?;
        let (count, wide) = (best.count, apart(best.to_ms - best.from_ms));
        let words = if give_ms > 0.0 {
            format!(
                "{count} of {all} bars ± {} hold this, {wide} wide",
                apart(give_ms)
            )
        } else {
            format!("{count} of {all} bars hold this, {wide} wide")
        };
        Some((steps::path(&steps, scale, all), words))
    };
    line(0.0).or_else(|| line(clocks.tolerance_ms))
}

#[component]
pub fn ClockFigure(facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let ids = memo(move || live.node_ids());
    let picture = facts.picture;
    let of_line = move |read: fn(&(String, String)) -> String| {
        derived(move || {
            picture
                .with(|picture| picture.line.as_ref().map(read))
                .unwrap_or_default()
        })
    };
    view! {
        <section class="claims-section" aria-labelledby="claims">
            <div class="title">
                <h2 id="claims">"Where each clock stands"</h2>
                <p>{derived(move || picture.with(|picture| how_to_read(&picture.clocks)))}</p>
            </div>
            <div class="set claims">
                {each_name(ids, move |id| view! { <ClaimRow id facts /> }.into_any())}
                <div class="claim-row step-row">
                    <div class="claim-who"></div>
                    <div class="claim-axis" aria-hidden="true">
                        {band(facts)}
                        <svg
                            viewBox=derived(move || {
                                picture.with(|picture| format!("0 0 100 {}", picture.clocks.clocks.len().max(1)))
                            })
                            preserveAspectRatio="none"
                        >
                            <path d=of_line(|line| line.0.clone()) />
                        </svg>
                    </div>
                    <p class="claim-words small q">{of_line(|line| line.1.clone())}</p>
                </div>
                <div class="claim-row ticks-row" aria-hidden="true">
                    <div class="claim-who"></div>
                    <div class="claim-axis">
                        {(0..TICKS)
                            .map(|place| {
                                let x = derived(move || picture.with(|picture| percent(picture.scale.ticks()[place].0)));
                                let text = derived(move || {
                                    picture.with(|picture| picture.scale.ticks()[place].1.clone())
                                });
                                view! {
                                    <span class="axis-tick" class:minor={place % 2 == 1} style:--x=x>
                                        {text}
                                    </span>
                                }
                            })
                            .collect_view()}
                    </div>
                </div>
            </div>
            <p class="read">
                "A bar is where a clock stands, give or take its bound. Shaded: where the majority of clocks lies. The line below counts, for every instant, how many bars hold it; where they do not overlap, with what two clocks may be apart and still agree. A clock that is far off stands at the edge, so that it does not make the others a dot."
            </p>
        </section>
    }
    .into_any()
}

fn how_to_read(clocks: &Clocks) -> String {
    match &clocks.against {
        Against::Nothing => "Nobody has measured anything yet.".to_owned(),
        Against::ClusterTime => "Zero is cluster time; to the right of it a clock is ahead.".to_owned(),
        Against::ClockOf(id) => format!("There is no cluster time: zero is {id}’s own clock."),
    }
}

/// A mark on the scale, from one end to the other in percent; nothing to be seen without.
fn mark(class: &'static str, ends: impl Fn() -> Option<(f64, f64)> + Send + Sync + 'static) -> AnyView {
    let style = derived(move || match ends() {
        None => "display:none".to_owned(),
        Some((from, to)) if to > from => format!("left:{};width:{}", percent(from), percent(to - from)),
        Some((at, _)) => format!("left:{}", percent(at)),
    });
    view! { <i class=class style=style></i> }.into_any()
}

/// Where the majority lies, through all rows.
fn band(facts: TimeFacts) -> AnyView {
    mark("claim-band", move || facts.picture.with(|picture| picture.band))
}

#[component]
fn ClaimRow(#[prop(into)] id: String, facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let name = id.clone();
    let row = memo(move || {
        let node = live.node(&id);
        let now_ms = if node.live { 0 } else { live.now_ms() };
        facts
            .picture
            .with(|picture| row(&node, &picture.clocks, picture.scale, now_ms))
    });
    let part = move |read: fn(&Row) -> String| derived(move || row.with(read));
    view! {
        <div
            class=part(|row| format!("claim-row clock {}", agreement_ink(row.agreement).class()))
            role="group"
            aria-label=format!("The clock of {name}")
            data-clock=name.clone()
            data-agreement=part(|row| row.agreement.word().to_owned())
        >
            <h3 class=part(|row| format!("claim-who {}", row.name_ink))>{name.clone()}</h3>
            <div class="claim-axis" aria-hidden="true">
                {band(facts)} <i class="claim-zero"></i>
                {mark("claim-bar", move || row.with(|row| row.bar.map(|bar| (bar.1, bar.2))))}
                {mark("claim-dot", move || row.with(|row| row.bar.map(|bar| (bar.0, bar.0))))}
                {mark("claim-truth", move || row.with(|row| row.truth_x.map(|x| (x, x))))}
                <span class=part(|row| edge_class(row).to_owned())>
                    <b>{part(|row| row.edge.as_ref().map_or_else(String::new, |edge| edge.1.clone()))}</b>
                    <svg viewBox="0 0 14 10" aria-hidden="true" focusable="false">
                        <path d="M0 5h13M9 1l4 4-4 4" />
                    </svg>
                </span>
            </div>
            <p class="claim-words">
                <span class="num">{part(|row| row.number.clone())}</span>
                <span class="claim-state">
                    {icon(part(|row| agreement_shape(row.agreement).to_owned()))}
                    <b>{part(|row| row.word.to_owned())}</b>
                </span>
                <span class="num truth">{part(|row| row.truth.clone())}</span>
                <span class="small q note">{part(|row| row.note.clone())}</span>
            </p>
        </div>
    }
    .into_any()
}

fn edge_class(row: &Row) -> &'static str {
    match row.edge {
        None => "claim-edge absent",
        Some((Edge::Left, _)) => "claim-edge left",
        Some((Edge::Right, _)) => "claim-edge right",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::fixture::{clocks_agree, one_outvoted, unsynchronised},
        time::extents,
    };

    fn drawn(nodes: &[NodeView], place: usize) -> Row {
        let clocks = Clocks::of(nodes);
        let scale = Scale::of(&extents(&clocks), None);
        row(&nodes[place], &clocks, scale, 1_041_000)
    }

    #[test]
    fn an_outvoted_clock_stands_at_the_edge_with_its_value_and_its_truth() {
        let row = drawn(&one_outvoted(), 2);
        assert_eq!((row.word, row.bar), ("outvoted", None));
        assert_eq!(row.edge, Some((Edge::Right, "+5.000\u{a0}s".into())));
        assert!(row.truth.starts_with("truth +5,000.00"), "{}", row.truth);
        assert!(row.note.contains("ahead of the two clocks"));
        let agreeing = drawn(&one_outvoted(), 0);
        let (_, from, to) = agreeing.bar.expect("it is on the scale");
        assert!(to - from > 10.0, "still an interval to see: {from} to {to}");
    }

    #[test]
    fn a_node_that_is_gone_tells_how_old_its_word_is() {
        let mut nodes = clocks_agree();
        nodes[2].live = false;
        nodes[2].process = crate::view::ProcessState::Exited {
            how: "killed (SIGKILL)".into(),
            at_ms: 0,
            expected: false,
        };
        let row = drawn(&nodes, 2);
        assert_eq!(
            (row.word, row.note.as_str()),
            ("gone", "last heard 41\u{a0}s ago")
        );
    }

    #[test]
    fn a_clock_that_stands_in_for_cluster_time_claims_nothing() {
        let row = drawn(&unsynchronised(), 0);
        assert_eq!((row.number.as_str(), row.word), ("zero here", "not synchronised"));
        assert_eq!(row.note, "Too few clocks answer");
    }

    #[test]
    fn the_step_line_is_drawn_where_the_bars_of_a_majority_overlap() {
        let clocks = Clocks::of(&clocks_agree());
        let scale = Scale::of(&extents(&clocks), None);
        let (_, words) = step_line(&clocks, scale).expect("three bars overlap");
        assert!(words.starts_with("3 of 3 bars hold this"), "{words}");
        let mut apart = clocks;
        for (place, clock) in apart.clocks.iter_mut().enumerate() {
            if let Some(claim) = &mut clock.claim {
                claim.offset_ms = [-1.0, 0.0, 1.0][place];
            }
        }
        let scale = Scale::of(&extents(&apart), None);
        let (_, words) = step_line(&apart, scale).expect("they agree, give or take a millisecond");
        assert!(words.starts_with("3 of 3 bars ± 1"), "{words}");
        apart.tolerance_ms = 0.1;
        assert_eq!(step_line(&apart, scale), None);
    }
}
