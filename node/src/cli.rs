//! The command line, and what a refused start looks like: one line on stderr and exit code 2.

use std::{
    fmt::Display,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{
    Parser,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
};
use wiber_protocol::{
    config::{ClusterConfig, ConfigError, NodeSpec},
    lock::StartedBy,
    status::ClockFault,
};

use crate::console::{self, ConsoleError};

/// The exit code of a start that was refused before anything was touched.
pub const REFUSED: u8 = 2;

/// One node of a Wiber cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "wiber-node", version)]
pub struct Args {
    /// Which node of the configuration this process is
    #[arg(long)]
    pub id: String,
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", default_value = "config/cluster.yaml")]
    pub config: PathBuf,
    /// Where the nodes' data folders are
    #[arg(long, value_name = "FOLDER", default_value = "./.data")]
    pub data_root: PathBuf,
    /// Form the cluster without this node; it joins later (may be given several times)
    #[arg(long, value_name = "ID")]
    pub form_without: Vec<String>,
    /// Set this node's data aside (nothing is deleted) and take part anew with what the other nodes have
    #[arg(long, conflicts_with = "form_without")]
    pub rebuild: bool,
    /// Start with a clock that is this much ahead of the machine's (negative: behind)
    #[arg(long, value_name = "MS", default_value_t = 0.0, allow_negative_numbers = true)]
    pub clock_skew_ms: f64,
    /// Start with a clock that runs this much faster than the machine's (negative: slower)
    #[arg(
        long,
        value_name = "PPM",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub clock_drift_ppm: f64,
    /// Let the admin port make this node's clock wrong: `POST /faults/clock`
    #[arg(long)]
    pub allow_faults: bool,
    /// What to print, e.g. `debug` or `info,raft=debug` (default: `RUST_LOG`, else `info`)
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Who started this process, and so who may stop it
    #[arg(long, hide = true, default_value_t = StartedBy::Hand, value_parser = started_by())]
    pub started_by: StartedBy,
}

fn started_by() -> impl TypedValueParser<Value = StartedBy> {
    let words = [StartedBy::Gateway, StartedBy::Hand].map(StartedBy::as_str);
    PossibleValuesParser::new(words).try_map(|word| word.parse::<StartedBy>())
}

impl Args {
    /// What the clock is to be off by from the start.
    pub fn clock_fault(&self) -> ClockFault {
        ClockFault {
            skew_ms: Some(self.clock_skew_ms),
            drift_ppm: Some(self.clock_drift_ppm),
        }
    }
}

/// Why the command line and the configuration are no start for a node. The text is one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Usage(String),
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{option}: unknown node `{id}`; {} knows {}", config.display(), known.join(", "))]
    UnknownNode {
        option: &'static str,
        id: String,
        config: PathBuf,
        known: Vec<String>,
    },
    #[error("--log: {0}")]
    Log(#[from] ConsoleError),
    #[error("--clock-skew-ms, --clock-drift-ppm: {0}")]
    Clock(String),
    #[error("--form-without: `{id}` is this node itself")]
    WithoutItself { id: String },
    #[error("--rebuild: `{id}` is the only node, so there is none to take the data from")]
    RebuildAlone { id: String },
}

/// What the command line asks for, or the code to exit with: `--help` and `--version` are answered, a
/// mistake is said in one line.
pub fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        _ => start_error(usage_line(&error)),
    })
}

/// Says why the node does not start, in exactly one line on stderr, and gives the code to exit with.
pub fn start_error(reason: impl Display) -> ExitCode {
    let line = format!("wiber-node: {}\n", one_line(&reason.to_string()));
    // Without a stderr the exit code is all there is to say.
    let _ = std::io::stderr().write_all(line.as_bytes());
    ExitCode::from(REFUSED)
}

/// The cluster's configuration, and this node's place in it. Whatever the command line got wrong is refused here,
/// before anything is touched.
pub fn read_config(args: &Args) -> Result<(ClusterConfig, NodeSpec), StartError> {
    args.log.as_deref().map(console::check_filter).transpose()?;
    args.clock_fault().check().map_err(StartError::Clock)?;
    let path = &args.config;
    let bytes = std::fs::read(path).map_err(|source| StartError::Read {
        path: path.clone(),
        source,
    })?;
    let config = ClusterConfig::parse_bytes(&bytes, &path.display().to_string())?;
    let spec = find(&config, path, "--id", &args.id)?.clone();
    for id in &args.form_without {
        find(&config, path, "--form-without", id)?;
        if *id == args.id {
            return Err(StartError::WithoutItself { id: id.clone() });
        }
    }
    if args.rebuild && config.nodes.len() == 1 {
        return Err(StartError::RebuildAlone { id: args.id.clone() });
    }
    Ok((config, spec))
}

fn find<'a>(
    config: &'a ClusterConfig,
    path: &Path,
    option: &'static str,
    id: &str,
) -> Result<&'a NodeSpec, StartError> {
    config.node(id).ok_or_else(|| StartError::UnknownNode {
        option,
        id: id.to_owned(),
        config: path.to_owned(),
        known: config.nodes.iter().map(|node| node.id.clone()).collect(),
    })
}

