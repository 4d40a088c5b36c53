//! `wiber groups`: the consumer groups, and what can be done to one.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use serde::Serialize;
use wiber_client::{Client, GroupLine};

use crate::{
    cli,
    format::escaped,
    grid::{Cell, Column, Style, grid},
    nodes::NodesOptions,
    output::{self, say},
    topic, units,
};

/// How long a change is tried.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "Examples:\n  wiber groups\n  wiber groups 'orders.>' --json\n  wiber groups seek orders billing 1\n  \
                  wiber groups delete orders billing\n\n\
                  Exit code: 0 if it was told or done; 1 if not; 2 if the command line or the configuration is wrong."
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
    Delete {
        /// The topic
        #[arg(value_parser = topic::topic_name)]
        topic: String,
        /// The group
        #[arg(value_parser = topic::group)]
        group: String,
    },
    /// Make a group go on at an offset, back or forth
    Seek {
        /// The topic
        #[arg(value_parser = topic::topic_name)]
        topic: String,
        /// The group
        #[arg(value_parser = topic::group)]
        group: String,
        /// The next one to be handed out (1 is the first)
        offset: u64,
    },
}

// A number is aligned only if another column follows it.
const COLUMNS: [Column; 11] = [
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
    Column::text(""),
];

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
            format!("moved {group} of {topic} to offset {offset}\n")
        }
    };
    say(&done).map(|_| ())
}

async fn show(options: &GroupsOptions, client: &Client) -> anyhow::Result<()> {
    let groups = client.groups(options.pattern.as_deref()).await?;
    let text = if options.json {
        document(&groups)?
    } else {
        table(&groups, output::style())
    };
    say(&text).map(|_| ())
}

fn document(groups: &[GroupLine]) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        group_count: usize,
        groups: &'a [GroupLine],
    }
    let group_count = groups.len();
    Ok(escaped(&serde_json::to_string(&Document { group_count, groups })?) + "\n")
}

fn table(groups: &[GroupLine], style: Style) -> String {
    if groups.is_empty() {
        return "no groups\n".to_owned();
    }
    let number = |number: u64| Cell::new(number.to_string());
    let row = |group: &GroupLine| {
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
            Cell::default(),
        ]
    };
    let rows: Vec<Vec<Cell>> = groups.iter().map(row).collect();
    grid(&COLUMNS, &rows, style)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(table(&groups, Style::default()), expected);
        assert_eq!(table(&[], Style::default()), "no groups\n");
    }

    #[test]
    fn the_document_has_every_group() {
        let document: serde_json::Value = serde_json::from_str(&document(&[group()]).unwrap()).unwrap();
        assert_eq!(
            (&document["group_count"], &document["groups"][0]["lag"]),
            (&1.into(), &103.into())
        );
    }
}
