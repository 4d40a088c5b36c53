//! The document, and the routes.

use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{Route, Router, Routes},
    path,
};

use crate::{
    cluster::ClusterPage,
    conversation::ConversationPage,
    head::Head,
    keys::{KeyBoard, provide_keys},
    live::{provide_live, use_live},
    reactive::{derived, memo},
    terminal::TerminalsPage,
    theme::BEFORE_PAINT,
    time::TimePage,
    timeline::TimelinePage,
};

/// Fonts that the first screen needs.
const EARLY_FONTS: [&str; 3] = [
    "charis-sil-latin-400-normal",
    "charis-sil-latin-700-normal",
    "ibm-plex-mono-latin-400-normal",
];

/// The whole document, as the server sends it.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <script nonce=leptos::nonce::use_nonce()>{BEFORE_PAINT}</script>
                {EARLY_FONTS
                    .map(|font| {
                        view! {
                            <link
                                rel="preload"
                                href=format!("/fonts/{font}.woff2")
                                r#as="font"
                                type="font/woff2"
                                crossorigin="anonymous"
                            />
                        }
                    })}
                <HashedStylesheet id="style" options=options.clone() />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <AutoReload options=options.clone() />
                <HydrationScripts options />
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// Everything inside the document's body.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    provide_live();
    provide_keys();
    // Controls that only wasm can serve appear with it.
    #[cfg(feature = "hydrate")]
    Effect::new(|_| {
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-wasm", "");
        }
    });
    view! {
        <Title text="Wiber" />
        <a class="skip" href="#main">"Skip to the page"</a>
        <Router>
            <Head />
            <main id="main" tabindex="-1">
                <Routes fallback=NotFound>
                    // Whole before it is sent: these read a conversation, and must be readable without wasm.
                    <Route path=path!("/") view=ClusterPage ssr=SsrMode::Async />
                    <Route path=path!("/timeline") view=TimelinePage />
                    <Route path=path!("/time") view=TimePage />
                    <Route path=path!("/terminals") view=TerminalsPage />
                    <Route path=path!("/dm/:convo") view=ConversationPage ssr=SsrMode::Async />
                </Routes>
            </main>
            <Foot />
            <KeyBoard />
        </Router>
    }
    .into_any()
}

#[component]
fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(axum::http::StatusCode::NOT_FOUND);
    }
    view! {
        <Title text="Not found · Wiber" />
        <div class="lede">
            <h1>"There is no such page"</h1>
            <p class="gloss">
                "The places are in the head of this page; "<a href="/">"the cluster"</a>" is the first."
            </p>
        </div>
    }
    .into_any()
}

/// An id by its two ends.
fn shortened(id: &str) -> String {
    match (id.get(..4), id.get(id.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if id.len() > 9 => format!("{head}…{tail}"),
        _ => id.to_owned(),
    }
}

/// Where the numbers come from, and what was left out of them.
#[component]
fn Foot() -> impl IntoView {
    let live = use_live();
    let cluster = memo(move || {
        live.nodes()
            .iter()
            .find_map(|node| node.status.as_ref()?.cluster_id.map(|id| id.to_string()))
    });
    let left_out = memo(move || live.nodes().iter().map(|node| node.rpcs_left_out).sum::<u64>());
    view! {
        <footer class="foot">
            <p>
                <span>"Every number here is from a node’s own events."</span>
                <span hidden=move || cluster.get().is_none()>
                    "cluster "
                    <code title=move || cluster.get()>{derived(move || cluster.get().map(|id| shortened(&id)))}</code>
                </span>
                <span hidden=move || left_out.get() == 0>
                    <code>{derived(move || crate::words::grouped(left_out.get()))}</code>
                    " calls between nodes left out of the trace by sampling"
                </span>
            </p>
        </footer>
    }
    .into_any()
}
