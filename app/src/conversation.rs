//! A conversation: its messages, who says what, and how sure each message is.
//!
//! The first page is rendered on the server from the history; a socket goes on at the offset after it, and
//! what one writes is sent under an id made here until its fate is known (see [`state`]). Without wasm it is a
//! list and a form.

pub mod delivery;
pub mod line;
pub mod people;
pub mod state;

#[cfg(feature = "hydrate")]
mod keep;
#[cfg(feature = "hydrate")]
mod link;

use leptos::{html, prelude::*, server_fn::ServerFn};
use leptos_meta::Title;
#[cfg(feature = "hydrate")]
use leptos_router::hooks::{use_location, use_navigate};
use leptos_router::hooks::{use_params_map, use_query_map};
use people::{in_path, people};
use state::Talk;

use crate::{
    api::{self, ApiError, Publish},
    live::{Live, use_live},
    reconnect::Link,
    service::{Consistency, HistoryPage},
    view::NodeView,
};

/// The conversation shown when the address names none.
pub const DEFAULT_CONVO: &str = "dm:alice:bob";
/// Messages of the history that are shown at first.
pub const HISTORY_COUNT: usize = 50;

/// `/dm/:convo`: one conversation by itself.
#[component]
pub fn ConversationPage() -> impl IntoView {
    let (params, query) = (use_params_map(), use_query_map());
    let convo = Memo::new(move |_| {
        let asked = query
            .with(|query| query.get("convo"))
            .filter(|convo| !convo.trim().is_empty());
        asked
            .or_else(|| params.with(|params| params.get("convo")))
            .unwrap_or_else(default_convo)
    });
    view! {
        <Title text=move || format!("{} · Wiber", convo.get()) />
        <div class="lede">
            <h1>{move || convo.get()}</h1>
            <p class="gloss">
                "A topic like any other, read as a conversation. Stored means: on the disks of a majority."
            </p>
        </div>
        <div class="conversation-page">
            <OneConversation convo by_itself=true />
        </div>
    }
}

/// A conversation docked among other things; `?convo=` says which.
#[component]
pub fn Conversation() -> impl IntoView {
    let query = use_query_map();
    let convo = Memo::new(move |_| {
        let named = query
            .with(|query| query.get("convo"))
            .map(|convo| convo.trim().to_owned());
        named
            .filter(|convo| !convo.is_empty())
            .unwrap_or_else(default_convo)
    });
    view! { <OneConversation convo /> }
}

/// Why the history need not be asked for, if it can be known without asking: a browser would note the refusal as an error.
fn why_not_ask(live: Live) -> Option<String> {
    let nodes = live.nodes();
    let mut running = nodes.iter().filter(|node| node.process.is_running()).peekable();
    if running.peek().is_none() {
        return Some("No node of the cluster is running.".to_owned());
    }
    // A node that has just started, or still waits for others to form a cluster, is in no term.
    let takes_part =
        |node: &NodeView| node.live && node.status.as_ref().is_some_and(|status| status.term > 0);
    let may_be_asked = cfg!(feature = "ssr") || running.any(takes_part);
    (!may_be_asked).then(|| "No node of the cluster answers yet.".to_owned())
}

fn default_convo() -> String {
    DEFAULT_CONVO.to_owned()
}

/// The conversation with this id, begun anew when the id changes.
#[component]
fn OneConversation(convo: Memo<String>, #[prop(optional)] by_itself: bool) -> impl IntoView {
    let live = use_live();
    let history = Resource::new_blocking(
        move || convo.get(),
        move |convo| async move {
            if let Some(detail) = untrack(|| why_not_ask(live)) {
                return Err(ApiError {
                    detail,
                    status: Some(503),
                });
            }
            api::history(convo, HISTORY_COUNT).await
        },
    );
    view! {
        <section class="conversation" aria-labelledby="conversation">
            <Suspense fallback=move || view! { <p class="nothing">"Reading the conversation."</p> }>
                {move || Suspend::new(async move {
                    let history = history.await;
                    let convo = convo.get_untracked();
                    view! { <Loaded convo history by_itself /> }
                })}
            </Suspense>
        </section>
    }
}

