//! Asks and shows again and again, until somebody has seen enough.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    Form,
    board::{self, Board},
    say,
    screen::Screen,
};

/// On a terminal. Faster than this nobody reads.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// A node that needs longer is drawn as it was, so that one slow node does not make the others' lines slow.
const REDRAW_WITHIN: Duration = Duration::from_millis(200);
/// Where lines are collected.
const PRINT_EVERY: Duration = Duration::from_secs(1);

/// Until Ctrl-C, or until nobody reads what is written.
pub(super) async fn watch(board: &mut Board, form: Form, on_terminal: bool) -> anyhow::Result<()> {
    // Before anything is drawn: from here on a signal ends the loop instead of the process.
    let mut end = End::new().context("cannot wait for signals")?;
    match form {
        Form::Table(_) if on_terminal => redraw(board, form, &mut end).await,
        _ => print(board, form, &mut end).await,
    }
}

async fn redraw(board: &mut Board, form: Form, end: &mut End) -> anyhow::Result<()> {
    let screen = Screen::enter()?;
    let mut ticks = every(REDRAW_EVERY);
    while end.unless(next(board, &mut ticks, REDRAW_WITHIN)).await
        && screen.draw(&form.write(board.nodes())?)?
    {}
    drop(screen);
    // The last picture stays.
    say(&form.write(board.nodes())?)?;
    Ok(())
}

async fn print(board: &mut Board, form: Form, end: &mut End) -> anyhow::Result<()> {
    let mut ticks = every(PRINT_EVERY);
    let mut is_first = true;
    while end.unless(next(board, &mut ticks, board::ALL)).await {
        let text = form.write(board.nodes())?;
        let separator = match form {
            Form::Table(_) if !is_first => "\n",
            _ => "",
        };
        if !say(&format!("{separator}{text}"))? {
            break;
        }
        is_first = false;
    }
    Ok(())
}

async fn next(board: &mut Board, ticks: &mut Interval, within: Duration) {
    ticks.tick().await;
    board.refresh(within).await;
}

/// A table that came late does not make the next ones come faster.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The signals that ask for an end.
struct End {
    signals: [Signal; 3],
}

impl End {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    /// True if it could be done before an end was asked for.
    async fn unless(&mut self, what: impl Future<Output = ()>) -> bool {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            biased;
            _ = interrupt.recv() => false,
            _ = terminate.recv() => false,
            _ = hangup.recv() => false,
            () = what => true,
        }
    }
}
