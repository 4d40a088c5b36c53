//! The Leptos app: pages, components and server functions. Compiles natively (`ssr`) and to wasm (`hydrate`).
//!
//! [`app`] holds the document and the places, [`live`] the one picture of the cluster that every component
//! reads, [`api`] what can be asked of the cluster from the page, [`cluster`] the first page.

// Leptos expands a component into nested generic types; the default limit is too low for a whole page.
#![recursion_limit = "256"]

pub mod api;
pub mod app;
pub mod cluster;
pub mod conversation;
pub mod head;
pub mod keys;
pub mod live;
pub mod reactive;
pub mod reconnect;
pub mod service;
pub mod terminal;
pub mod theme;
pub mod time;
pub mod timeline;
pub mod view;
pub mod words;

#[cfg(all(test, feature = "ssr"))]
mod page_tests;

pub use app::{App, shell};
