//! Small drawings that go with words: a shape for each standing, one for each control.

use leptos::prelude::*;

use super::standing::Standing;
use crate::service::NodeAction;

/// The shape of a standing; colour is never the only sign.
pub fn standing_icon(standing: Standing) -> impl IntoView {
    let (path, class) = match standing {
        Standing::Leader => ("M6 .8 11.2 6 6 11.2.8 6Z", "solid"),
        Standing::Follower => ("M6 1.6a4.4 4.4 0 1 0 .01 0Z", "line"),
        Standing::Learner | Standing::Joining => ("M6 1.6a4.4 4.4 0 1 0 .01 0ZM6 5.2v1.6", "dashed"),
        Standing::Candidate => ("M6 1 11.2 10.6H.8Z", "dashed"),
        Standing::Waiting | Standing::Starting => ("M6 1.6a4.4 4.4 0 1 0 .01 0ZM6 3.4V6l2 1.2", "line"),
        Standing::Silent => ("M1.5 6h1.5M5.2 6h1.6M9 6h1.5", "line"),
        Standing::Stopped => ("M2.2 2.2h7.6v7.6H2.2Z", "line"),
        Standing::Gone => ("M1.5 1.5l9 9M10.5 1.5l-9 9", "line"),
    };
    view! {
        <svg class=format!("icon {class}") viewBox="0 0 12 12" aria-hidden="true" focusable="false">
            <path d=path />
        </svg>
    }
}

pub fn action_icon(action: NodeAction) -> impl IntoView {
    let path = match action {
        NodeAction::Start => "M2 1l6.5 4L2 9Z",
        NodeAction::Stop => "M1.5 1.5h7v7h-7Z",
        NodeAction::Restart => "M8.8 5A3.8 3.8 0 1 1 7.4 2M7.6 0v2.3H5.3",
        NodeAction::Kill => "M1 1l8 8M9 1 1 9",
    };
    view! {
        <svg class="icon line" viewBox="0 0 10 10" aria-hidden="true" focusable="false">
            <path d=path />
        </svg>
    }
}
