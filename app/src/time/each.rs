//! Each node's three clocks, never confused with one another: the machine's, the cluster's and the logical one;
//! and what has been odd about them.

use leptos::prelude::*;
use wiber_protocol::status::InjectedFault;

use super::{TimeFacts, cells::drift_words, clocks::injected};
use crate::{
    live::{Live, use_live},
    reactive::{derived, each_name, memo},
    view::NodeView,
    words::{NBSP, ahead_or_behind, counted, grouped, within},
};

/// A row of the table.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    live: bool,
    machine: String,
    cluster: String,
    lamport: String,
    drift: String,
    steps: String,
    injected: String,
    violations: u64,
}

fn row(node: &NodeView, time_of_day: impl Fn(i64) -> String) -> Row {
    let Some(status) = &node.status else {
        return Row {
            machine: "not heard of yet".to_owned(),
            ..Row::default()
        };
    };
    let clock = &status.clock;
    let precise = |us: i64| {
        format!(
            "{}{NBSP}{:03}",
            time_of_day(us.div_euclid(1_000)),
            us.rem_euclid(1_000)
        )
    };
    let fault = injected(clock);
    Row {
        live: node.live,
        machine: precise(status.at_us),
        cluster: match (clock.cluster_us, clock.error_bound_ms) {
            (Some(us), Some(bound_ms)) => format!("{} {}", precise(us), within(bound_ms)),
            (Some(us), None) => format!("{}, unbounded", precise(us)),
            (None, _) => "not known".to_owned(),
        },
        lamport: grouped(clock.lamport),
        drift: drift_words(clock.drift_ppm, None).unwrap_or_else(|| "not known".to_owned()),
        steps: format!(
            "{}, cluster time {}",
            counted(clock.clock_steps, "step", "steps"),
            grouped(clock.cluster_steps)
        ),
        injected: fault.map_or_else(|| "nothing".to_owned(), |fault| false_by(&fault)),
        violations: clock.lamport_violations,
    }
}

/// What a clock is false by: `5.000 s ahead, drifting +30.0 ppm`.
pub fn false_by(fault: &InjectedFault) -> String {
    let shift = ahead_or_behind(fault.offset_ms);
    match drift_words(Some(fault.drift_ppm).filter(|ppm| *ppm != 0.0), None) {
        Some(drift) => format!("{shift}, drifting {drift}"),
        None => shift,
    }
}

#[component]
pub fn EachClock(facts: TimeFacts) -> impl IntoView {
    let live = use_live();
    let ids = memo(move || live.node_ids());
    let broken = memo(move || {
        live.nodes()
            .iter()
            .filter_map(|node| node.status.as_ref())
            .map(|status| status.clock.lamport_violations)
            .sum::<u64>()
    });
    view! {
        <section class="each-section" aria-labelledby="each">
            <div class="title">
                <h2 id="each">"Three clocks a node"</h2>
                <p>"Never confused with one another; each as the node last told."</p>
            </div>
            <div class="set">
                <table class="each">
                    <thead>
                        <tr>
                            <th scope="col">"node"</th>
                            <th scope="col">"the machine’s, " <code>"ts"</code></th>
                            <th scope="col">"the cluster’s, " <code>"corrected_ts"</code></th>
                            <th scope="col">"the logical, " <code>"logical_time"</code></th>
                            <th scope="col">"drift"</th>
                            <th scope="col">"set while it ran"</th>
                            <th scope="col">"injected"</th>
                        </tr>
                    </thead>
                    <tbody>
                        {each_name(ids, move |id| view! { <EachRow id facts /> }.into_any())}
                    </tbody>
                </table>
            </div>
            <p class="read" data-violations=derived(move || broken.get().to_string())>
                <span class:alarm=derived(move || { broken.get() > 0 })>
                    {derived(move || promise(broken.get()))}
                </span>
            </p>
        </section>
    }
    .into_any()
}

/// How the promise of the Lamport clock stands.
fn promise(violations: u64) -> String {
    match violations {
        0 => "A receive is always later than its send in Lamport time: no node has seen that broken."
            .to_owned(),
        count => format!(
            "A promise is broken: {} not later than the send in Lamport time.",
            if count == 1 {
                "one receive was".to_owned()
            } else {
                format!("{} receives were", grouped(count))
            }
        ),
    }
}

#[component]
fn EachRow(#[prop(into)] id: String, facts: TimeFacts) -> impl IntoView {
    let live: Live = use_live();
    let name = id.clone();
    let row = {
        let id = id.clone();
        memo(move || row(&live.node(&id), |at_ms| live.time_of_day(at_ms)))
    };
    let is_outvoted = derived(move || facts.picture.with(|picture| picture.clocks.is_outvoted(&id)));
    let part = move |read: fn(&Row) -> String| derived(move || row.with(read));
    view! {
        <tr class:ghost=derived(move || row.with(|row| !row.live))>
            <th scope="row">{name}</th>
            <td class="m" class:alarm=is_outvoted data-label="ts">
                {part(|row| row.machine.clone())}
            </td>
            <td class="m" data-label="corrected_ts">
                {part(|row| row.cluster.clone())}
            </td>
            <td class="m" data-label="logical_time">
                {part(|row| row.lamport.clone())}
            </td>
            <td class="m" data-label="drift">
                {part(|row| row.drift.clone())}
            </td>
            <td data-label="set while it ran">{part(|row| row.steps.clone())}</td>
            <td data-label="injected">{part(|row| row.injected.clone())}</td>
        </tr>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::fixture::{blank, one_outvoted},
        words::time_of_day,
    };

    #[test]
    fn each_clock_is_told_by_itself() {
        let told = row(&one_outvoted()[2], |at_ms| time_of_day(at_ms, 0));
        assert_eq!(told.machine, "01:10:00.250\u{a0}000");
        assert!(told.cluster.ends_with("± 14\u{a0}µs") || told.cluster.contains("14\u{a0}µs"));
        assert_eq!(told.lamport, "94,564,218");
        assert_eq!(told.drift, "+0.2\u{a0}ppm");
        assert_eq!(told.injected, "5.000\u{a0}s ahead");
        assert_eq!(row(&blank("n1"), |_| String::new()).machine, "not heard of yet");
    }

    #[test]
    fn a_broken_promise_is_said_with_its_number() {
        assert!(promise(0).contains("no node has seen that broken"));
        assert!(promise(1).contains("one receive was not later"));
        assert!(promise(1_200).contains("1,200 receives were not later"));
    }
}
