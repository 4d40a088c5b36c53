//! What a node prints, for people: `12:03:04.567  INFO raft leader term=7 votes=n2,n3`, with colours, to stdout
//! and to `<data-root>/<id>/logs/console.log`, which the dashboard's terminals show.
//!
//! The node must never wait for a slow disk or a stopped terminal, so an event only becomes a [`Line`] in a
//! bounded queue per output; a thread per output formats and writes. What does not fit is dropped, counted,
//! and admitted to in the output itself. Libraries' events are throttled per call site, as a lost peer
//! makes the engine repeat itself many times a second.

mod file;
mod format;
mod layer;
mod output;
#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal},
    path::Path,
    sync::Arc,
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use self::{file::RotatingFile, layer::ConsoleLayer, output::Output};
use crate::clock::Clock;

/// What is printed unless somebody asks otherwise.
const DEFAULT_FILTER: &str = "info";
/// Comes before every filter: `--log debug` is about the node, and the engine's own `debug` only drowns it. Its
/// warnings repeat every second what a peer's loss told once. A filter that names a library still gets it.
const LIBRARIES: &str =
    "openraft=error,hyper=warn,hyper_util=warn,axum=warn,tower=warn,tokio_util=warn,mio=warn";

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("cannot open the console's file: {0}")]
    Io(#[from] io::Error),
    #[error("`{filter}` is no filter for what to print: {reason}")]
    Filter { filter: String, reason: String },
    #[error("something else prints already")]
    Installed,
}

/// Keeps the writers running. Dropping it writes what is queued, for a second at most.
#[derive(Debug)]
pub struct ConsoleGuard {
    /// Dropped for what their own drop does.
    _outputs: Vec<Output>,
}

/// Makes every `tracing` event of this process a line, and panics too. `filter` (of `--log`) wins over
/// `RUST_LOG`, which wins over the default.
pub fn install(
    path: &Path,
    filter: Option<&str>,
    clock: Arc<dyn Clock>,
) -> Result<ConsoleGuard, ConsoleError> {
    let environment = std::env::var("RUST_LOG")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let filter = filter
        .map(str::to_owned)
        .or(environment)
        .unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let filter = parse_filter(&filter)?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let coloured = io::stdout().is_terminal() && !no_color;
    let outputs = vec![
        Output::start("console-file", RotatingFile::open(path)?, true)?,
        Output::start("console-stdout", io::stdout(), coloured)?,
    ];
    let queues = outputs.iter().map(Output::queue).collect();
    tracing_subscriber::registry()
        .with(filter)
        .with(ConsoleLayer::new(queues, clock))
        .try_init()
        .map_err(|_| ConsoleError::Installed)?;
    print_panics();
    Ok(ConsoleGuard { _outputs: outputs })
}

/// Refuses what [`install`] would refuse, with nothing opened yet.
pub fn check_filter(filter: &str) -> Result<(), ConsoleError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, ConsoleError> {
    let refused = |e: tracing_subscriber::filter::ParseError| ConsoleError::Filter {
        filter: filter.to_owned(),
        reason: e.to_string(),
    };
    EnvFilter::builder()
        .parse(format!("{LIBRARIES},{filter}"))
        .map_err(refused)
}

/// A panic belongs where people look, too: a gateway's nodes have no terminal.
fn print_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(target: "node", "{panic}");
        default(panic);
    }));
}
