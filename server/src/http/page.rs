//! The page: rendered here by the app, its scripts and styles served as files.
//!
//! Files under the package folder carry a hash of their content in their names (when they were built so), so a
//! browser may keep them for good; they lie there compressed as well. Whatever is no file and no page of the app
//! is answered by the app's own "no such page", with 404.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use leptos::{config::LeptosOptions, context::provide_context, nonce::use_nonce, prelude::use_context};
use leptos_axum::{
    LeptosRoutes as _, ResponseOptions, generate_route_list, render_app_to_stream_with_context,
};
use tower_http::services::ServeDir;
use wiber_app::{App, service::ClusterService, shell};

use super::{Gateway, headers::page_policy, rest::no_such_path};

/// Of a name that changes with its content.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Of a name that does not: kept, but asked for again each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Where the app's files are and what they are called.
///
/// cargo-leptos says so in the environment while it runs us. A gateway started by itself finds them beside its
/// own executable or where a build leaves them.
pub(crate) fn options() -> LeptosOptions {
    if std::env::var_os("LEPTOS_OUTPUT_NAME").is_some()
        && let Ok(config) = leptos::config::get_configuration(None)
    {
        return config.leptos_options;
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(Path::to_owned));
    let hash_files = beside
        .as_ref()
        .is_some_and(|folder| folder.join("hash.txt").is_file());
    LeptosOptions::builder()
        .output_name("wiber")
        .site_root(find_site_root(beside.as_deref()).display().to_string())
        .site_pkg_dir("pkg")
        .hash_files(hash_files)
        .build()
}

fn find_site_root(beside: Option<&Path>) -> PathBuf {
    let usual = PathBuf::from("target/site");
    if let Some(wanted) = std::env::var_os("LEPTOS_SITE_ROOT") {
        return wanted.into();
    }
    let near = beside
        .into_iter()
        .flat_map(|folder| [folder.join("site"), folder.join("../site")]);
    near.chain([usual.clone()])
        .find(|folder| folder.is_dir())
        .unwrap_or(usual)
}

pub(super) fn routes(gateway: &Gateway) -> Router<Gateway> {
    let options = gateway.leptos.clone();
    let caching = Caching {
        pkg: format!("/{}/", options.site_pkg_dir).into(),
        is_hashed: options.hash_files,
    };
    let no_file = Router::new().fallback(not_found).with_state(gateway.clone());
    let files = ServeDir::new(&*options.site_root)
        .append_index_html_on_directories(false)
        .precompressed_br()
        .precompressed_gzip()
        .call_fallback_on_method_not_allowed(true)
        .fallback(no_file);
    let files = Router::new()
        .fallback_service(files)
        .layer(from_fn_with_state(caching, cache));
    let service = Arc::clone(&gateway.service);
    Router::new()
        .leptos_routes_with_context(
            gateway,
            generate_route_list(App),
            move || provide_page_contexts(&service),
            move || shell(options.clone()),
        )
        .fallback_service(files)
}

/// What the app's components and server functions find here.
fn provide_page_contexts(service: &Arc<dyn ClusterService>) {
    provide_context(Arc::clone(service));
    if let (Some(response), Some(nonce)) = (use_context::<ResponseOptions>(), use_nonce())
        && let Some(policy) = page_policy(&nonce)
    {
        response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
    }
}

#[derive(Clone)]
struct Caching {
    /// The path under which the package's files lie.
    pkg: Arc<str>,
    is_hashed: bool,
}

async fn cache(State(caching): State<Caching>, request: Request, next: Next) -> Response {
    let is_package = request.uri().path().starts_with(&*caching.pkg);
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        let value = if is_package && caching.is_hashed {
            FOR_GOOD
        } else {
            ASK_AGAIN
        };
        response.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    response
}

/// People get the app's page for it, programs a sentence.
async fn not_found(State(gateway): State<Gateway>, request: Request) -> Response {
    let accepts = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if request.method() != Method::GET || !accepts.is_some_and(|accept| accept.contains("text/html")) {
        return no_such_path(request.uri().path()).into_response();
    }
    let service = Arc::clone(&gateway.service);
    let options = gateway.leptos.clone();
    let render = render_app_to_stream_with_context(
        move || provide_page_contexts(&service),
        move || shell(options.clone()),
    );
    let mut response = render(request).await;
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
