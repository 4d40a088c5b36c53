//! The page as the server sends it, complete without wasm in every state of the cluster; and its server
//! functions as anyone may call them.

use std::sync::{Arc, Mutex};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
    response::IntoResponse,
};
use leptos::prelude::*;
use wiber_protocol::status::{ClockFault, InjectedFault, Role};

use crate::{
    App,
    cluster::fixture::{
        at_positions, blank, clocks_agree, cluster, gone, live, one_outvoted, unsynchronised,
    },
    service::{
        ActionDone, ActionReport, ClusterService, HistoryPage, NodeAction, PublishReport, PublishRequest,
        ServiceError, ServiceFuture, StartReport,
    },
    shell,
    view::{ClusterView, NodeView},
};

/// Shows a view, remembers what is done to its nodes, and knows only those.
struct Shown {
    view: ClusterView,
    done: Mutex<Vec<(String, NodeAction)>>,
}

impl Shown {
    fn with(nodes: &[NodeView]) -> Arc<Self> {
        Arc::new(Self {
            view: cluster(nodes),
            done: Mutex::default(),
        })
    }
}

fn unavailable<'a, T: 'a>() -> ServiceFuture<'a, T> {
    Box::pin(async {
        Err(ServiceError::Unavailable(
            "No node of the cluster is running.".into(),
        ))
    })
}

impl ClusterService for Shown {
    fn view(&self) -> ClusterView {
        self.view.clone()
    }

    fn start_cluster(&self) -> ServiceFuture<'_, StartReport> {
        unavailable()
    }

    fn act(&self, node: String, action: NodeAction) -> ServiceFuture<'_, ActionReport> {
        Box::pin(async move {
            if self.view.node(&node).is_none() {
                return Err(ServiceError::UnknownNode(format!("There is no node {node}.")));
            }
            self.done
                .lock()
                .expect("no test panics while it holds this")
                .push((node.clone(), action));
            Ok(ActionReport {
                status: "ok".into(),
                node,
                action: ActionDone::Killed,
            })
        })
    }

    fn clock_fault(&self, node: String, fault: ClockFault) -> ServiceFuture<'_, InjectedFault> {
        Box::pin(async move {
            fault.check().map_err(ServiceError::Invalid)?;
            let allowed = self
                .view
                .node(&node)
                .is_some_and(crate::time::faults::are_allowed);
            if !allowed {
                return Err(ServiceError::Forbidden(format!(
                    "{node} was not started with --allow-faults."
                )));
            }
            Ok(InjectedFault {
                skew_ms: fault.skew_ms.unwrap_or(0.0),
                drift_ppm: fault.drift_ppm.unwrap_or(0.0),
                offset_ms: fault.skew_ms.unwrap_or(0.0),
            })
        })
    }

    fn publish(&self, _: String, _: PublishRequest) -> ServiceFuture<'_, PublishReport> {
        unavailable()
    }

    fn history(&self, _: String, _: usize) -> ServiceFuture<'_, HistoryPage> {
        unavailable()
    }
}

/// The page at `path`, as a browser without wasm gets it.
async fn page(path: &str, nodes: &[NodeView]) -> String {
    // As a server does first: it makes Leptos spawn on tokio.
    leptos_axum::generate_route_list(App);
    let service: Arc<dyn ClusterService> = Shown::with(nodes);
    let options = LeptosOptions::builder().output_name("wiber").build();
    let render = leptos_axum::render_app_async_with_context(
        move || provide_context(service.clone()),
        move || shell(options.clone()),
    );
    let response = render(Request::get(path).body(Body::empty()).expect("a request")).await;
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a whole page");
    String::from_utf8(body.to_vec()).expect("text")
}

