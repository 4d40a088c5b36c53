//! The Leptos app: pages, components and server functions. Compiles natively (`ssr`) and to wasm (`hydrate`).

pub mod service;
pub mod view;
