//! One terminal per node, side by side: what the processes print, as they print it.
//!
//! A terminal follows the console log of its node over a socket of its own. Lines gather in [`lines`] and are
//! drawn once a frame, as HTML that [`sgr`] makes from them; blocks of lines that are out of sight cost no
//! layout (`content-visibility`). After a break the log is read anew and replaces what was there, so that no
//! line is shown twice and none is left out unseen.

pub mod lines;
pub mod sgr;

#[cfg(feature = "hydrate")]
mod stream;

use leptos::{html, prelude::*};
use leptos_meta::Title;
use lines::{Follow, Lines};
use wiber_protocol::status::Role;

use crate::{live::use_live, reactive::each_name, reconnect::Link, view::ProcessState, words::counted};

/// The page of the terminals.
#[component]
pub fn TerminalsPage() -> impl IntoView {
    view! {
        <Title text="Terminals · Wiber" />
        <div class="lede">
            <h1>"What the processes print"</h1>
            <p class="gloss">
                "Each node’s own console, live. Scrolling back pauses a terminal; its end follows again."
            </p>
        </div>
        {view! { <Terminals /> }.into_any()}
    }
}

/// The terminals of all nodes.
#[component]
pub fn Terminals(
    /// Docked below the Cluster page.
    #[prop(optional)]
    docked: bool,
) -> impl IntoView {
    let live = use_live();
    let ids = Memo::new(move |_| live.node_ids());
    let wraps = RwSignal::new(true);
    view! {
        <section class="terminals" class:docked=docked aria-labelledby="terminals">
            <div class="title">
                <h2 id="terminals" class:vh=!docked>
                    "Terminals"
                </h2>
                {docked.then(|| view! { <p>"What the processes print."</p> })}
                <div class="end needs-wasm">
                    <button
                        type="button"
                        class="word"
                        aria-pressed=move || wraps.get().to_string()
                        on:click=move |_| wraps.update(|wraps| *wraps = !*wraps)
                    >
                        "wrap"
                    </button>
                </div>
            </div>
            <div class="terms" class:wraps=move || wraps.get()>
                {each_name(ids, |id| view! { <Terminal id /> }.into_any())}
            </div>
            <noscript>
                <p class="nothing">
                    "A live console needs WebAssembly. Each node also writes it to "
                    <code>"<data-root>/<id>/logs/console.log"</code> "."
                </p>
            </noscript>
        </section>
    }
}

/// What a terminal's parts share. Cheap to copy.
#[derive(Clone, Copy)]
struct Screen {
    lines: StoredValue<Lines>,
    link: RwSignal<Link>,
    follow: RwSignal<Follow>,
    /// Lines that arrived since the reader paused.
    unread: RwSignal<usize>,
    /// Whether a line has been shown since the terminal was opened.
    has_lines: RwSignal<bool>,
    /// Holds the blocks of lines; nothing but frames writes into it.
    blocks: NodeRef<html::Div>,
    /// Scrolls.
    view: NodeRef<html::Div>,
    /// Whether the next frame is to draw already.
    #[cfg(feature = "hydrate")]
    is_asked: StoredValue<bool>,
    /// Whether the only line is a note of the gateway's, not the node's own.
    #[cfg(feature = "hydrate")]
    is_note: StoredValue<bool>,
    /// Where it was scrolled to, to tell a reader's scrolling from a change of layout; pixels.
    #[cfg(feature = "hydrate")]
    stood_at: StoredValue<i32>,
}