/// What the parts of a conversation share. Cheap to copy.
#[derive(Clone, Copy)]
struct Talking {
    #[cfg(feature = "hydrate")]
    live: Live,
    convo: StoredValue<String>,
    talk: RwSignal<Talk>,
    link: RwSignal<Link>,
    /// Why no node delivers, while none does.
    stalled: RwSignal<Option<String>>,
    /// How the history was read; `None` where it could not be.
    consistency: RwSignal<Option<Consistency>>,
    sender: RwSignal<String>,
    draft: RwSignal<String>,
    /// Why what is in the box was not taken.
    objection: RwSignal<Option<String>>,
    #[cfg(feature = "hydrate")]
    is_sending: StoredValue<bool>,
}

#[component]
fn Loaded(convo: String, history: Result<HistoryPage, ApiError>, by_itself: bool) -> impl IntoView {
    let query = use_query_map();
    let named = query.with_untracked(|query| query.get("as"));
    let sender = named.unwrap_or_else(|| {
        people(&convo)
            .first()
            .map_or_else(String::new, |name| (*name).to_owned())
    });
    let (talk, consistency, unread) = match history {
        Ok(page) => (Talk::from_history(page.messages), Some(page.consistency), None),
        Err(error) => (Talk::default(), None, Some(error.detail)),
    };
    let talking = Talking {
        #[cfg(feature = "hydrate")]
        live: use_live(),
        convo: StoredValue::new(convo.clone()),
        talk: RwSignal::new(talk),
        link: RwSignal::new(Link::default()),
        stalled: RwSignal::new(None),
        consistency: RwSignal::new(consistency),
        sender: RwSignal::new(sender),
        draft: RwSignal::new(String::new()),
        objection: RwSignal::new(api::error_of_form(&[Publish::PATH]).map(|error| error.detail)),
        #[cfg(feature = "hydrate")]
        is_sending: StoredValue::new(false),
    };
    #[cfg(feature = "hydrate")]
    link::keep_current(talking);
    view! {
        <div class="title">
            <h2 id="conversation" class:vh=by_itself>
                <a href=format!("/dm/{}", in_path(&convo))>{convo.clone()}</a>
            </h2>
            {(!by_itself).then(|| view! { <p>"A topic like any other, read as a conversation."</p> })}
            <ConnectionState talking />
        </div>
        <div class="set">
            <Messages talking unread />
            <WriteBox talking />
        </div>
        <OtherConversation convo />
    }
}

/// Whether what is shown is what there is.
#[component]
fn ConnectionState(talking: Talking) -> impl IntoView {
    let words = move || match (talking.link.get(), talking.stalled.get()) {
        (Link::Live, Some(_)) => "no node delivers".to_owned(),
        (link, _) => link.words(),
    };
    let state = move || match (talking.link.get(), talking.stalled.with(Option::is_some)) {
        (Link::Live, true) => "stalled",
        (link, _) => link.state(),
    };
    let why = move || talking.stalled.get().filter(|_| talking.link.get() == Link::Live);
    let local = move || talking.consistency.get() == Some(Consistency::Local);
    view! {
        <span class="end link" role="status" data-link=state title=why>
            <span hidden=move || !local() title="No majority answered when this was read.">
                "as one node had it, perhaps stale "
            </span>
            {words}
        </span>
    }
}

