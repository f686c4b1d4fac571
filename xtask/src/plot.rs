//! `cargo xtask bench plot`: pictures of what benches have measured.
//!
//! | module | noun |
//! |---|---|
//! | [`chart`] | what is drawn, without where |
//! | [`source`] | from the JSON of a bench to charts |
//! | [`svg`] | charts as SVG |

mod chart;
mod source;
mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Draws what these files hold into `folder`.
pub(crate) fn plot(files: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for file in files {
        let name = || file.display().to_string();
        let text = fs::read_to_string(file).with_context(name)?;
        let json = serde_json::from_str(&text).with_context(name)?;
        for (picture, svg) in source::pictures(&json).with_context(name)? {
            let path = folder.join(picture);
            fs::write(&path, svg).with_context(|| path.display().to_string())?;
            println!("{}", path.display());
        }
    }
    Ok(())
}
