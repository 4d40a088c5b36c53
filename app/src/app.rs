//! The document, the head with the places, and the routes.

use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    components::{A, Route, Router, Routes},
    path,
};

use crate::{cluster::ClusterPage, live::provide_live, terminal::Terminals, timeline::Timeline};

/// The whole document, as the server sends it.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <HashedStylesheet id="style" options=options.clone() />
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
    view! {
        <Title text="Wiber" />
        <Router>
            <header class="head">
                <nav aria-label="Places">
                    <A href="/">"Cluster"</A>
                    <A href="/timeline">"Timeline"</A>
                    <A href="/terminals">"Terminals"</A>
                </nav>
            </header>
            <main id="main">
                <Routes fallback=|| view! { <p>"There is no such page."</p> }>
                    <Route path=path!("/") view=ClusterPage />
                    <Route path=path!("/timeline") view=Timeline />
                    <Route path=path!("/terminals") view=Terminals />
                </Routes>
            </main>
        </Router>
    }
}
