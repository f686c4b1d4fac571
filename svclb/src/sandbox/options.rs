//! The flags of `svclb sandbox`.

use std::path::PathBuf;

use clap::Args;

/// What the embedded world is to be like.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// End after the requests, with exit code 0 only if all were answered as expected
    #[arg(long)]
    pub once: bool,
    /// Use the manifests in this folder instead of the built-in ones
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// The agent's binary [default: this one]
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// How many requests to send along each path
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: u32,
    /// What the names of everything start with: worlds with different prefixes run side by side
    #[arg(long, value_name = "NAME", default_value = "svclb", value_parser = parse_prefix)]
    pub prefix: String,
    /// Stop this pod's server before the requests, to see that they fail
    #[arg(long, value_name = "POD", hide = true)]
    pub break_backend: Option<String>,
    /// Further flags for the agents
    #[arg(last = true, value_name = "FLAG OF svclb run")]
    pub agent_args: Vec<String>,
}

/// The prefix becomes part of file, namespace and cgroup names, and what bears
/// it is removed without asking.
fn parse_prefix(text: &str) -> Result<String, String> {
    let valid = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 32
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if valid {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 32 lower-case letters and digits, a letter first".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(args: &[&str]) -> Result<Options, clap::Error> {
        Cli::try_parse_from([&["sandbox"], args].concat()).map(|cli| cli.options)
    }

    #[test]
    fn defaults() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.once, options.requests, options.prefix.as_str()), (false, 200, "svclb"));
        assert_eq!((options.manifests, options.agent, options.break_backend), (None, None, None));
    }

    #[test]
    fn what_follows_two_dashes_is_the_agents() {
        let options = parse(&["--once", "--", "--socket-lb", "off"]).unwrap();
        assert_eq!(options.agent_args, ["--socket-lb", "off"]);
    }

    #[test]
    fn a_prefix_must_be_harmless_as_a_name() {
        for good in ["a", "svclb", "t2"] {
            assert!(parse(&["--prefix", good]).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "a-b", "2a", "A", "x".repeat(33).as_str()] {
            assert!(parse(&["--prefix", bad]).is_err(), "{bad}");
        }
    }
}