#[component]
fn Terminal(id: String) -> impl IntoView {
    let live = use_live();
    let screen = Screen {
        lines: StoredValue::new(Lines::default()),
        link: RwSignal::new(Link::default()),
        follow: RwSignal::new(Follow::default()),
        unread: RwSignal::new(0),
        has_lines: RwSignal::new(false),
        blocks: NodeRef::new(),
        view: NodeRef::new(),
        #[cfg(feature = "hydrate")]
        is_asked: StoredValue::new(false),
        #[cfg(feature = "hydrate")]
        is_note: StoredValue::new(false),
        #[cfg(feature = "hydrate")]
        stood_at: StoredValue::new(0),
    };
    #[cfg(feature = "hydrate")]
    stream::follow(id.clone(), screen, live);
    let node = {
        let id = id.clone();
        Memo::new(move |_| live.node(&id))
    };
    let role = Memo::new(move |_| node.with(|node| node.live_role().map_or("down", Role::as_str)));
    let process = Memo::new(move |_| node.with(|node| process_words(&node.process)));
    let copied = RwSignal::new(false);
    let label = format!("Console of {id}");
    let element_id = format!("tty-{id}");
    view! {
        <article class="tty" data-node=id.clone() data-link=move || screen.link.get().state()>
            <header>
                <h3 class=move || role.get() id=element_id.clone()>
                    {id.clone()}
                </h3>
                <span class="process">{move || process.get()}</span>
                <span class="link" role="status">
                    {move || screen.link.get().words()}
                </span>
                <div class="end needs-wasm">
                    <button
                        type="button"
                        class="word follow"
                        aria-pressed=move || (screen.follow.get() == Follow::Following).to_string()
                        aria-controls=format!("{element_id}-screen")
                        on:click=move |_| toggle(screen)
                    >
                        {move || match screen.follow.get() {
                            Follow::Following => "following",
                            Follow::Paused => "paused",
                        }}
                    </button>
                    <button type="button" class="word" on:click=move |_| copy(screen, copied)>
                        {move || if copied.get() { "copied" } else { "copy" }}
                    </button>
                    <button type="button" class="word" on:click=move |_| clear(screen)>
                        "clear"
                    </button>
                </div>
            </header>
            <div
                class="screen"
                id=format!("{element_id}-screen")
                role="log"
                // A console would never let a reader finish a sentence.
                aria-live="off"
                aria-label=label
                tabindex="0"
                node_ref=screen.view
                on:scroll=move |_| scrolled(screen)
            >
                <p class="nothing" hidden=move || screen.has_lines.get()>
                    {move || waiting_words(screen.link.get())}
                </p>
                <div class="lines" node_ref=screen.blocks></div>
            </div>
            <button
                type="button"
                class="newer"
                hidden=move || screen.follow.get() == Follow::Following || screen.unread.get() == 0
                on:click=move |_| toggle(screen)
            >
                {move || format!("{} below", counted(screen.unread.get() as u64, "new line", "new lines"))}
            </button>
        </article>
    }
}

fn process_words(process: &ProcessState) -> String {
    match process {
        ProcessState::Stopped => "not running".to_owned(),
        ProcessState::Starting { pid } => format!("pid {pid}, starting"),
        ProcessState::Running { pid, .. } => format!("pid {pid}"),
        ProcessState::Exited { how, .. } => how.clone(),
    }
}

fn waiting_words(link: Link) -> &'static str {
    match link {
        Link::Idle => "",
        Link::Opening => "Connecting to the console.",
        Link::Live => "Nothing has been printed yet.",
        Link::Lost { .. } => "The gateway does not answer.",
    }
}

fn toggle(screen: Screen) {
    match screen.follow.get_untracked() {
        Follow::Following => screen.follow.set(Follow::Paused),
        Follow::Paused => {
            screen.follow.set(Follow::Following);
            screen.unread.set(0);
            #[cfg(feature = "hydrate")]
            stream::to_the_end(screen);
        }
    }
}

fn clear(screen: Screen) {
    screen.lines.update_value(Lines::clear);
    screen.unread.set(0);
    #[cfg(feature = "hydrate")]
    stream::draw(screen);
}

/// A reader who scrolls back is reading; one who comes to the end follows again.
fn scrolled(screen: Screen) {
    #[cfg(feature = "hydrate")]
    stream::scrolled(screen);
    #[cfg(not(feature = "hydrate"))]
    let _ = screen;
}

fn copy(screen: Screen, copied: RwSignal<bool>) {
    #[cfg(feature = "hydrate")]
    stream::copy(screen, copied);
    #[cfg(not(feature = "hydrate"))]
    let _ = (screen, copied);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_number_or_its_end() {
        assert_eq!(
            process_words(&ProcessState::Running {
                pid: 41_207,
                by_gateway: true
            }),
            "pid 41207"
        );
        let exited = ProcessState::Exited {
            how: "killed (SIGKILL)".into(),
            at_ms: 0,
            expected: true,
        };
        assert_eq!(process_words(&exited), "killed (SIGKILL)");
    }
}
