//! Start, stop, restart and kill, as quiet words: each with what it comes to, and with its error in place.
//! Every control is a plain form first, so that it works before wasm arrives and without it.

use leptos::{prelude::*, server_fn::ServerFn};

use super::{
    consequence::{consequence, consequence_of_start_all, consequence_of_stop_all, doing, offered, word},
    facts::Facts,
    icons::action_icon,
};
use crate::{
    api::{
        ActOnNode, ApiError, StartCluster, StopCluster, error_of_form, node_action, start_cluster,
        stop_cluster,
    },
    reactive::{derived, memo},
    service::NodeAction,
    view::NodeView,
    words::list,
};

/// The controls of one node.
#[component]
pub fn NodeControls(id: StoredValue<String>, node: Memo<NodeView>, facts: Facts) -> impl IntoView {
    let act = Action::new(move |action: &NodeAction| {
        let (id, action) = (id.get_value(), *action);
        async move { node_action(id, action).await }
    });
    let actions = memo(move || node.with(offered));
    let under_way = move || act.pending().get().then(|| act.input().get()).flatten();
    let error = move || act.value().get().and_then(Result::err);
    view! {
        <form class="controls" method="post" action=ActOnNode::url() aria-label=move || format!("Control {}", id.get_value())>
            <input type="hidden" name="node" value=id.get_value() />
            {move || {
                actions
                    .get()
                    .iter()
                    .map(|action| {
                        let action = *action;
                        let tip = memo(move || {
                            node.with(|node| facts.census.with(|census| consequence(action, node, census)))
                        });
                        let label = derived(move || {
                            if under_way() == Some(action) { doing(action) } else { word(action) }
                        });
                        view! {
                            <button
                                class=format!("word {}", word(action))
                                name="action"
                                value=word(action)
                                data-tip=move || tip.get()
                                aria-label=move || format!("{} {}. {}", word(action), id.get_value(), tip.get())
                                aria-busy=move || (under_way() == Some(action)).to_string()
                                aria-disabled=move || under_way().is_some().then_some("true")
                                on:click=move |event| {
                                    event.prevent_default();
                                    if under_way().is_none() {
                                        act.dispatch(action);
                                    }
                                }
                            >
                                {action_icon(action)}
                                <span>{label}</span>
                            </button>
                        }
                    })
                    .collect_view()
            }}
            <ErrorNote error=derived(error) />
        </form>
    }
    .into_any()
}

/// Start what does not run; stop everything.
#[component]
pub fn ClusterControls(facts: Facts) -> impl IntoView {
    let start = Action::new(|(): &()| start_cluster());
    let stop = Action::new(|(): &()| stop_cluster());
    let census = facts.census;
    let nothing_to_start = move || census.with(|census| census.missing().is_empty());
    let nothing_to_stop = move || census.with(|census| census.running.is_empty());
    let start_word = derived(move || {
        if start.pending().get() {
            return "Starting".to_owned();
        }
        census.with(|census| {
            let missing = census.missing();
            if missing.is_empty() || census.running.is_empty() {
                "Start the cluster".to_owned()
            } else {
                format!("Start {}", list(&missing))
            }
        })
    });
    let urgent = move || census.with(|census| !census.has_quorum() && !census.missing().is_empty());
    let start_failures = move || match start.value().get() {
        Some(Err(error)) => Some(error),
        Some(Ok(report)) if !report.errors.is_empty() => {
            let each: Vec<String> = report
                .errors
                .iter()
                .map(|error| format!("{}: {}", error.node, error.error))
                .collect();
            Some(ApiError {
                detail: each.join(" "),
                status: None,
            })
        }
        _ => None,
    };
    let error = move || start_failures().or_else(|| stop.value().get().and_then(Result::err));
    let from_form = error_of_form(&[StartCluster::PATH, StopCluster::PATH, ActOnNode::PATH]);
    view! {
        <div class="actions">
            <form method="post" action=StartCluster::url()>
                <button
                    class="btn"
                    class:primary=urgent
                    data-tip=move || census.with(consequence_of_start_all)
                    aria-disabled=move || (nothing_to_start() || start.pending().get()).then_some("true")
                    aria-busy=move || start.pending().get().to_string()
                    on:click=move |event| {
                        event.prevent_default();
                        if !nothing_to_start() && !start.pending().get() {
                            start.dispatch(());
                        }
                    }
                >
                    {start_word}
                </button>
            </form>
            <form method="post" action=StopCluster::url()>
                <button
                    class="btn"
                    data-tip=move || {
                        census
                            .with(|census| {
                                if census.running.is_empty() {
                                    "Nothing is running.".to_owned()
                                } else {
                                    consequence_of_stop_all(census)
                                }
                            })
                    }
                    aria-disabled=move || (nothing_to_stop() || stop.pending().get()).then_some("true")
                    aria-busy=move || stop.pending().get().to_string()
                    on:click=move |event| {
                        event.prevent_default();
                        if !nothing_to_stop() && !stop.pending().get() {
                            stop.dispatch(());
                        }
                    }
                >
                    {derived(move || if stop.pending().get() { "Stopping" } else { "Stop all" })}
                </button>
            </form>
        </div>
        <ErrorNote error=derived(move || error().or_else(|| from_form.clone())) />
    }
    .into_any()
}

/// An error where it arose; announced when it appears.
#[component]
pub fn ErrorNote(error: Signal<Option<ApiError>>) -> impl IntoView {
    view! {
        <p class="error-note alarm small" role="alert" hidden=move || error.get().is_none()>
            {derived(move || error.get().map(|error| error.detail))}
        </p>
    }
}
