//! Consumer groups: those of the status, which lag most.

use wiber_protocol::status::{GroupStatus, NodeStatus};

use super::page::{Kind, Page};

/// What is shown of a group.
type Figure = fn(&GroupStatus) -> u64;

const FIGURES: [(Kind, &str, &str, Figure); 4] = [
    (
        Kind::Gauge,
        "wiber_group_lag",
        "Records that are not done, of the groups that lag most.",
        |group| group.lag,
    ),
    (
        Kind::Gauge,
        "wiber_group_outstanding",
        "Records handed out and not done, or done before an earlier one.",
        |group| group.outstanding,
    ),
    (
        Kind::Counter,
        "wiber_group_redelivered_total",
        "How often a record was handed out again.",
        |group| group.redelivered,
    ),
    (
        Kind::Counter,
        "wiber_group_dead_letters_total",
        "Records that were put aside.",
        |group| group.dead_letters,
    ),
];

pub(super) fn render(page: &mut Page, status: &NodeStatus) {
    let count = status.group_count;
    page.single(
        Kind::Gauge,
        "wiber_groups",
        "How many consumer groups there are.",
        count,
    );
    for (kind, name, help, figure) in FIGURES {
        page.head(kind, name, help);
        for group in &status.groups {
            let labels = [("topic", group.topic.as_str()), ("group", &group.group)];
            page.sample(name, &labels, figure(group));
        }
    }
}
