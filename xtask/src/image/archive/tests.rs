//! The archive, read back the way a container runtime does.

use std::io::Read as _;

use object::elf::{EM_AARCH64, EM_X86_64, PT_LOAD};

use super::*;
use crate::image::{
    Arch,
    elf::{check_static, tests::fake},
};

/// Path, mode and content of every entry.
fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.entry_type(), EntryType::Regular);
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            let mode = header.mode().unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, mode, bytes)
        })
        .collect()
}

/// The layout in an archive; blobs that were asked for leave it.
struct Layout(BTreeMap<String, Vec<u8>>);

impl Layout {
    fn open(archive: &[u8]) -> Self {
        Self(entries(archive).into_iter().map(|(path, _mode, bytes)| (path, bytes)).collect())
    }

    fn file(&mut self, path: &str) -> Value {
        serde_json::from_slice(&self.0.remove(path).unwrap()).unwrap()
    }

    fn blob(&mut self, descriptor: &Value, kind: &str) -> Vec<u8> {
        assert_eq!(descriptor["mediaType"], kind);
        let wanted = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = self.0.remove(&format!("blobs/sha256/{wanted}")).unwrap();
        assert_eq!(digest(&bytes), wanted);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    fn json(&mut self, descriptor: &Value, kind: &str) -> Value {
        serde_json::from_slice(&self.blob(descriptor, kind)).unwrap()
    }

    /// Follows a manifest down to the binary.
    fn binary(&mut self, manifest: &Value, arch: Arch) -> Vec<u8> {
        assert_eq!(manifest["platform"], json!({ "architecture": arch.name(), "os": "linux" }));
        let manifest = self.json(manifest, MANIFEST);
        let config = self.json(&manifest["config"], CONFIG);
        assert_eq!(config["architecture"], arch.name());
        assert_eq!(config["os"], "linux");
        let labels = config["config"]["Labels"].as_object().unwrap().values();
        assert!(
            labels.clone().all(|label| label.as_str().is_some_and(|text| !text.is_empty())),
            "{labels:?}"
        );
        assert_eq!(config["config"]["Entrypoint"], json!(["/svclb"]));
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1);
        assert_eq!(config["rootfs"]["diff_ids"], json!([layers[0]["digest"]]));
        let mut files = entries(&self.blob(&layers[0], LAYER));
        assert_eq!(files.len(), 1);
        let (path, mode, binary) = files.remove(0);
        assert_eq!((path.as_str(), mode), ("svclb", 0o755));
        check_static(&binary, arch).unwrap();
        binary
    }
}

fn archive(machines: &[(Arch, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::new("1.2.3");
    for (arch, binary) in machines {
        archive.add(arch.name(), binary).unwrap();
    }
    archive.finish().unwrap()
}

#[test]
fn one_machine() {
    let binary = fake(EM_X86_64, PT_LOAD);
    let mut layout = Layout::open(&archive(&[(Arch::Amd64, &binary)]));
    assert_eq!(layout.file("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }));
    let index = layout.file("index.json");
    let images = index["manifests"].as_array().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0]["annotations"]["io.containerd.image.name"], "localhost/svclb:1.2.3");
    assert_eq!(layout.binary(&images[0], Arch::Amd64), binary);
    assert!(layout.0.is_empty(), "nothing lies around: {:?}", layout.0.keys());
}

#[test]
fn two_machines_by_one_name() {
    let binaries = [(Arch::Amd64, fake(EM_X86_64, PT_LOAD)), (Arch::Arm64, fake(EM_AARCH64, PT_LOAD))];
    let [(_, amd64), (_, arm64)] = &binaries;
    let mut layout = Layout::open(&archive(&[(Arch::Amd64, amd64), (Arch::Arm64, arm64)]));
    layout.file("oci-layout");
    let index = layout.file("index.json");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let image = layout.json(&index["manifests"][0], INDEX);
    let manifests = image["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2);
    for (manifest, (arch, binary)) in manifests.iter().zip(&binaries) {
        assert_eq!(&layout.binary(manifest, *arch), binary);
    }
    assert!(layout.0.is_empty(), "nothing lies around: {:?}", layout.0.keys());
}

#[test]
fn equal_binaries_make_equal_archives() {
    let binary = fake(EM_X86_64, PT_LOAD);
    let first = archive(&[(Arch::Amd64, &binary)]);
    assert_eq!(first, archive(&[(Arch::Amd64, &binary)]));
    let mut other = binary;
    other.push(0);
    assert_ne!(first, archive(&[(Arch::Amd64, &other)]));
}
