//! The gateway: starts and watches the nodes, folds what they say into one picture, and serves the page, the
//! REST forms and the WebSockets.
//!
//! [`supervisor`] owns the processes, [`cluster`] the picture, [`service`] what can be asked of both, [`http`]
//! and [`ws`] the outside forms, [`tail`] the console logs. [`gateway`] puts them together.

pub mod cluster;
pub mod supervisor;
pub mod tail;
