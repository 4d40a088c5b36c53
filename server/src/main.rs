//! `wiber-gateway`: reads the command line, runs the gateway, and ends it on SIGINT or SIGTERM.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use wiber_gateway::gateway::{Gateway, GatewayOptions};

/// The exit code of a start that was refused before anything was touched.
const REFUSED: u8 = 2;

/// The gateway of a Wiber cluster: its page, its REST forms, and the nodes' supervisor.
#[derive(Debug, Parser)]
#[command(name = "wiber-gateway", version)]
struct Args {
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", default_value = "config/cluster.yaml")]
    config: PathBuf,
    /// The port to listen on, at 0.0.0.0
    #[arg(long, env = "GATEWAY_PORT", default_value_t = 8080)]
    port: u16,
    /// Where the nodes' data folders are
    #[arg(
        long,
        env = "NODE_DATA_ROOT",
        value_name = "FOLDER",
        default_value = "./.data"
    )]
    data_root: PathBuf,
    /// The wiber-node executable [default: the one beside this executable]
    #[arg(long, env = "WIBER_NODE_BIN", value_name = "FILE")]
    node_binary: Option<PathBuf>,
    /// Start nodes so that their clocks can be made false, to see the cluster find it out
    #[arg(long, env = "WIBER_ALLOW_FAULTS", value_parser = clap::builder::FalseyValueParser::new())]
    allow_faults: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            // Its first paragraph says what is wrong; usage and tips follow.
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
            eprintln!("wiber-gateway: {} (see --help)", words.join(" "));
            return Ok(ExitCode::from(REFUSED));
        }
        Err(help) => help.exit(),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(run(args))?;
    // Tasks that only wait (event feeds, say) are not waited for.
    runtime.shutdown_background();
    Ok(code)
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = GatewayOptions {
        config: args.config,
        data_root: args.data_root,
        port: args.port,
        node_binary: args.node_binary,
        allow_faults: args.allow_faults,
    };
    let gateway = match Gateway::bind(options).await {
        Ok(gateway) => gateway,
        Err(error) => {
            writeln!(std::io::stderr(), "wiber-gateway: {error}")?;
            return Ok(ExitCode::from(REFUSED));
        }
    };
    let closing = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Nobody may be there to read it.
    let _ = writeln!(
        std::io::stdout(),
        "Wiber: http://127.0.0.1:{}/",
        gateway.address().port()
    );
    let running = tokio::spawn(gateway.run(closing.clone()));
    wait_for(&mut interrupt, &mut terminate).await;
    tracing::info!("ending: the nodes that a gateway started stop (once more to end at once)");
    closing.cancel();
    tokio::select! {
        ended = running => ended?,
        () = wait_for(&mut interrupt, &mut terminate) => return Ok(ExitCode::FAILURE),
    }
    Ok(ExitCode::SUCCESS)
}

async fn wait_for(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
