//! One node: who it is and how it stands, its log, its clock and latencies, and what can be done to it.

use leptos::prelude::*;
use wiber_protocol::status::Formation;

use super::{
    controls::NodeControls,
    facts::Facts,
    figure::{
        LogFigure,
        axis::{Axis, formed},
    },
    icons::standing_icon,
    scales::{ClockCell, LatencyCell},
    standing::{Ink, Standing},
};
use crate::{
    live::use_live,
    reactive::{derived, memo},
    view::{NodeView, ProcessState},
    words::{counted, duration, list},
};

#[component]
pub fn NodeRow(#[prop(into)] id: String, facts: Facts) -> impl IntoView {
    let live = use_live();
    let id = StoredValue::new(id);
    let node = memo(move || live.node(&id.get_value()));
    let standing = memo(move || node.with(Standing::of));
    let told = memo(move || node.with(|node| facts.axis.with(|axis| particulars(node, axis.as_ref()))));
    // Whole seconds, so that a memory's age is written once a second.
    let age = memo(move || {
        node.with(|node| {
            let heard_at_ms = node
                .status_at_ms
                .filter(|_| !node.live && node.status.is_some())?;
            u64::try_from((live.now_ms() - heard_at_ms).max(0))
                .ok()
                .map(|ms| ms / 1_000 * 1_000)
        })
    });
    let no_log = memo(move || {
        node.with(|node| formed(node).is_none())
            .then(|| node.with(no_log_words))
    });
    view! {
        <article
            class="row node"
            class:ghost=move || node.with(|node| !node.live)
            data-node=id.get_value()
            data-role=move || standing.get().word()
            aria-label=move || format!("{}, {}", id.get_value(), standing.get().word())
        >
            <div class="who">
                <h3>
                    <span class=move || format!("name {}", standing.get().ink().class())>{id.get_value()}</span>
                    " "
                    <span class=move || format!("role {}", standing.get().ink().class())>
                        {move || standing_icon(standing.get())}
                        {derived(move || standing.get().word())}
                    </span>
                </h3>
                <dl>
                    {move || {
                        told.get()
                            .into_iter()
                            .map(|particular| {
                                view! {
                                    <div class=particular.name>
                                        <dt>{particular.name}</dt>
                                        <dd class=particular.ink.class()>{particular.text}</dd>
                                    </div>
                                }
                            })
                            .collect_view()
                    }}
                </dl>
            </div>
            <div class="figure-cell">
                <LogFigure node axis=facts.axis />
                <p class="as-of" hidden=move || age.get().is_none()>
                    {derived(move || age.get().map(|ms| format!("as of {} ago", duration(ms))))}
                </p>
                <p class="no-log" hidden=move || no_log.get().is_none()>
                    {no_log}
                </p>
            </div>
            <ClockCell node outvoted=facts.outvoted />
            <LatencyCell node />
            <NodeControls id node facts />
        </article>
    }
    .into_any()
}

/// A name and what there is to say.
#[derive(Clone, Debug, PartialEq)]
struct Particular {
    name: &'static str,
    text: String,
    ink: Ink,
}

/// The short list beside a node's name.
fn particulars(node: &NodeView, axis: Option<&Axis>) -> Vec<Particular> {
    let plain = |name, text: String| Particular {
        name,
        text,
        ink: Ink::Plain,
    };
    let mut told = Vec::new();
    let Some(status) = &node.status else {
        told.push(plain("at", format!("{}:{}", node.host, node.port)));
        told.extend(exit(node));
        return told;
    };
    match &status.formation {
        Formation::Waiting { missing } if node.live => {
            let whom = if missing.is_empty() {
                "the others’ word".to_owned()
            } else {
                list(missing)
            };
            told.push(plain("awaits", whom));
        }
        Formation::Joining if node.live => told.push(plain("asks", "to be taken in".into())),
        _ => {
            told.push(plain("term", status.term.to_string()));
            let voted = match &status.voted_for {
                Some(whom) if *whom == node.id => "for itself".to_owned(),
                Some(whom) => whom.clone(),
                None => "for nobody".to_owned(),
            };
            told.push(plain("voted", voted));
        }
    }
    if let (Some(axis), Some(log), true) = (axis, formed(node), node.live)
        && Standing::of(node) != Standing::Leader
    {
        let behind = axis.last.saturating_sub(log.last_log_index);
        told.push(plain("behind", counted(behind, "entry", "entries")));
    }
    if node.live {
        told.push(plain("up", duration(status.uptime_ms)));
    }
    told.extend(exit(node));
    told
}

fn exit(node: &NodeView) -> Option<Particular> {
    match &node.process {
        ProcessState::Exited { how, expected, .. } => Some(Particular {
            name: "exit",
            text: how.clone(),
            ink: if *expected { Ink::Plain } else { Ink::Alarm },
        }),
        ProcessState::Stopped | ProcessState::Starting { .. } | ProcessState::Running { .. } => None,
    }
}

/// Why there is no log to draw.
fn no_log_words(node: &NodeView) -> String {
    match Standing::of(node) {
        Standing::Waiting => "A blank log: no cluster has formed yet.".to_owned(),
        Standing::Joining => "A blank log: it waits to be taken into the cluster.".to_owned(),
        Standing::Starting => "Opening its log.".to_owned(),
        _ => format!("Nothing has been heard from {} yet.", node.id),
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol::status::Role;

    use super::*;
    use crate::cluster::fixture::{at_positions, blank, gone, live};

    fn told(node: &NodeView, axis: Option<&Axis>) -> Vec<(&'static str, String)> {
        particulars(node, axis)
            .into_iter()
            .map(|particular| (particular.name, particular.text))
            .collect()
    }

    #[test]
    fn a_follower_says_how_far_behind_it_is_and_a_leader_does_not() {
        let leader = at_positions(live("n2", Role::Leader, 7), [100; 4]);
        let follower = at_positions(live("n1", Role::Follower, 7), [89; 4]);
        let axis = Axis::of(&[leader.clone(), follower.clone()]);
        assert!(told(&follower, axis.as_ref()).contains(&("behind", "11\u{a0}entries".into())));
        assert!(
            told(&leader, axis.as_ref())
                .iter()
                .all(|(name, _)| *name != "behind")
        );
    }

    #[test]
    fn a_dead_node_says_how_it_ended_and_not_how_long_it_is_up() {
        let told = told(&gone("n3", false), None);
        assert!(told.contains(&("exit", "killed (SIGKILL)".into())));
        assert!(told.iter().all(|(name, _)| *name != "up" && *name != "behind"));
    }

    #[test]
    fn a_node_never_heard_of_says_where_it_would_be() {
        assert_eq!(told(&blank("n1"), None), [("at", "127.0.0.1:7001".to_owned())]);
    }

    #[test]
    fn a_waiting_node_names_whom_it_awaits_and_no_term() {
        let mut node = live("n1", Role::Learner, 0);
        if let Some(status) = &mut node.status {
            status.formation = Formation::Waiting {
                missing: vec!["n3".into()],
            };
        }
        let told = told(&node, None);
        assert_eq!(told[0], ("awaits", "n3".to_owned()));
        assert!(told.iter().all(|(name, _)| *name != "term"));
    }
}
