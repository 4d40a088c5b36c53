//! What the gateway serves over HTTP: the REST forms, the WebSockets, the page and its files.
//!
//! Every request passes the same gates, outermost first: who asks ([`access`]), how much ([`body`]), and what the answer says to a browser ([`headers`]).

mod access;
mod answer;
mod body;
mod failure;
mod headers;
mod listing;
mod message_headers;
mod page;
mod params;
mod records;
mod rest;
mod serve;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    middleware::{from_fn, from_fn_with_state},
};
use leptos::config::LeptosOptions;
use wiber_app::service::ClusterService;

pub(crate) use self::page::options as leptos_options;
pub(crate) use self::{
    answer::{PathOf, QueryOf, Refusal},
    params::{FromParams, NoParams, Params},
    serve::serve,
};
use crate::{
    cluster::Cluster,
    messages::Messages,
    supervisor::Supervisor,
    ws::{self, Sockets},
};

/// What every request may need.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) service: Arc<dyn ClusterService>,
    pub(crate) cluster: Cluster,
    pub(crate) supervisor: Supervisor,
    pub(crate) messages: Messages,
    pub(crate) sockets: Sockets,
    pub(crate) data_root: PathBuf,
    pub(crate) leptos: LeptosOptions,
}

impl FromRef<Gateway> for LeptosOptions {
    fn from_ref(gateway: &Gateway) -> Self {
        gateway.leptos.clone()
    }
}

/// Everything, for a gateway that listens on `own_port`.
pub(crate) fn router(gateway: Gateway, own_port: u16) -> Router {
    page::routes(&gateway)
        .merge(rest::routes())
        .merge(records::routes())
        .merge(listing::routes())
        .merge(ws::routes())
        .method_not_allowed_fallback(rest::wrong_method)
        // Axum's own bound is below a large message's.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(body::bound))
        .layer(from_fn_with_state(own_port, access::check))
        .layer(from_fn(headers::set))
        .with_state(gateway)
}
