//! The file of `--config`.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::time::{MissedTickBehavior, interval};

use super::{ConfigError, Layer, kube_proxy, own, schema};
use crate::manifest::{
    fault::Fault,
    parse::one_line,
    tree::{self, Tree, Value},
};

/// The most a file may have; kubeadm's has about 2 kB.
const LIMIT: u64 = 1 << 20;
/// How often to look without an event: not every file system has them.
const TICK: Duration = Duration::from_secs(5);

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: PathBuf,
    content: Vec<u8>,
}

impl File {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let content = content(path).map_err(unreadable)?;
        if content.len() as u64 > LIMIT {
            return Err(ConfigError::TooLarge { path: path.to_owned(), limit: LIMIT });
        }
        Ok(Self { path: path.to_owned(), content })
    }

    /// What it says, and the fields that say something which means nothing here.
    pub(super) fn layer(&self) -> Result<(Layer, Vec<String>), ConfigError> {
        let located = |Fault { line, field, message }| ConfigError::Field {
            path: self.path.clone(),
            line,
            field: one_line(&field).into_owned(),
            message: one_line(&message).into_owned(),
        };
        let text = std::str::from_utf8(&self.content).map_err(|error| {
            let before = &self.content[..error.valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count() as u64;
            located(Fault::new(line, "", "not UTF-8 text"))
        })?;
        read(text).map_err(located)
    }

    /// The documents in it; none if it is no text, or no document.
    pub(super) fn trees(&self) -> Vec<Tree> {
        let text = std::str::from_utf8(&self.content).ok();
        text.and_then(|text| tree::documents(text).ok()).unwrap_or_default()
    }

    /// Resolves when the file has another content than the one that was read. A file that is not there, or
    /// cannot be read, is not another one: it may be in the middle of being replaced.
    pub async fn changed(&self) {
        let mut events = self.events();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.differs() {
                return;
            }
            tokio::select! {
                () = next(&mut events) => {}
                _ = ticks.tick() => {}
            }
        }
    }

    /// What the file says now, if that is a configuration.
    pub fn renewed(&self) -> Result<(), ConfigError> {
        Self::read(&self.path)?.layer().map(|_| ())
    }

    /// The file as it is now, right or wrong, so that only another change counts from here on.
    #[must_use]
    pub fn refreshed(self) -> Self {
        let content = content(&self.path).unwrap_or_else(|_unreadable| self.content.clone());
        Self { content, ..self }
    }

    fn differs(&self) -> bool {
        content(&self.path).is_ok_and(|content| content != self.content)
    }

    /// Events of the folder: a file that is replaced has none of its own, and a volume of a `ConfigMap` replaces a
    /// link beside it.
    fn events(&self) -> Option<EventStream<[u8; 4096]>> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mask = WatchMask::CLOSE_WRITE | WatchMask::CREATE | WatchMask::MOVE;
        let stream = Inotify::init().and_then(|inotify| {
            inotify.watches().add(folder.unwrap_or(Path::new(".")), mask)?;
            inotify.into_event_stream([0; 4096])
        });
        stream.ok()
    }
}

/// Waits for an event; without a stream, for ever.
async fn next(events: &mut Option<EventStream<[u8; 4096]>>) {
    if let Some(stream) = events {
        if matches!(stream.next().await, Some(Ok(_))) {
            return;
        }
        *events = None;
    }
    std::future::pending::<()>().await;
}

