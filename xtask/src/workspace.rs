//! Where things are: the repository, the target directory, and a shell that stands in the repository.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;
use xshell::{Cmd, Shell};

/// The repository and where its builds go.
pub(crate) struct Workspace {
    /// Commands run from here: the root of the repository.
    pub(crate) shell: Shell,
    /// The root of the repository.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, by whatever way it was set.
    pub(crate) target: PathBuf,
    /// The cargo this runs under.
    pub(crate) cargo: PathBuf,
    /// Packages of the workspace and everything they depend on, as `cargo metadata` tells it.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Asks the cargo this was started by.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let shell = Shell::new()?;
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        // the distribution's rustc, once installed, can be found before the one that belongs to this cargo
        let path = env::var_os("PATH").unwrap_or_default();
        let beside = cargo.parent().filter(|directory| directory.join("rustc").is_file());
        let path = beside.map(Path::to_path_buf).into_iter().chain(env::split_paths(&path));
        shell.set_var("PATH", env::join_paths(path).context("PATH has an entry with a colon")?);
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let metadata = shell
            .cmd(&cargo)
            .args(["metadata", "--format-version=1", "--locked", "--manifest-path", manifest])
            .quiet()
            .read()
            .context("`cargo metadata --locked` failed: run it to see why")?;
        let metadata: Value = serde_json::from_str(&metadata).context("`cargo metadata` printed no JSON")?;
        let path = |field: &str| {
            let text = metadata[field].as_str().with_context(|| format!("`cargo metadata` lacks {field}"))?;
            anyhow::Ok(PathBuf::from(text))
        };
        let (root, target) = (path("workspace_root")?, path("target_directory")?);
        shell.change_dir(&root);
        Ok(Self { shell, root, target, cargo, metadata })
    }

    /// The outer cargo, for the crates of the host.
    pub(crate) fn cargo<'a>(&'a self, args: &[&str]) -> Cmd<'a> {
        self.shell.cmd(&self.cargo).args(args)
    }

    /// Where the bytecode is built and kept.
    pub(crate) fn bytecode(&self) -> PathBuf {
        self.target.join("bpf")
    }

    /// Flags of rustc that keep out of what is built where it was built.
    pub(crate) fn remapped_paths(&self) -> Vec<String> {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
        let folders =
            [(home, "/cargo"), (Some(self.target.clone()), "/target"), (Some(self.root.clone()), "/svclb")];
        // of two that fit the compiler takes the last, which has to be the one further down
        let mut folders: Vec<(PathBuf, &str)> =
            folders.into_iter().filter_map(|(folder, name)| Some((folder?, name))).collect();
        folders.sort_by_key(|(folder, _)| folder.components().count());
        let flag =
            |(folder, name): &(PathBuf, &str)| format!("--remap-path-prefix={}={name}", folder.display());
        folders.iter().map(flag).collect()
    }

    /// Where tools built for this repository are kept.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

/// Variables that say how the *outer* build is done, by the user or by cargo and rustup around this program. A build
/// with another compiler must not see them: flags of the host would go to the BPF target, the library path of one
/// toolchain to another, and a profile could strip the bytecode.
pub(crate) fn outer_build_variables() -> impl Iterator<Item = OsString> {
    const EXACT: &[&str] = &[
        "CARGO",
        "CARGO_BUILD_RUSTC",
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTDOC",
        "RUSTFLAGS",
    ];
    const PREFIXES: &[&str] = &["CARGO_PROFILE_", "CARGO_UNSTABLE_", "CARGO_TARGET_BPF"];
    env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str().is_some_and(|name| {
            EXACT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    })
}

/// `command` without [`outer_build_variables`], and without a compiler wrapper from the environment or a
/// configuration file, which an empty value turns off.
pub(crate) fn apart(mut command: Cmd<'_>) -> Cmd<'_> {
    for name in outer_build_variables() {
        command = command.env_remove(name);
    }
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "")
}

/// Whether `program` is in one of the directories of `PATH`.
pub(crate) fn on_path(program: &str) -> bool {
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories).any(|directory| directory.join(program).is_file())
}