#[component]
fn Messages(talking: Talking, unread: Option<String>) -> impl IntoView {
    let lines = Memo::new(move |_| talking.talk.with(Talk::lines));
    let list = NodeRef::<html::Div>::new();
    #[cfg(feature = "hydrate")]
    keep_the_end_in_sight(list, lines);
    let nothing = move || {
        if talking.talk.with(Talk::has_begun) {
            "Nothing has been said here yet.".to_owned()
        } else {
            format!(
                "The history cannot be read now. {}",
                unread.clone().unwrap_or_default()
            )
        }
    };
    let convo = talking.convo;
    view! {
        <p class="nothing" hidden=move || lines.with(|lines| !lines.is_empty())>
            {nothing}
        </p>
        <div
            class="talk"
            role="log"
            aria-label="Messages"
            tabindex="0"
            node_ref=list
            hidden=move || lines.with(Vec::is_empty)
        >
            <ol>
                <For each=move || lines.get() key=line::key let:each>
                    {convo.with_value(|convo| line::view_of(each, convo, talking.talk, talking.draft))}
                </For>
            </ol>
        </div>
    }
}

/// The newest message stays in sight unless the reader has scrolled back.
#[cfg(feature = "hydrate")]
fn keep_the_end_in_sight(list: NodeRef<html::Div>, lines: Memo<Vec<state::Line>>) {
    /// How near the end counts as the end, pixels.
    const END_REACH_PX: i32 = 48;
    let height = StoredValue::new(0);
    Effect::new(move |_| {
        lines.track();
        let Some(list) = list.get() else { return };
        let before = height.get_value();
        let was_at_end = before - list.scroll_top() - list.client_height() <= END_REACH_PX;
        // The lines are drawn by the effects of this same turn.
        request_animation_frame(move || {
            height.try_set_value(list.scroll_height());
            if was_at_end {
                list.set_scroll_top(list.scroll_height());
            }
        });
    });
}

/// Where one writes.
#[component]
fn WriteBox(talking: Talking) -> impl IntoView {
    let say = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        #[cfg(feature = "hydrate")]
        link::say(talking);
    };
    let convo = talking.convo.get_value();
    let names = people(&convo).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let placeholder = move || {
        let sender = talking.sender.get();
        let others: Vec<&String> = names.iter().filter(|name| **name != sender).collect();
        match others.as_slice() {
            [] => "Write a message".to_owned(),
            [other] => format!("Write to {other}"),
            _ => "Write to all".to_owned(),
        }
    };
    view! {
        <form class="say" method="post" action=Publish::url() on:submit=say>
            <input type="hidden" name="convo" value=convo />
            <label class="vh" for="say-sender">
                "Sender"
            </label>
            <input
                id="say-sender"
                class="sender"
                name="sender"
                autocomplete="off"
                maxlength="64"
                placeholder="nobody"
                value=talking.sender.get_untracked()
                prop:value=talking.sender
                on:input=move |event| talking.sender.set(event_target_value(&event))
            />
            <label class="vh" for="say-message">
                "Message"
            </label>
            <input
                id="say-message"
                class="message"
                name="message"
                data-focus="publish"
                autocomplete="off"
                required
                maxlength="4000"
                placeholder=placeholder
                prop:value=talking.draft
                on:input=move |event| talking.draft.set(event_target_value(&event))
            />
            <button class="btn">"Publish"</button>
        </form>
        <p class="error-note alarm small" role="alert" hidden=move || talking.objection.with(Option::is_none)>
            {move || talking.objection.get()}
        </p>
    }
}

/// Opens another conversation, with or without wasm. A plain form: the router's own serves every kind there is, at
/// a price in kilobytes.
#[component]
fn OtherConversation(convo: String) -> impl IntoView {
    let other = NodeRef::<html::Input>::new();
    #[cfg(feature = "hydrate")]
    let (navigate, here) = (use_navigate(), use_location().pathname);
    let open = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        #[cfg(feature = "hydrate")]
        if let Some(other) = other.get_untracked() {
            let address = format!("{}?convo={}", here.get_untracked(), in_path(&other.value()));
            navigate(&address, leptos_router::NavigateOptions::default());
        }
    };
    view! {
        <form class="other small" method="get" action="" on:submit=open>
            <label for="other-convo">"open"</label>
            <input
                id="other-convo"
                name="convo"
                class="m"
                autocomplete="off"
                spellcheck="false"
                required
                value=convo
                node_ref=other
            />
            <button class="word">"go"</button>
        </form>
    }
}