/// The answer to a server function's call.
async fn call(
    service: &Arc<Shown>,
    name: &str,
    content_type: &str,
    accept: &str,
    body: &'static str,
) -> (StatusCode, String) {
    let request = Request::post(format!("/api/fn/{name}"))
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, accept)
        .header(header::REFERER, "http://localhost/")
        .body(Body::from(body))
        .expect("a request");
    let service: Arc<dyn ClusterService> = service.clone();
    let response =
        leptos_axum::handle_server_fns_with_context(move || provide_context(service.clone()), request)
            .await
            .into_response();
    let status = response.status();
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
        .map(str::to_owned);
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a whole answer");
    (
        status,
        location.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()),
    )
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn the_page_is_complete_as_sent() {
    let nodes = [
        at_positions(live("n1", Role::Follower, 7), [281, 281, 288, 293]),
        at_positions(live("n2", Role::Leader, 7), [284, 286, 291, 297]),
        gone("n3", false),
    ];
    let page = page("/", &nodes).await;
    for said in [
        "leads term 7",
        "2 of 3 alive",
        "aria-label=\"n1: log start 0, applied 281, commit 281, flushed 288, last 293\"",
        "cluster’s commit",
        "as of 41\u{a0}s ago",
        "action=\"/api/fn/node_action\"",
        "SIGKILL: n2 ends at once. Leaves 1 of 3: no quorum.",
        "value=\"kill\"",
    ] {
        assert!(page.contains(said), "{said:?} is not on the page");
    }
}

#[tokio::test]
async fn every_state_has_its_headline() {
    let candidate = live("n1", Role::Candidate, 8);
    let cases: [(&[NodeView], &str); 3] = [
        (&[], "No nodes are known"),
        (
            &[blank("n1"), blank("n2"), blank("n3")],
            "Three nodes, none of them running",
        ),
        (&[candidate, gone("n2", false), gone("n3", false)], "No quorum."),
    ];
    for (nodes, headline) in cases {
        assert!(page("/", nodes).await.contains(headline), "{headline}");
    }
}

#[tokio::test]
async fn an_error_that_a_form_brought_back_is_shown() {
    let service = Shown::with(&[blank("n1")]);
    let (status, back_to) = call(&service, "node_action", FORM, "text/html", "node=n9&action=kill").await;
    assert_eq!(status, StatusCode::FOUND);
    let path = back_to
        .strip_prefix("http://localhost")
        .expect("back to where it was");
    assert!(page(path, &[blank("n1")]).await.contains("There is no node n9."));
}

#[tokio::test]
async fn a_form_and_a_json_body_ask_for_the_same() {
    let service = Shown::with(&[live("n1", Role::Leader, 1)]);
    let form = call(&service, "node_action", FORM, "text/html", "node=n1&action=kill").await;
    assert_eq!(form, (StatusCode::FOUND, "http://localhost/?".to_owned()));
    let (status, body) = call(
        &service,
        "node_action",
        JSON,
        JSON,
        r#"{"node":"n1","action":"kill"}"#,
    )
    .await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::OK, r#"{"status":"ok","node":"n1","action":"killed"}"#)
    );
    let done = service
        .done
        .lock()
        .expect("no test panics while it holds this")
        .clone();
    assert_eq!(
        done,
        [
            ("n1".to_owned(), NodeAction::Kill),
            ("n1".to_owned(), NodeAction::Kill)
        ]
    );
}