/// clap's first paragraph, which says what is wrong; usage and tips follow it.
fn usage_line(error: &clap::Error) -> StartError {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line = one_line(first.trim_start_matches("error: "));
    StartError::Usage(format!("{line} (see --help)"))
}

/// White space and other controls, line ends among them, become single spaces.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        "nodes:\n  - {id: n1, host: 127.0.0.1, port: 9101}\n  - {id: n2, host: 127.0.0.1, port: 9102}\n";

    fn args(words: &[&str]) -> Args {
        Args::try_parse_from([&["wiber-node"], words].concat()).unwrap()
    }

    fn read(config: &str, words: &[&str]) -> Result<NodeSpec, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.yaml");
        std::fs::write(&path, config).unwrap();
        let path = path.display().to_string();
        let args = args(&[words, &["--config", &path]].concat());
        read_config(&args)
            .map(|(_, spec)| spec)
            .map_err(|e| e.to_string().replace(&path, "cluster.yaml"))
    }

    #[test]
    fn an_id_is_enough() {
        let args = args(&["--id", "n1"]);
        assert_eq!(args.config, Path::new("config/cluster.yaml"));
        assert_eq!(args.data_root, Path::new("./.data"));
        assert_eq!(args.started_by, StartedBy::Hand);
        assert!(args.form_without.is_empty());
    }

    #[test]
    fn the_gateways_options_are_understood() {
        let args = args(&[
            "--id",
            "n1",
            "--started-by",
            "gateway",
            "--form-without",
            "n2",
            "--form-without",
            "n3",
        ]);
        assert_eq!(args.started_by, StartedBy::Gateway);
        assert_eq!(args.form_without, ["n2", "n3"]);
    }

    #[test]
    fn a_mistake_on_the_command_line_is_one_line() {
        let check = |words: &[&str], expected: &str| {
            let error = Args::try_parse_from([&["wiber-node"], words].concat()).unwrap_err();
            assert_eq!(usage_line(&error).to_string(), expected);
        };
        check(
            &[],
            "the following required arguments were not provided: --id <ID> (see --help)",
        );
        check(
            &["--id", "n1", "--colour"],
            "unexpected argument '--colour' found (see --help)",
        );
        check(
            &["--id", "n1", "--started-by", "cron"],
            "invalid value 'cron' for '--started-by <STARTED_BY>' [possible values: gateway, hand] (see --help)",
        );
    }

    #[test]
    fn a_false_clock_is_told_in_milliseconds_and_ppm() {
        let told = args(&[
            "--id",
            "n1",
            "--clock-skew-ms",
            "-40",
            "--clock-drift-ppm",
            "30.5",
        ]);
        let fault = told.clock_fault();
        assert_eq!((fault.skew_ms, fault.drift_ppm), (Some(-40.0), Some(30.5)));
        let error = read(CONFIG, &["--id", "n1", "--clock-drift-ppm", "5000"]).unwrap_err();
        assert_eq!(
            error,
            "--clock-skew-ms, --clock-drift-ppm: drift_ppm must be from -1000 to 1000, not 5000"
        );
    }

    #[test]
    fn the_nodes_own_place_is_found() {
        assert_eq!(read(CONFIG, &["--id", "n2"]).unwrap().port, 9102);
    }

    #[test]
    fn an_unknown_id_lists_the_known_ones() {
        let error = read(CONFIG, &["--id", "n9"]).unwrap_err();
        assert_eq!(error, "--id: unknown node `n9`; cluster.yaml knows n1, n2");
        let error = read(CONFIG, &["--id", "n1", "--form-without", "n7"]).unwrap_err();
        assert_eq!(
            error,
            "--form-without: unknown node `n7`; cluster.yaml knows n1, n2"
        );
        let error = read(CONFIG, &["--id", "n1", "--form-without", "n1"]).unwrap_err();
        assert_eq!(error, "--form-without: `n1` is this node itself");
    }

    #[test]
    fn the_only_node_cannot_be_rebuilt() {
        let only = "nodes:\n  - {id: n1, host: 127.0.0.1, port: 9101}\n";
        let error = read(only, &["--id", "n1", "--rebuild"]).unwrap_err();
        assert_eq!(
            error,
            "--rebuild: `n1` is the only node, so there is none to take the data from"
        );
        assert!(read(CONFIG, &["--id", "n1", "--rebuild"]).is_ok());
    }

    #[test]
    fn a_wrong_filter_is_refused_before_anything_is_opened() {
        let error = read(CONFIG, &["--id", "n1", "--log", "raft=loud"]).unwrap_err();
        assert!(error.starts_with("--log: `raft=loud` is no filter"), "{error}");
    }

    #[test]
    fn a_bad_or_missing_configuration_is_named_with_file_and_line() {
        let error = read(
            "nodes:\n  - {id: n1, host: 127.0.0.1, port: 0}\n",
            &["--id", "n1"],
        )
        .unwrap_err();
        assert!(error.starts_with("cluster.yaml:2: "), "{error}");
        let error = read_config(&args(&["--id", "n1", "--config", "no/such.yaml"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot read the configuration no/such.yaml: "),
            "{error}"
        );
    }

    #[test]
    fn a_reason_is_always_one_line() {
        assert_eq!(one_line("a\n  b\u{1b}[31m\tc\r\n"), "a b [31m c");
    }
}
