//! One line of a conversation: who, what, and how sure it is.

use leptos::prelude::*;

use super::{
    delivery::{Delivery, Outgoing, Own, Receipt, Stored},
    people::said_by,
    state::{Line, Talk},
};
use crate::{
    live::use_live,
    words::{NBSP, grouped, millis},
};

/// How far a message of one's own has come; drawn as so many filled squares of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Written here.
    Written,
    /// On its way, or its fate is not known.
    Sent,
    /// On the disks of a majority.
    Stored,
    /// Come back with all the others: everyone who reads the topic has it.
    Delivered,
    Refused,
}

impl Step {
    fn filled(self) -> u8 {
        match self {
            Self::Written | Self::Refused => 0,
            Self::Sent => 1,
            Self::Stored => 2,
            Self::Delivered => 3,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
        }
    }
}

/// The state of a line in words, and the step it has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub step: Option<Step>,
    pub words: String,
    /// What the cluster said, where that needs saying.
    pub why: String,
    /// Where it stands: offset and Lamport time, once they are known.
    pub place: String,
    /// A person should look.
    pub alarm: bool,
}

/// The state of a message of one's own on its way.
pub fn told_of_outgoing(outgoing: &Outgoing) -> Told {
    let (step, words, why) = match &outgoing.delivery {
        Delivery::Waiting => (Step::Written, "waits for the one before it".to_owned(), None),
        Delivery::Sending => (Step::Sent, "sending".to_owned(), None),
        Delivery::Unknown { sent, why } => {
            let times = if *sent == 1 {
                "sent once".to_owned()
            } else {
                format!("sent {sent} times")
            };
            (
                Step::Sent,
                format!("not yet known, {times} under one id"),
                Some(why),
            )
        }
        Delivery::Acknowledged(receipt) => (Step::Stored, stored_words(receipt), None),
        Delivery::Refused { why } => (Step::Refused, "refused".to_owned(), Some(why)),
    };
    let place = match &outgoing.delivery {
        Delivery::Acknowledged(receipt) => place(receipt.offset, receipt.logical_time),
        _ => String::new(),
    };
    Told {
        step: Some(step),
        words,
        alarm: why.is_some(),
        why: why.cloned().unwrap_or_default(),
        place,
    }
}

/// The state of a stored message.
pub fn told_of_stored(stored: &Stored) -> Told {
    let words = match &stored.own {
        None => String::new(),
        Some(Own {
            receipt: Some(receipt),
            ..
        }) => stored_words(receipt),
        Some(Own { sent, .. }) if *sent > 1 => format!("stored once, sent {sent} times"),
        Some(_) => "stored".to_owned(),
    };
    Told {
        step: stored.own.is_some().then_some(Step::Delivered),
        words,
        why: String::new(),
        place: place(Some(stored.view.offset), Some(stored.view.logical_time)),
        alarm: false,
    }
}

/// Stored always means: on the disks of a majority.
fn stored_words(receipt: &Receipt) -> String {
    if receipt.duplicate {
        return "stored once: an earlier attempt had arrived".to_owned();
    }
    format!("stored after {}", took(receipt.took_us))
}

fn took(us: u64) -> String {
    if us >= 1_000_000 {
        return crate::words::age(us / 1_000);
    }
    #[expect(clippy::cast_precision_loss, reason = "less than a second in microseconds")]
    let ms = us as f64 / 1_000.0;
    format!("{}{NBSP}ms", millis(ms))
}

fn place(offset: Option<u64>, logical_time: Option<u64>) -> String {
    let parts = [("offset", offset), ("Lamport", logical_time)];
    let told: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, number)| Some(format!("{name}{NBSP}{}", grouped(number?))))
        .collect();
    told.join(", ")
}

/// What a line is, for keeping it while it need not be drawn anew.
pub fn key(line: &Line) -> String {
    match line {
        Line::Hole { from, to } => format!("hole {from} {to}"),
        Line::Stored(stored) => format!("{} {:?}", stored.view.message_id, stored.own),
        Line::Outgoing(outgoing) => format!("{} {:?}", outgoing.message_id, outgoing.delivery),
    }
}

/// Draws a line.
pub fn view_of(line: Line, convo: &str, talk: RwSignal<Talk>, draft: RwSignal<String>) -> AnyView {
    match line {
        Line::Hole { from, to } => {
            let range = if from == to {
                grouped(from)
            } else {
                format!("{} to {}", grouped(from), grouped(to))
            };
            view! { <li class="hole">{format!("Offset {range}: no longer kept.")}</li> }.into_any()
        }
        Line::Stored(stored) => stored_view(&stored, convo),
        Line::Outgoing(outgoing) => outgoing_view(outgoing, talk, draft),
    }
}

