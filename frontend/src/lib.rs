//! The wasm entry point: takes over the page that the server rendered.

// Leptos expands a component into nested generic types; the default limit is too low for a whole page.
#![recursion_limit = "256"]

/// Called by the script in the page's head.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(wiber_app::App);
}
