//! The gateway: starts and watches the nodes, folds what they say into one picture, and serves the page, the
//! REST forms and the WebSockets.
//!
//! [`supervisor`] owns the processes, [`cluster`] the picture, [`messages`] the way to the cluster's topics,
//! [`service`] what can be asked of all three; [`http`] and [`ws`] are the outside forms, [`tail`] follows the
//! console logs, [`admin`] asks a node, [`faults`] makes its clock false. [`gateway`] puts them together.

// Leptos expands a page into nested generic types; the default limit is too low for a whole one.
#![recursion_limit = "256"]

mod admin;
mod cluster;
mod faults;
pub mod gateway;
mod http;
mod messages;
mod service;
mod supervisor;
mod tail;
mod ws;
