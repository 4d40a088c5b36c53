//! *What happened*, in words, newest first and grouped by term.

use std::collections::VecDeque;

use leptos::prelude::*;

use crate::{
    live::use_live,
    reactive::{derived, memo},
    view::Happening,
};

/// The sentences of one term.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Era {
    term: u64,
    /// When its first sentence was said; `None` for the oldest, which may have begun before.
    since_ms: Option<i64>,
    /// Newest first.
    happenings: Vec<Happening>,
}

/// Groups sentences (oldest first) into eras, newest first. A sentence that still speaks of an older term
/// belongs to the era in which it was said.
fn eras(happenings: &VecDeque<Happening>) -> Vec<Era> {
    let mut eras: Vec<Era> = Vec::new();
    for happening in happenings {
        if let Some(era) = eras.last_mut().filter(|era| happening.term <= era.term) {
            era.happenings.push(happening.clone());
        } else {
            let since_ms = (!eras.is_empty()).then_some(happening.at_ms);
            eras.push(Era {
                term: happening.term,
                since_ms,
                happenings: vec![happening.clone()],
            });
        }
    }
    eras.reverse();
    for era in &mut eras {
        era.happenings.reverse();
    }
    eras
}

/// A sentence in pieces: the names of nodes apart from the rest.
fn with_names<'a>(text: &'a str, names: &[String]) -> Vec<(&'a str, bool)> {
    let mut pieces = Vec::new();
    let mut rest_from = 0;
    let mut at = 0;
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '-' && c != '_') {
        let name = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
        if names.iter().any(|known| known == name) {
            if rest_from < at {
                pieces.push((&text[rest_from..at], false));
            }
            pieces.push((&text[at..at + name.len()], true));
            rest_from = at + name.len();
        }
        at += word.len();
    }
    if rest_from < text.len() {
        pieces.push((&text[rest_from..], false));
    }
    pieces
}

#[component]
pub fn Happened() -> impl IntoView {
    let live = use_live();
    let eras = memo(move || eras(&live.happenings()));
    let names = memo(move || live.node_ids());
    let empty = move || eras.with(Vec::is_empty);
    view! {
        <section class="happened" aria-labelledby="happened">
            <div class="title">
                <h2 id="happened">"What happened"</h2>
                <p>"Newest first. A time opens its moment on the timeline."</p>
            </div>
            <div class="set feed" tabindex="0" role="log" aria-live="off" aria-label="Newest first">
                <p class="nothing" hidden=move || !empty()>
                    "Nothing yet. Starts, elections and losses will be told here."
                </p>
                <ol>
                    <For each=move || eras.get() key=|era| (era.term, era.happenings.first().map(|newest| newest.seq)) let:era>
                        <li class="era">
                            <b>{era_name(era.term)}</b>
                            {era.since_ms.map(|since_ms| view! { <i>{derived(move || format!(" since {}", live.time_of_day(since_ms)))}</i> })}
                        </li>
                        <For each=move || era.happenings.clone() key=|happening| happening.seq let:happening>
                            <Sentence happening names />
                        </For>
                    </For>
                </ol>
            </div>
        </section>
    }
    .into_any()
}

fn era_name(term: u64) -> String {
    if term == 0 {
        "Before the first term".to_owned()
    } else {
        format!("Term {term}")
    }
}

#[component]
fn Sentence(happening: Happening, names: Memo<Vec<String>>) -> impl IntoView {
    let live = use_live();
    let at_ms = happening.at_ms;
    let alarm = happening.alarm;
    let text = happening.text;
    view! {
        <li class:attention=alarm>
            <a class="when" href=format!("/timeline?at={at_ms}")>
                <time class="m">{derived(move || live.time_of_day(at_ms))}</time>
            </a>
            <span class="what">
                {alarm.then(|| view! { <span class="alarm attention-mark">"! "</span> })}
                {move || {
                    names
                        .with(|names| {
                            with_names(&text, names)
                                .into_iter()
                                .map(|(piece, is_name)| {
                                    let piece = piece.to_owned();
                                    if is_name {
                                        view! { <b>{piece}</b> }.into_any()
                                    } else {
                                        piece.into_any()
                                    }
                                })
                                .collect_view()
                        })
                }}
            </span>
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seq: u64, term: u64) -> Happening {
        Happening {
            seq,
            at_ms: 1_000 * i64::try_from(seq).unwrap_or(0),
            node: None,
            term,
            text: String::new(),
            alarm: false,
        }
    }

    #[test]
    fn sentences_are_grouped_by_term_newest_first() {
        let eras = eras(&[said(1, 6), said(2, 7), said(3, 7), said(4, 8)].into());
        let told: Vec<(u64, Option<i64>, Vec<u64>)> = eras
            .iter()
            .map(|era| {
                (
                    era.term,
                    era.since_ms,
                    era.happenings.iter().map(|happening| happening.seq).collect(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (8, Some(4_000), vec![4]),
                (7, Some(2_000), vec![3, 2]),
                (6, None, vec![1])
            ]
        );
    }

    #[test]
    fn a_late_word_of_an_older_term_opens_no_new_era() {
        let eras = eras(&[said(1, 7), said(2, 6), said(3, 7)].into());
        assert_eq!(eras.len(), 1);
    }

    #[test]
    fn names_are_set_apart_only_as_whole_words() {
        let names = ["n1".to_owned(), "n2".to_owned()];
        assert_eq!(
            with_names("n1 voted for n2, not n12.", &names),
            [
                ("n1", true),
                (" voted for ", false),
                ("n2", true),
                (", not n12.", false)
            ]
        );
        assert_eq!(
            with_names("n2’s disk", &names),
            [("n2", true), ("’s disk", false)]
        );
        assert!(with_names("", &names).is_empty());
    }
}
