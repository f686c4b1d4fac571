//! An OCI image layout in a tar archive: an index, and for each machine a manifest, a configuration and one layer with
//! the binary alone.
//!
//! Nothing in it depends on time, user or order, and the layer is not compressed, so that no library's version decides
//! its bytes.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The name that `deploy/` uses. Nobody publishes it: it is for images that are loaded onto nodes.
const NAME: &str = "localhost/svclb";

/// The image of one version while it is put together.
pub(super) struct Archive {
    version: &'static str,
    /// By path in the archive.
    files: BTreeMap<String, Vec<u8>>,
    /// Descriptors of manifests.
    manifests: Vec<Value>,
}

impl Archive {
    /// An image for no machine yet.
    pub(super) fn new(version: &'static str) -> Self {
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes();
        Self { version, files: BTreeMap::from([("oci-layout".into(), layout)]), manifests: Vec::new() }
    }

    /// Adds the image for the machines of `arch`.
    pub(super) fn add(&mut self, arch: &str, binary: &[u8]) -> anyhow::Result<()> {
        let layer = self.blob(LAYER, tar([("svclb", 0o755, binary)])?);
        let labels = self.annotations();
        let config = json!({
            "architecture": arch,
            "os": "linux",
            // root in all but capabilities, which the pod has to give
            "config": { "User": "0:0", "Entrypoint": ["/svclb"], "WorkingDir": "/", "Labels": labels },
            // of a layer that is not compressed
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        });
        let config = self.blob(CONFIG, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
            "annotations": self.annotations(),
        });
        let mut manifest = self.blob(MANIFEST, manifest.to_string().into_bytes());
        manifest["platform"] = json!({ "architecture": arch, "os": "linux" });
        self.manifests.push(manifest);
        Ok(())
    }

    /// The bytes of the archive. Several machines get an index of their own, because a name stands for one thing.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<u8>> {
        let mut image = if self.manifests.len() == 1 {
            self.manifests.remove(0)
        } else {
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests });
            self.blob(INDEX, index.to_string().into_bytes())
        };
        image["annotations"] = json!({
            "org.opencontainers.image.ref.name": self.version,
            // where containerd looks for the whole name
            "io.containerd.image.name": format!("{NAME}:{}", self.version),
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
        self.files.insert("index.json".into(), index.to_string().into_bytes());
        tar(self.files.iter().map(|(path, bytes)| (path.as_str(), 0o644, bytes.as_slice())))
    }

    fn annotations(&self) -> Value {
        json!({
            "org.opencontainers.image.title": "svclb",
            "org.opencontainers.image.version": self.version,
            "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        })
    }

    /// Keeps a blob and describes it.
    fn blob(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor =
            json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() });
        self.files.insert(format!("blobs/sha256/{digest}"), bytes);
        descriptor
    }
}

/// SHA-256 in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    let halves = Sha256::digest(bytes).into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    halves.filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

/// An archive of these files by path, mode and content, owned by root and of no time.
fn tar<'a>(files: impl IntoIterator<Item = (&'a str, u32, &'a [u8])>) -> anyhow::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, mode, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len().try_into().context("a file too large")?);
        archive.append_data(&mut header, path, bytes)?;
    }
    Ok(archive.into_inner()?)
}

#[cfg(test)]
#[path = "archive/tests.rs"]
mod tests;
