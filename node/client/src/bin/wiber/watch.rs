//! Asks and shows again and again, until somebody has seen enough.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::{
    board::{self, Account, Board, Heard},
    end::End,
    output::{self, say},
    screen::Screen,
};

/// On a terminal. Faster than this nobody reads.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// A node that needs longer is drawn as it was, so that one slow node does not make the others' lines slow.
const REDRAW_WITHIN: Duration = Duration::from_millis(200);
/// Where lines are collected.
const PRINT_EVERY: Duration = Duration::from_secs(1);

/// Until Ctrl-C, or until nobody reads what is written. A table is redrawn in place where that can be done.
pub(crate) async fn watch<T: Account>(
    board: &mut Board<T>,
    is_table: bool,
    write: impl Fn(&[Heard<T>]) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    // Before anything is drawn: from here on a signal ends the loop instead of the process.
    let mut end = End::new().context("cannot wait for signals")?;
    if is_table && output::on_terminal() {
        redraw(board, write, &mut end).await
    } else {
        print(board, is_table, write, &mut end).await
    }
}

async fn redraw<T: Account>(
    board: &mut Board<T>,
    write: impl Fn(&[Heard<T>]) -> anyhow::Result<String>,
    end: &mut End,
) -> anyhow::Result<()> {
    let screen = Screen::enter()?;
    let mut ticks = every(REDRAW_EVERY);
    while end.unless(next(board, &mut ticks, REDRAW_WITHIN)).await.is_some()
        && screen.draw(&write(board.nodes())?)?
    {}
    drop(screen);
    // The last picture stays.
    say(&write(board.nodes())?)?;
    Ok(())
}

async fn print<T: Account>(
    board: &mut Board<T>,
    is_table: bool,
    write: impl Fn(&[Heard<T>]) -> anyhow::Result<String>,
    end: &mut End,
) -> anyhow::Result<()> {
    let mut ticks = every(PRINT_EVERY);
    let mut is_first = true;
    while end.unless(next(board, &mut ticks, board::ALL)).await.is_some() {
        let separator = if is_table && !is_first { "\n" } else { "" };
        if !say(&format!("{separator}{}", write(board.nodes())?))? {
            break;
        }
        is_first = false;
    }
    Ok(())
}

async fn next<T: Account>(board: &mut Board<T>, ticks: &mut Interval, within: Duration) {
    ticks.tick().await;
    board.refresh(within).await;
}

/// A table that came late does not make the next ones come faster.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
