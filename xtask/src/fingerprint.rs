//! What a build was made from, as one word: equal words, equal output.

use std::{
    fs,
    hash::{DefaultHasher, Hasher as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Collects the inputs of a build.
#[derive(Default)]
pub(crate) struct Fingerprint(DefaultHasher);

impl Fingerprint {
    /// Adds a word of the build: a flag, a version.
    pub(crate) fn word(&mut self, word: &str) {
        self.bytes(word.as_bytes());
    }

    /// Adds a file, or every file below a directory, by name and content. `path` is relative to `root`, so that
    /// a repository that moved is still the same.
    pub(crate) fn path(&mut self, root: &Path, path: &str) -> anyhow::Result<()> {
        for file in files(&root.join(path))? {
            let name = file.strip_prefix(root).unwrap_or(&file);
            self.bytes(name.as_os_str().as_encoded_bytes());
            self.bytes(&fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
        }
        Ok(())
    }

    /// The word.
    pub(crate) fn finish(&self) -> String {
        format!("{:016x}\n", self.0.finish())
    }

    /// The length goes first, so that no two lists of inputs run together to the same bytes.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    let mut below = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    below.sort();
    let nested = below.iter().map(|path| files(path)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(nested.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> String {
        let mut fingerprint = Fingerprint::default();
        for word in words {
            fingerprint.word(word);
        }
        fingerprint.finish()
    }

    #[test]
    fn equal_inputs_only_are_equal() {
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
    }

    #[test]
    fn directories_count_with_every_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (mut all, mut one) = (Fingerprint::default(), Fingerprint::default());
        all.path(root, "src").unwrap();
        one.path(root, "src/main.rs").unwrap();
        assert_ne!(all.finish(), one.finish());
        assert!(one.path(root, "src/missing.rs").is_err());
    }
}
