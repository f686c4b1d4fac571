//! Older builds of the agent, kept packed beside the tests.

use std::{
    fs::{self, File, Permissions},
    io::Cursor,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use lzma_rust2::XzReader;
use sha2::{Digest as _, Sha256};

use super::world::World;

/// An older build.
pub struct Older {
    /// The version of its layout.
    pub layout: u32,
    file: &'static str,
    /// SHA-256 of the packed file.
    sum: &'static str,
}

/// The last one of layout 5; `tests/fixtures/README.md` says how it was made.
pub const V5: Older = Older {
    layout: 5,
    file: "svclb-v5-x86_64.xz",
    sum: "be24d512526af9cf4ca721a9cfa5580f6cfd90f0b5127c8deb7474042c642596",
};

impl Older {
    /// Unpacks it into the world's folder.
    pub fn unpack(&self, world: &World) -> anyhow::Result<PathBuf> {
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(self.file);
        let bytes = fs::read(&packed).with_context(|| packed.display().to_string())?;
        let sum = Sha256::digest(&bytes).iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
        ensure!(sum == self.sum, "{}: its SHA-256 is {sum}", packed.display());
        let binary = world.path("svclb-older");
        let mut file = File::create(&binary)?;
        std::io::copy(&mut XzReader::new(Cursor::new(bytes), false), &mut file)?;
        file.set_permissions(Permissions::from_mode(0o755))?;
        Ok(binary)
    }
}
