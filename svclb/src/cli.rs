//! The command line: flags, subcommands, exit codes.

mod explain;
mod monitor;
mod run;
mod top;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use svclb_common::config::SocketMode;

use self::run::RunArgs;
use crate::{
    agent::{self, RunError},
    condition::{self, Problem, Topic},
    config::{PortRange, SocketLb, Tc, Xdp},
    datapath::{attach::TcMode, cleanup, pins::Pins},
    log,
    manifest::Folder,
    model::{self, build},
    netdev::XdpMode,
    report::{self, Output},
    sandbox,
};

/// Where pins are unless told otherwise.
const BPFFS: &str = "/sys/fs/bpf/svclb";

/// eBPF Service load balancer for Kubernetes
#[derive(Debug, Parser)]
#[command(name = "svclb", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run(Box<RunArgs>),
    /// Show a small world of network namespaces in which Services are balanced
    Sandbox(Box<sandbox::Options>),
    /// Tell whether the node is all right and, if not, what to do
    Status(StatusArgs),
    /// List the Services that the tables hold
    Services(ReportArgs),
    /// List who talks to whom through which Service
    Flows(FlowsArgs),
    /// Tell what becomes of a packet, and why, without sending it
    Explain(explain::ExplainArgs),
    /// Show what happens now: Services by rate, their backends, drops
    Top(top::TopArgs),
    /// Follow drops, resets and the like as they happen, or print the last ones of each Service
    Monitor(monitor::MonitorArgs),
    /// Tell whether this host can run svclb, and what each device would use
    Check(CheckArgs),
    /// Remove every program, pin and map of svclb from this host
    Cleanup(CleanupArgs),
}

#[derive(Args, Clone, Debug)]
struct PinArgs {
    /// Folder for pins, on a BPF file system
    #[arg(long, value_name = "DIR", default_value = BPFFS)]
    bpffs: PathBuf,
}

#[derive(Args, Debug)]
struct CleanupArgs {
    #[command(flatten)]
    pins: PinArgs,
    /// Give all flows to the node's connection tracking before, so that they go on under kube-proxy's rules
    #[arg(long)]
    handover: bool,
}

#[derive(Args, Clone, Debug)]
struct DeviceArgs {
    /// Root of the cgroup for socket hooks [default: the cgroup v2 mount]
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// Device that leads to other nodes and the outside; repeatable [default: devices of the default routes]
    #[arg(long = "uplink", value_name = "IFACE")]
    uplinks: Vec<String>,
    /// Devices that lead to pods, by pattern; repeatable [default: veth and netkit devices]
    #[arg(long = "pod-interface", value_name = "GLOB")]
    pod_interfaces: Vec<String>,
    /// Translate at sockets: for all processes, for those of the host, or not at all [default: all]
    #[arg(long, value_name = "all|host|off")]
    socket_lb: Option<SocketLb>,
    /// Whether to take packets from outside before the stack does: in drivers where that is a gain, wherever a driver
    /// can, in the kernel, or not at all [default: auto]
    #[arg(long, value_name = "auto|native|generic|off")]
    xdp: Option<Xdp>,
}

#[derive(Args, Debug)]
struct ReportArgs {
    #[command(flatten)]
    pins: PinArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Args, Debug)]
struct FlowsArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Only the flows of this Service
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_service)]
    service: Option<(String, String)>,
}

#[derive(Args, Debug)]
struct StatusArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Wait until the tables hold what was asked for; exit 1 if they do not in that time, such as 10s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait_synced: Option<Duration>,
    /// How long to watch the drops [default: 1s; 0s with --wait-synced]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    interval: Option<Duration>,
    /// Print nothing; the exit code says it
    #[arg(long, requires = "wait_synced")]
    quiet: bool,
}

#[derive(Args, Debug)]
struct CheckArgs {
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    devices: DeviceArgs,
    /// Source ports of flows that get the node's address [default: 1024-29999]
    #[arg(long, value_name = "MIN-MAX")]
    snat_ports: Option<PortRange>,
    /// Tell what changes when svclb takes the place of this node's kube-proxy, instead
    #[arg(long)]
    from_kube_proxy: bool,
    /// kube-proxy's own configuration [default: where installers have it]
    #[arg(long, value_name = "FILE", requires = "from_kube_proxy")]
    kube_proxy_config: Option<PathBuf>,
}

impl From<SocketLb> for SocketMode {
    fn from(flag: SocketLb) -> Self {
        match flag {
            SocketLb::All => Self::All,
            SocketLb::Host => Self::Host,
            SocketLb::Off => Self::Off,
        }
    }
}

impl From<Xdp> for XdpMode {
    fn from(flag: Xdp) -> Self {
        match flag {
            Xdp::Auto => Self::Auto,
            Xdp::Native => Self::Native,
            Xdp::Generic => Self::Generic,
            Xdp::Off => Self::Off,
        }
    }
}

impl From<Tc> for TcMode {
    fn from(flag: Tc) -> Self {
        match flag {
            Tc::Auto => Self::Auto,
            Tc::Tcx => Self::Tcx,
            Tc::Clsact => Self::Clsact,
        }
    }
}

/// Exit code for a wrong flag or configuration.
const WRONG_CONFIG: u8 = 2;
/// Exit code for a kernel that lacks something.
const WRONG_KERNEL: u8 = 3;

/// The command line as clap knows it, for whoever wants to compare something with it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line, runs the command, and turns errors into one line and an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut out = match init_log(&cli.command) {
        Ok(out) => out,
        Err(error) => {
            eprintln!("svclb: cannot begin to write a log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            let (line, code) = match error.downcast_ref::<RunError>() {
                Some(RunError::Config(line)) => (line.clone(), WRONG_CONFIG),
                Some(RunError::Kernel(line)) => (line.clone(), WRONG_KERNEL),
                _ => (format!("{error:#}"), 1),
            };
            // In one piece. If nobody reads it, the exit code is left.
            out.write_all(format!("svclb: {line}\n").as_bytes()).ok();
            ExitCode::from(code)
        }
    };
    log::flush();
    code
}

