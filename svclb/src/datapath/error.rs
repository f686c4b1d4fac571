//! What can go wrong between the agent and the kernel.

use std::{io, path::PathBuf};

/// An error of the datapath. Each names the object and what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another agent holds the pins.
    #[error("another svclb agent runs on {}: stop it first, or choose another --bpffs", .0.display())]
    Locked(PathBuf),
    /// The folder for pins is not on a BPF file system.
    #[error("{} is not on a BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf), or name one with --bpffs", .0.display())]
    NoBpffs(PathBuf),
    /// There are no pins: no agent has run here.
    #[error("nothing is pinned at {}: start svclb run, or name its --bpffs", .0.display())]
    NoPins(PathBuf),
    /// What is pinned is another layout's: nothing of it can be told.
    #[error("what is pinned at {} has layout {found}, and this svclb layout {own}: ask the svclb that runs there", .root.display())]
    OtherLayout {
        /// The folder of all pins.
        root: PathBuf,
        /// The layout that is there.
        found: u32,
        /// This binary's.
        own: u32,
    },
    /// A newer svclb has run here.
    #[error("what is pinned at {} has layout {found}, newer than this svclb's {own}: run the newer svclb, or its svclb cleanup first", .root.display())]
    NewerLayout {
        /// The folder of all pins.
        root: PathBuf,
        /// The newest layout that is there.
        found: u32,
        /// This binary's.
        own: u32,
    },
    /// An older svclb has run here, from whose layout this one cannot take flows over.
    #[error("what is pinned at {} has layout {found}, whose flows this svclb ({own}) cannot take over: go by a version between, or give them up with svclb cleanup", .root.display())]
    OlderLayout {
        /// The folder of all pins.
        root: PathBuf,
        /// The layout that is there.
        found: u32,
        /// This binary's.
        own: u32,
    },
    /// An older svclb has made tables beside those of this layout.
    #[error("{} and {} are two tables of one kind, since an older svclb has run after a newer one: give both up with svclb cleanup", .older.display(), .own.display())]
    TwoTables {
        /// The pin of the older layout.
        older: PathBuf,
        /// The pin of this layout.
        own: PathBuf,
    },
    /// A pinned map does not have the shape that this binary needs.
    #[error("pinned map {} has {found}, this svclb needs {wanted}: it was made by another version or with other table sizes; run svclb cleanup and start again", .path.display())]
    ForeignMap {
        /// The pin.
        path: PathBuf,
        /// Its shape.
        found: String,
        /// The shape that is needed.
        wanted: String,
    },
    /// The kernel lacks something that svclb cannot do without.
    #[error("this kernel lacks {0}")]
    Kernel(String),
    /// The kernel refused a map, or the bytecode is not what it must be.
    #[error("{what}: {reason}")]
    Load {
        /// Program or map.
        what: String,
        /// Why.
        reason: String,
    },
    /// The verifier refused a program.
    #[error("this kernel refuses program {program}: {reason}")]
    Verifier {
        /// The program.
        program: String,
        /// Its last words.
        reason: String,
    },
    /// A program could not be attached.
    #[error("cannot attach {program} to {target}: {reason}")]
    Attach {
        /// The program.
        program: String,
        /// Device or cgroup.
        target: String,
        /// Why.
        reason: String,
    },
    /// A map could not be read or written.
    #[error("map {map}: {reason}")]
    Map {
        /// The map.
        map: String,
        /// Why.
        reason: String,
    },
    /// A file or folder could not be used.
    #[error("{}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why; part of the text, and so no source to be told again.
        reason: io::Error,
    },
}

impl Error {
    /// An error of a map operation.
    pub(crate) fn map(map: impl Into<String>, reason: &dyn std::error::Error) -> Self {
        Self::Map { map: map.into(), reason: chain(reason) }
    }

    /// An error of a file operation.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |reason| Self::File { path, reason }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
