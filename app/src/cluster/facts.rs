//! What is derived from all nodes together and read by every row: computed once a repaint, offered to the
//! page by context.

use leptos::prelude::*;

use super::{
    figure::axis::Axis,
    headline::{Headline, headline},
    standing::Census,
};
use crate::live::Live;

/// Derived signals of the whole cluster.
#[derive(Clone, Copy)]
pub struct Facts {
    pub census: Memo<Census>,
    pub axis: Memo<Option<Axis>>,
    pub headline: Memo<Headline>,
}

impl Facts {
    pub fn of(live: Live) -> Self {
        Self {
            census: Memo::new(move |_| Census::of_nodes(&live.nodes())),
            axis: Memo::new(move |_| Axis::of(&live.nodes())),
            headline: Memo::new(move |_| headline(&live.nodes(), live.records_per_s())),
        }
    }
}