/// Help goes out as it is; an error becomes one line that names the flag.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        eprintln!(
            "svclb: a subcommand is missing: run, sandbox, status, services, flows, explain, monitor, top, check or cleanup; see svclb --help"
        );
        return ExitCode::from(WRONG_CONFIG);
    }
    let text = error.to_string();
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .collect();
    let line = lines.iter().filter(|line| !line.is_empty()).copied().collect::<Vec<_>>().join(" ");
    eprintln!("svclb: {}", line.strip_prefix("error: ").unwrap_or(&line));
    ExitCode::from(WRONG_CONFIG)
}

fn init_log(command: &Command) -> io::Result<log::Out> {
    use tracing_subscriber::EnvFilter;
    let (default, out) = match command {
        // The client tells of every repetition; `apiserver` tells of an outage once.
        Command::Run(_) => ("info,kube_client=off,kube_runtime=off", log::Out::queued()?),
        _ => ("warn", log::Out::Waiting),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(out)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(out)
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Run(args) => Box::pin(agent::run(run::settings(*args)?))
                .await
                .map(|()| ExitCode::SUCCESS)
                .map_err(Into::into),
            Command::Sandbox(options) => sandbox::run(*options, not_proxied).await,
            Command::Status(args) => {
                let pins = Pins::new(args.report.pins.bpffs);
                let output = (!args.quiet).then_some(args.report.output);
                report::status(&pins, output, args.wait_synced, args.interval).await
            }
            Command::Services(args) => report::services(&Pins::new(args.pins.bpffs), args.output),
            Command::Flows(args) => {
                let pins = Pins::new(args.report.pins.bpffs);
                report::flows(&pins, args.report.output, args.service.as_ref())
            }
            Command::Explain(args) => Box::pin(explain::run(args)).await,
            Command::Check(args) if args.from_kube_proxy => {
                report::migration(args.kube_proxy_config, args.report.output).await
            }
            Command::Top(args) => top::run(args).await,
            Command::Monitor(args) => monitor::run(args).await,
            Command::Check(args) => {
                let DeviceArgs { cgroup, uplinks, pod_interfaces, socket_lb, xdp } = args.devices;
                let devices = devices(cgroup, socket_lb, uplinks, pod_interfaces, xdp.unwrap_or_default())?;
                let ports = args.snat_ports.unwrap_or_default();
                report::check(&Pins::new(args.report.pins.bpffs), &devices, ports, args.report.output).await
            }
            Command::Cleanup(args) => {
                let pins = Pins::new(args.pins.bpffs);
                if let Some(handed) = cleanup::run(&pins, args.handover).await? {
                    println!("{handed}");
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// What to attach to. Without a control group to attach to, sockets are left alone, unless they were asked for.
fn devices(
    cgroup: Option<PathBuf>,
    socket_lb: Option<SocketLb>,
    uplinks: Vec<String>,
    pod_globs: Vec<String>,
    xdp: Xdp,
) -> Result<agent::Devices, RunError> {
    let mut socket_mode = SocketMode::from(socket_lb.unwrap_or_default());
    let cgroup = match (cgroup, socket_mode) {
        (_, SocketMode::Off) => None,
        (Some(path), _) if crate::cgroup::is_group(&path) => Some(path),
        (Some(path), _) => {
            return Err(RunError::Config(format!("--cgroup {}: no cgroup v2 folder", path.display())));
        }
        (None, _) => match (crate::cgroup::mount_point(), socket_lb) {
            (Ok(path), _) => Some(path),
            (Err(error), Some(asked)) => {
                return Err(RunError::Config(format!(
                    "--socket-lb={}: {error}: mount it (mount -t cgroup2 cgroup2 <folder>), or use --socket-lb=off",
                    asked.as_str()
                )));
            }
            (Err(error), None) => {
                tracing::warn!("{error}: all packets are translated one by one, as with --socket-lb=off");
                let what = format!("sockets are left alone, packets are translated one by one: {error}");
                let advice = "nothing is broken; mount cgroup v2 for the faster way, or say socketLB: off";
                condition::tell(Topic::Sockets, [Problem::warning(what, "sockets", advice)]);
                socket_mode = SocketMode::Off;
                None
            }
        },
    };
    Ok(agent::Devices { cgroup, socket_mode, uplinks, pod_globs, xdp: xdp.into() })
}

/// Which Services of a folder are left alone, and why.
fn not_proxied(folder: &Path) -> Vec<(String, String)> {
    let Ok(mut folder) = Folder::open(folder) else { return Vec::new() };
    let _errors_are_the_agents_to_report = folder.scan();
    let snapshot = build(&folder.objects(), &model::Settings::default());
    let line = |skipped: &model::Skipped| {
        (format!("{}/{}", skipped.namespace, skipped.name), skipped.reason.explain().to_owned())
    };
    snapshot.skipped.iter().map(line).collect()
}

/// `NAMESPACE/NAME`.
fn parse_service(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.into(), name.into()))
        }
        _ => Err(format!("{text:?} is not of the form NAMESPACE/NAME")),
    }
}

/// `10s`, `500ms`, `1m`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_no_number| format!("{text:?} is no duration such as 10s"))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(|| format!("{text:?} is too long")),
        unit => Err(format!("{unit:?} is no unit of time: ms, s or m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        for wrong in ["", "s", "1h", "-1s", "1.5s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