/// At most one byte more than [`LIMIT`].
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(LIMIT + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn read(text: &str) -> Result<(Layer, Vec<String>), Fault> {
    let documents = tree::documents(text)?;
    let document = match documents.as_slice() {
        [document] => document,
        [] => return Err(Fault::new(1, "", "there is no document in it")),
        [_, second, ..] => return Err(Fault::new(second.line, "", "a second document; leave one")),
    };
    if !matches!(document.value, Value::Map(_)) {
        return Err(Fault::new(document.line, "", "not a map of fields"));
    }
    let header = |field: &str| document.get(field).and_then(Tree::text).unwrap_or_default();
    match (header("apiVersion"), header("kind")) {
        (own::API_VERSION, own::KIND) => {
            schema::check(document, own::FIELDS)?;
            Ok((own::layer(document)?, Vec::new()))
        }
        (kube_proxy::API_VERSION, kube_proxy::KIND) => {
            let idle = schema::check(document, kube_proxy::FIELDS)?;
            Ok((kube_proxy::layer(document)?, idle))
        }
        (version, kind) => {
            let field = match (version, kind) {
                (own::API_VERSION | kube_proxy::API_VERSION, _) => "kind",
                _ => "apiVersion",
            };
            let message = format!(
                "{version:?} {kind:?} is unknown; use {} {} or {} {}",
                own::API_VERSION,
                own::KIND,
                kube_proxy::API_VERSION,
                kube_proxy::KIND
            );
            Err(Fault::new(document.line_of(field), field, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    fn written(content: &[u8]) -> (TempDir, File) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("config.yaml");
        fs::write(&path, content).unwrap();
        let file = File::read(&path).unwrap();
        (dir, file)
    }

    #[test]
    fn what_is_no_configuration_is_refused_in_one_line() {
        let own = "apiVersion: svclb.io/v1alpha1\nkind: Config\n";
        let table: [(Vec<u8>, &str); 13] = [
            (b"".into(), ":1: there is no document in it"),
            (b"a:\n- [\n".into(), ":2: "),
            (b"- a\n".into(), ":1: not a map of fields"),
            (b"a: 1\nb: \xff\n".into(), ":2: not UTF-8 text"),
            (
                b"kind: Config\n".into(),
                ":1: apiVersion: \"\" \"Config\" is unknown; use svclb.io/v1alpha1 Config",
            ),
            (b"\nkind: Config\napiVersion: v1\n".into(), ":3: apiVersion: \"v1\""),
            (b"apiVersion: svclb.io/v1alpha1\nkind: X\n".into(), ":2: kind: "),
            (format!("{own}---\n{own}").into(), ":4: a second document; leave one"),
            (
                format!("{own}algorithm: rr\n").into(),
                ":3: algorithm: \"rr\" is unknown; use random or round-robin or",
            ),
            (format!("{own}uplink: [eth0]\n").into(), ":3: uplink: unknown field; did you mean uplinks?"),
            (
                format!("{own}maglevTableSize: 1000\n").into(),
                ":3: maglevTableSize: 1000 is not prime; use 1009",
            ),
            (format!("{own}maxFlows: 3\n").into(), ":3: maxFlows: 3 is not from 16 to 16777216"),
            (format!("{own}kubeconfig: a\nmanifests: b\n").into(), ":4: manifests: stands beside kubeconfig"),
        ];
        for (content, expected) in table {
            let (_dir, file) = written(&content);
            let message = file.layer().unwrap_err().to_string();
            let line = message.strip_prefix(file.path.to_str().unwrap()).unwrap();
            assert!(line.starts_with(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = TempDir::new().unwrap();
        let missing = File::read(&dir.path().join("x")).unwrap_err().to_string();
        assert!(missing.starts_with("--config /") && missing.contains("/x: No such file"), "{missing}");
        assert!(File::read(dir.path()).is_err());
        fs::write(dir.path().join("large"), vec![b' '; 1 << 21]).unwrap();
        assert!(matches!(File::read(&dir.path().join("large")), Err(ConfigError::TooLarge { .. })));
    }

    #[test]
    fn only_another_content_is_a_change() {
        let (_dir, file) = written(b"a");
        fs::write(&file.path, b"a").unwrap();
        assert!(!file.differs(), "written anew");
        fs::write(&file.path, b"b").unwrap();
        assert!(file.differs());
        fs::remove_file(&file.path).unwrap();
        assert!(!file.differs(), "gone, perhaps for a moment");
    }

    /// The promise is to notice; the time is for a busy machine.
    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_change_is_noticed() {
        let (_dir, file) = written(b"a");
        let write = async { fs::write(&file.path, b"b").unwrap() };
        timeout(PATIENCE, async { tokio::join!(file.changed(), write) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_volume_of_a_config_map_is_replaced_by_a_link() {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (version, content) in [("1", "a"), ("2", "b")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("config"), content).unwrap();
        }
        symlink("1", at("..data")).unwrap();
        symlink("..data/config", at("config")).unwrap();
        let file = File::read(&at("config")).unwrap();
        let replace = async {
            symlink("2", at("new")).unwrap();
            fs::rename(at("new"), at("..data")).unwrap();
        };
        timeout(PATIENCE, async { tokio::join!(file.changed(), replace) }).await.unwrap();
    }
}