fn stored_view(stored: &Stored, convo: &str) -> AnyView {
    let live = use_live();
    let told = told_of_stored(stored);
    let view = &stored.view;
    let (sender, message) = said_by(&view.text, convo);
    let at_ms = seconds_to_ms(view.timestamp);
    view! {
        <li
            class="message"
            class:own=stored.own.is_some()
            data-message-id=view.message_id.clone()
            data-offset=view.offset
            data-lamport=view.logical_time
            data-state=if stored.own.is_some() { "delivered" } else { "stored" }
        >
            <span class="from">{sender.unwrap_or_default().to_owned()}</span>
            <span class="text">{message.to_owned()}</span>
            <span class="state">
                {told.step.map(squares)}
                <span class="place">{told.place}</span>
                <span class="how">
                    <time class="m" title=move || live.time_of_day(at_ms)>
                        {move || live.time_of_day(at_ms).get(..8).map(str::to_owned)}
                    </time>
                    {(!told.words.is_empty())
                        .then(|| view! { <span title="on the disks of a majority">{told.words}</span> })}
                </span>
            </span>
        </li>
    }
    .into_any()
}

fn outgoing_view(outgoing: Outgoing, talk: RwSignal<Talk>, draft: RwSignal<String>) -> AnyView {
    let told = told_of_outgoing(&outgoing);
    let step = told.step.map_or("", Step::name);
    let is_refused = matches!(outgoing.delivery, Delivery::Refused { .. });
    let id = outgoing.message_id.clone();
    // A refused message goes back into the box, unless something else has been begun there.
    let take_back = move |_| {
        if let Some(text) = talk.try_update(|talk| talk.dismiss(&id)).flatten()
            && draft.with_untracked(String::is_empty)
        {
            draft.set(text);
        }
    };
    view! {
        <li class="message own" data-message-id=outgoing.message_id data-state=step>
            <span class="from">{outgoing.sender}</span>
            <span class="text">{outgoing.text}</span>
            <span class="state" class:alarm=told.alarm>
                {told.step.map(squares)}
                {(!told.place.is_empty()).then(|| view! { <span class="place">{told.place}</span> })}
                <span class="how">{told.words}</span>
                {(!told.why.is_empty())
                    .then(|| view! { <span class="why" title=told.why.clone()>{told.why.clone()}</span> })}
                {is_refused
                    .then(|| {
                        view! {
                            <button type="button" class="word" on:click=take_back>
                                "take back"
                            </button>
                        }
                    })}
            </span>
        </li>
    }
    .into_any()
}

/// Three squares, filled as far as the message has come; the words beside them say the same.
fn squares(step: Step) -> impl IntoView {
    let filled = step.filled();
    let path = |from: u8, to: u8| {
        let squares = (from..to).map(|place| format!("M{} 1h6v8h-6z", 1 + place * 9));
        squares.collect::<Vec<_>>().concat()
    };
    view! {
        <svg class=format!("steps {}", step.name()) viewBox="0 0 27 10" width="27" height="10" aria-hidden="true">
            <path class="done" d=path(0, filled) />
            <path class="open" d=path(filled, 3) />
        </svg>
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds since 1970 fit for some hundred million years"
)]
fn seconds_to_ms(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(delivery: Delivery) -> Told {
        let mut talk = Talk::default();
        talk.say("m1".into(), "alice", "hello").unwrap();
        let Some(Line::Outgoing(mut outgoing)) = talk.lines().pop() else {
            panic!("it is on its way")
        };
        outgoing.delivery = delivery;
        told_of_outgoing(&outgoing)
    }

    #[test]
    fn every_state_has_words_and_a_step() {
        assert_eq!(outgoing(Delivery::Sending).words, "sending");
        let unknown = outgoing(Delivery::Unknown {
            sent: 3,
            why: "No answer.".into(),
        });
        assert_eq!(unknown.words, "not yet known, sent 3 times under one id");
        assert_eq!(unknown.why, "No answer.");
        assert!(unknown.alarm);
        let receipt = Receipt {
            offset: Some(1_204),
            logical_time: Some(98),
            duplicate: false,
            took_us: 2_310,
        };
        let stored = outgoing(Delivery::Acknowledged(receipt.clone()));
        assert_eq!(stored.words, "stored after 2.3\u{a0}ms");
        assert_eq!(stored.place, "offset\u{a0}1,204, Lamport\u{a0}98");
        let again = outgoing(Delivery::Acknowledged(Receipt {
            duplicate: true,
            ..receipt
        }));
        assert_eq!(again.words, "stored once: an earlier attempt had arrived");
        let refused = outgoing(Delivery::Refused { why: "no".into() });
        assert_eq!((refused.step, refused.why.as_str()), (Some(Step::Refused), "no"));
    }
}
