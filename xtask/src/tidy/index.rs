//! The README tells a newcomer what each folder is for.

use std::collections::BTreeSet;

/// One line for each top-level folder among `files` that `readme` does not name as `folder/`.
pub(super) fn check(files: &[&str], readme: Option<&str>) -> Vec<String> {
    let Some(readme) = readme else {
        return vec!["README.md: is missing; it says what svclb is and what each folder is for".to_owned()];
    };
    let folders: BTreeSet<&str> =
        files.iter().filter_map(|path| path.split_once('/')).map(|(folder, _)| folder).collect();
    folders
        .into_iter()
        .filter(|folder| !folder.starts_with('.') && !names(readme, folder))
        .map(|folder| format!("README.md: name {folder}/ in the index of folders"))
        .collect()
}

/// `svclb/` is not named by `my-svclb/`.
fn names(readme: &str, folder: &str) -> bool {
    let named = format!("{folder}/");
    readme.match_indices(&named).any(|(at, _)| {
        !readme[..at].ends_with(|before: char| before.is_alphanumeric() || "-_./".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[&str] = &["README.md", ".ci/run", "svclb/src/lib.rs", "svclb/build.rs", "docs/a.md"];

    #[test]
    fn every_folder_is_named() {
        assert!(check(FILES, Some("| `svclb/` | agent |\n| [docs/](docs/) | |")).is_empty());
    }

    #[test]
    fn a_folder_that_is_not_named_is_found() {
        let findings = check(FILES, Some("`my-svclb/` and `x/svclb/` are others; see docs/"));
        assert_eq!(findings, ["README.md: name svclb/ in the index of folders"]);
        assert_eq!(check(FILES, None).len(), 1);
    }
}