#[tokio::test]
async fn a_failure_answers_with_its_status_and_a_detail() {
    let service = Shown::with(&[live("n1", Role::Leader, 1)]);
    let answers = [
        (
            "node_action",
            r#"{"node":"n9","action":"kill"}"#,
            StatusCode::NOT_FOUND,
        ),
        (
            "node_action",
            r#"{"node":"n1","action":"explode"}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("node_action", "", StatusCode::UNPROCESSABLE_ENTITY),
        ("start_cluster", "{}", StatusCode::SERVICE_UNAVAILABLE),
        (
            "history",
            r#"{"convo":"alice:bob","count":5}"#,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ];
    for (name, body, expected) in answers {
        let (status, answer) = call(&service, name, JSON, JSON, body).await;
        assert_eq!(status, expected, "{name} {body}");
        assert!(answer.contains("\"detail\":"), "{answer}");
    }
}

#[tokio::test]
async fn stopping_the_cluster_stops_what_runs() {
    let service = Shown::with(&[
        live("n1", Role::Leader, 1),
        gone("n2", true),
        live("n3", Role::Follower, 1),
    ]);
    let (status, _) = call(&service, "stop_cluster", JSON, JSON, "{}").await;
    assert_eq!(status, StatusCode::OK);
    let done = service
        .done
        .lock()
        .expect("no test panics while it holds this")
        .clone();
    assert_eq!(
        done,
        [
            ("n1".to_owned(), NodeAction::Stop),
            ("n3".to_owned(), NodeAction::Stop)
        ]
    );
}

#[tokio::test]
async fn the_time_is_complete_as_sent() {
    let page = page("/time", &one_outvoted()).await;
    for said in [
        "n3’s clock is outvoted:",
        " 5.000\u{a0}s ahead of the two that agree",
        "n3 is 5.000 s ahead of the two clocks that agree",
        "data-clock=\"n3\"",
        "data-agreement=\"outvoted\"",
        "truth +5,000.000",
        "+0.004",
        "±\u{a0}0.011",
        "rtt 0.021",
        "φ 0.2",
        "598 of 598 inside",
        "Yes: in all 3,588 estimates",
        "94,564,218",
        "no node has seen that broken",
        "./dev run --allow-faults",
    ] {
        assert!(page.contains(said), "{said:?} is not on the page");
    }
    assert!(
        !page.contains("/api/fn/clock_fault"),
        "nobody may inject anything"
    );
}

#[tokio::test]
async fn every_state_of_time_has_its_headline() {
    let cases: [(&[NodeView], &str); 4] = [
        (&[], "No nodes are known"),
        (&[blank("n1")], "One clock, and its node does not run"),
        (&clocks_agree(), "3 of 3 clocks agree"),
        (&unsynchronised(), "n1 hears 1 of 3 clocks"),
    ];
    for (nodes, headline) in cases {
        assert!(page("/time", nodes).await.contains(headline), "{headline}");
    }
}

#[tokio::test]
async fn a_false_clock_can_be_asked_for_where_that_is_allowed() {
    let mut nodes = clocks_agree();
    if let Some(status) = &mut nodes[2].status {
        status.clock.faults_allowed = true;
    }
    let sent = page("/time", &nodes).await;
    assert!(sent.contains("action=\"/api/fn/clock_fault\""));
    assert!(sent.contains("Make the clock of n3 false") && !sent.contains("Make the clock of n1 false"));

    let service = Shown::with(&nodes);
    let asked = r#"{"node":"n3","skew_ms":5000,"drift_ppm":-20.5}"#;
    assert_eq!(
        call(&service, "clock_fault", JSON, JSON, asked).await,
        (
            StatusCode::OK,
            r#"{"skew_ms":5000.0,"drift_ppm":-20.5,"offset_ms":5000.0}"#.to_owned()
        )
    );
    let form = "node=n3&skew_ms=-250.5&drift_ppm=0";
    let (status, _) = call(&service, "clock_fault", FORM, "text/html", form).await;
    assert_eq!(status, StatusCode::FOUND);
    let refusals = [
        (r#"{"node":"n1","skew_ms":1}"#, StatusCode::FORBIDDEN),
        (
            r#"{"node":"n3","drift_ppm":5000}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            r#"{"node":"n3","skew_ms":"far"}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ];
    for (asked, expected) in refusals {
        let (status, answer) = call(&service, "clock_fault", JSON, JSON, asked).await;
        assert_eq!(
            (status, answer.contains("\"detail\":")),
            (expected, true),
            "{answer}"
        );
    }
    let (_, back_to) = call(
        &service,
        "clock_fault",
        FORM,
        "text/html",
        "node=n1&skew_ms=1&drift_ppm=0",
    )
    .await;
    let path = back_to
        .strip_prefix("http://localhost/")
        .expect("back to where it was");
    let shown = page(&format!("/time{path}"), &nodes).await;
    assert!(shown.contains("n1 was not started with --allow-faults."));
}

#[tokio::test]
async fn an_unknown_path_says_so() {
    assert!(page("/nowhere", &[]).await.contains("There is no such page"));
}
