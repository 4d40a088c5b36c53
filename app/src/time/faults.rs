//! Making a clock false on purpose, and taking it back: how the estimate is put to the test. Only where the nodes
//! were started with leave to do so. Every control is a plain form first, so that it works without wasm.

use leptos::{html, prelude::*, server_fn::ServerFn};

use super::{TimeFacts, clocks::injected, each::false_by};
use crate::{
    api::{InjectClockFault, clock_fault, error_of_form},
    cluster::controls::ErrorNote,
    live::use_live,
    reactive::{derived, each_name, memo},
    view::NodeView,
};

/// Whether a node lets its clock be made false.
pub fn are_allowed(node: &NodeView) -> bool {
    node.live
        && node
            .status
            .as_ref()
            .is_some_and(|status| status.clock.faults_allowed)
}

#[component]
pub fn FalseClocks(facts: TimeFacts) -> impl IntoView {
    let allowing = facts.allowing;
    let is_none = derived(move || allowing.with(Vec::is_empty));
    let from_form = error_of_form(&[InjectClockFault::PATH]);
    view! {
        <section class="faults-section" id="false-clock" aria-labelledby="faults">
            <div class="title">
                <h2 id="faults">"A false clock"</h2>
                <p hidden=is_none>"Set one wrong, and see the others find it out."</p>
            </div>
            <div class="set faults">
                <p class="nothing" hidden=derived(move || !is_none.get())>
                    "Clocks can be made false on purpose where the nodes were started with leave to: "
                    <code class="nw">"./dev run --allow-faults"</code>
                </p>
                {each_name(allowing, |id| view! { <FaultForm id /> }.into_any())}
                <ErrorNote error=derived(move || from_form.clone()) />
            </div>
            <p class="read" hidden=is_none>
                "Only the node’s reading of its clock changes, never the machine’s. Records it takes are stamped with the false time; their order does not depend on it."
            </p>
        </section>
    }
    .into_any()
}

/// The number in an input; what is no number asks for nothing. The browser reads it: Rust's own reader of decimals
/// brings a table of ten kilobytes.
fn number_in(input: NodeRef<html::Input>) -> Option<f64> {
    Some(input.get_untracked()?.value_as_number()).filter(|number| number.is_finite())
}

#[component]
fn FaultForm(#[prop(into)] id: String) -> impl IntoView {
    let live = use_live();
    let name = StoredValue::new(id);
    let node = memo(move || live.node(&name.get_value()));
    let fault = move || node.with(|node| node.status.as_ref().and_then(|status| injected(&status.clock)));
    let (skew, drift) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    let act = Action::new(move |asked: &(Option<f64>, Option<f64>)| {
        let (skew_ms, drift_ppm) = *asked;
        clock_fault(name.get_value(), skew_ms, drift_ppm)
    });
    let busy = derived(move || act.pending().get().to_string());
    let ask = move |skew_ms: Option<f64>, drift_ppm: Option<f64>| {
        if !act.pending().get_untracked() {
            act.dispatch((skew_ms, drift_ppm));
        }
    };
    let inject = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        ask(number_in(skew), number_in(drift));
    };
    let take_back = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        for input in [skew, drift] {
            if let Some(input) = input.get_untracked() {
                input.set_value("0");
            }
        }
        ask(Some(0.0), Some(0.0));
    };
    let error = move || act.value().get().and_then(Result::err);
    let id = name.get_value();
    view! {
        <div class="fault" data-fault=id.clone()>
            <h3>{id.clone()}</h3>
            <form
                method="post"
                action=InjectClockFault::url()
                aria-label=format!("Make the clock of {id} false")
                on:submit=inject
            >
                <input type="hidden" name="node" value=id.clone() />
                <label>
                    <span class="small q">"ahead by, ms"</span>
                    <input
                        node_ref=skew
                        class="m"
                        type="number"
                        name="skew_ms"
                        value="5000"
                        step="any"
                        min="-864000000"
                        max="864000000"
                        required
                    />
                </label>
                <label>
                    <span class="small q">"faster by, ppm"</span>
                    <input
                        node_ref=drift
                        class="m"
                        type="number"
                        name="drift_ppm"
                        value="0"
                        step="any"
                        min="-1000"
                        max="1000"
                        required
                    />
                </label>
                <button class="btn" aria-busy=busy>
                    "Inject"
                </button>
            </form>
            <form
                class="take-back"
                method="post"
                action=InjectClockFault::url()
                aria-label=format!("Take back the false clock of {id}")
                on:submit=take_back
            >
                <input type="hidden" name="node" value=id.clone() />
                <input type="hidden" name="skew_ms" value="0" />
                <input type="hidden" name="drift_ppm" value="0" />
                <button class="word" aria-label=format!("Take back the false clock of {id}") aria-disabled=derived(move || fault().is_none().then(|| "true".to_owned()))>
                    "take back"
                </button>
            </form>
            <p class="small q in-force">
                {derived(move || {
                    fault()
                        .map_or_else(
                            || "tells the machine’s time".to_owned(),
                            |fault| false_by(&fault),
                        )
                })}
            </p>
            <ErrorNote error=derived(error) />
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::{MAX_DRIFT_PPM, MAX_SKEW_MS};

    use super::*;
    use crate::cluster::fixture::clocks_agree;

    #[test]
    fn the_form_has_the_limits_that_nodes_have() {
        let source = include_str!("faults.rs");
        for limit in [MAX_SKEW_MS, MAX_DRIFT_PPM] {
            assert!(source.contains(&format!("min=\"-{limit}\"")), "{limit}");
            assert!(source.contains(&format!("max=\"{limit}\"")), "{limit}");
        }
    }

    #[test]
    fn only_a_live_node_with_leave_can_be_given_a_false_clock() {
        let mut node = clocks_agree().remove(0);
        assert!(!are_allowed(&node));
        if let Some(status) = &mut node.status {
            status.clock.faults_allowed = true;
        }
        assert!(are_allowed(&node));
        node.live = false;
        assert!(!are_allowed(&node));
    }
}
