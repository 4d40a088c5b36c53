//! `wiber groups`: the consumer groups, and what can be done to one.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use wiber_client::{Client, GroupLine};

use crate::{
    cli,
    grid::{Cell, Column},
    listing::Listing,
    nodes::NodesOptions,
    output::say,
    topic, units,
};

/// How long a change is tried.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = concat!(
        "Examples:\n  wiber groups\n  wiber groups 'orders.>' --json\n  wiber groups seek orders billing 1\n  \
         wiber groups delete orders billing\n\n",
        cli::exit_codes!("if it was told or done", "if not")
    )
)]
pub(crate) struct GroupsOptions {
    #[command(subcommand)]
    change: Option<Change>,
    /// Only the groups of the topics that match this name or pattern, such as `orders.*`
    #[arg(value_parser = topic::pattern)]
    pattern: Option<String>,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nodes: NodesOptions,
}

#[derive(Clone, Debug, Subcommand)]
enum Change {
    /// End a group and forget where it was
    #[command(after_help = cli::exit_codes!("if it was done", "if not"))]
    Delete {
        /// The topic
        #[arg(value_parser = topic::topic_name)]
        topic: String,
        /// The group
        #[arg(value_parser = topic::group)]
        group: String,
    },
    /// Make a group go on at an offset, back or forth
    #[command(after_help = cli::exit_codes!("if it was done", "if not"))]
    Seek {
        /// The topic
        #[arg(value_parser = topic::topic_name)]
        topic: String,
        /// The group
        #[arg(value_parser = topic::group)]
        group: String,
        /// The next one to be handed out (1 is the first); beyond the end it is what comes next
        offset: u64,
    },
}

const GROUPS: Listing<GroupLine> = Listing {
    noun: "group",
    columns: &[
        Column::text("topic"),
        Column::text("group"),
        Column::number("members"),
        Column::number("next"),
        Column::number("lag"),
        Column::number("outstanding"),
        Column::number("redelivered"),
        Column::number("dead"),
        Column::number("ack timeout"),
        Column::number("deliveries"),
    ],
    row,
};

fn row(group: &GroupLine) -> Vec<Cell> {
    let number = |number: u64| Cell::new(number.to_string());
    vec![
        Cell::words(&group.topic),
        Cell::words(&group.group),
        Cell::known(group.members, |members| members.to_string()),
        number(group.next_offset),
        number(group.lag),
        number(group.outstanding),
        number(group.redelivered),
        number(group.dead_letters),
        Cell::new(units::whole_span(group.ack_timeout_ms)),
        number(u64::from(group.max_deliveries)),
    ]
}

pub(crate) fn run(options: &GroupsOptions) -> ExitCode {
    let nodes = match options.nodes.resolve() {
        Ok(nodes) => nodes,
        Err(error) => return cli::refuse(format!("{error:#}")),
    };
    let work = async {
        let client = topic::client(topic::leader_first(nodes).await);
        match &options.change {
            Some(change) => make(change, &client).await,
            None => show(options, &client).await,
        }
    };
    match cli::block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::fail(format!("{error:#}")),
    }
}

async fn make(change: &Change, client: &Client) -> anyhow::Result<()> {
    let done = match change {
        Change::Delete { topic, group } => {
            client.delete_group(topic, group, PATIENCE).await?;
            format!("deleted {group} of {topic}\n")
        }
        Change::Seek { topic, group, offset } => {
            client.seek_group(topic, group, *offset, PATIENCE).await?;
            let offset = moved_to(*offset, topic, group, client).await;
            format!("moved {group} of {topic} to offset {offset}\n")
        }
    };
    say(&done).map(|_| ())
}

/// Where the group is after a seek to that offset, which may be none: the reply repeats what was asked for. Nothing but a
/// seek moves a group back, so that less is where it was moved to; more is what it has handed out since.
async fn moved_to(asked: u64, topic: &str, group: &str, client: &Client) -> u64 {
    let groups = client.groups(Some(topic)).await.unwrap_or_default();
    let is_it = |line: &&GroupLine| line.topic == topic && line.group == group;
    // Only the leader is sure to have seen the move.
    let next = groups
        .iter()
        .find(is_it)
        .filter(|line| line.members.is_some())
        .map_or(asked, |line| line.next_offset);
    asked.max(1).min(next)
}

async fn show(options: &GroupsOptions, client: &Client) -> anyhow::Result<()> {
    let groups = client.groups(options.pattern.as_deref()).await?;
    GROUPS.say(&groups, options.json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Style;

    fn group() -> GroupLine {
        GroupLine {
            topic: "orders".to_owned(),
            group: "billing".to_owned(),
            next_offset: 18,
            outstanding: 2,
            lag: 103,
            redelivered: 1,
            dead_letters: 0,
            ack_timeout_ms: 30_000,
            max_deliveries: 5,
            members: Some(3),
        }
    }

    #[test]
    fn groups_are_a_table_and_unknown_members_a_dash() {
        let seen_by_a_follower = GroupLine {
            members: None,
            ..group()
        };
        let expected = "\
topic   group    members  next  lag  outstanding  redelivered  dead  ack timeout  deliveries
orders  billing        3    18  103            2            1     0      30.0 s            5
orders  billing        -    18  103            2            1     0      30.0 s            5
";
        let groups = [group(), seen_by_a_follower];
        assert_eq!(GROUPS.table(&groups, Style::default()), expected);
        assert_eq!(GROUPS.table(&[], Style::default()), "no groups\n");
    }
}
