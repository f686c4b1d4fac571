//! What is to be looked at, by the word of the kernel.

use std::{collections::BTreeSet, mem};

use inotify::EventMask;

use super::folder::is_manifest;

/// What events said since the last look. Pure.
///
/// A file that was closed by its writer, or has got its name, is complete and looked at once. Everything else may
/// be one step of several, as when an editor moves the old version away before it writes the new one: it is looked
/// at a moment later, together with what followed.
#[derive(Debug, Default)]
pub(super) struct Pending {
    now: Look,
    later: Look,
    /// The rename whose second half is still to come: its cookie and the old name.
    leaving: Option<(u32, String)>,
}

/// What to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The whole folder.
    pub(super) all: bool,
    /// All files that are symbolic links: something that they may lead through is another.
    pub(super) links: bool,
    /// Files by their names.
    pub(super) files: BTreeSet<String>,
}

impl Look {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` has.
    fn join(&mut self, mut other: Self) {
        self.all |= other.all;
        self.links |= other.links;
        self.files.append(&mut other.files);
    }
}

impl Pending {
    /// Takes note of an event. Without a name it is about the folder itself.
    pub(super) fn note(&mut self, mask: EventMask, cookie: u32, name: Option<&str>) {
        let is_complete = mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO);
        let leaving =
            self.leaving.take().filter(|(of, _)| mask.contains(EventMask::MOVED_TO) && *of == cookie);
        match name {
            _ if mask.contains(EventMask::Q_OVERFLOW) => self.now.all = true,
            None => self.later.all = true,
            Some(name) if !is_manifest(name) => {
                // A folder or a link by which files are reached, or the copy of an editor.
                let look = if is_complete { &mut self.now } else { &mut self.later };
                look.links = true;
            }
            Some(name) if is_complete => {
                let old = leaving.map(|(_, old)| old);
                for name in old.into_iter().chain([name.to_owned()]) {
                    self.later.files.remove(&name);
                    self.now.files.insert(name);
                }
            }
            Some(name) => {
                if mask.contains(EventMask::MOVED_FROM) {
                    self.leaving = Some((cookie, name.to_owned()));
                }
                self.later.files.insert(name.to_owned());
            }
        }
    }

    /// Takes note that the whole folder is to be looked at.
    pub(super) fn note_all(&mut self) {
        self.now.all = true;
    }

    /// What is complete.
    pub(super) fn take(&mut self) -> Look {
        mem::take(&mut self.now)
    }

    /// Whether something waits for what may follow.
    pub(super) fn is_waiting(&self) -> bool {
        !self.later.is_empty()
    }

    /// Stops waiting.
    pub(super) fn ripen(&mut self) {
        self.now.join(mem::take(&mut self.later));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: EventMask = EventMask::MOVED_FROM;
    const TO: EventMask = EventMask::MOVED_TO;
    const CREATE: EventMask = EventMask::CREATE;
    const CLOSE: EventMask = EventMask::CLOSE_WRITE;
    const DELETE: EventMask = EventMask::DELETE;

    fn look(text: &str) -> Look {
        let mut look = Look::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match word {
                "all" => look.all = true,
                "links" => look.links = true,
                file => drop(look.files.insert(file.to_owned())),
            }
        }
        look
    }

    type Event = (EventMask, u32, Option<&'static str>);

    #[test]
    fn what_is_complete_does_not_wait() {
        let own = None;
        let table: [(&str, &[Event], &str, &str); 13] = [
            ("a write", &[(CLOSE, 0, Some("a.yaml"))], "a.yaml", ""),
            ("a new file", &[(CREATE, 0, Some("a.yaml")), (CLOSE, 0, Some("a.yaml"))], "a.yaml", ""),
            ("a file that is being written", &[(CREATE, 0, Some("a.yaml"))], "", "a.yaml"),
            ("a rename", &[(FROM, 7, Some("a.yaml")), (TO, 7, Some("b.yaml"))], "a.yaml b.yaml", ""),
            ("a rename into place", &[(FROM, 7, Some(".a.new")), (TO, 7, Some("a.yaml"))], "a.yaml", "links"),
            ("a move away", &[(FROM, 7, Some("a.yaml"))], "", "a.yaml"),
            ("two moves", &[(FROM, 7, Some("a.yaml")), (TO, 8, Some("b.yaml"))], "b.yaml", "a.yaml"),
            (
                "an editor that keeps the old version",
                &[
                    (FROM, 7, Some("a.yaml")),
                    (TO, 7, Some("a.yaml~")),
                    (CREATE, 0, Some("a.yaml")),
                    (CLOSE, 0, Some("a.yaml")),
                ],
                "links a.yaml",
                "",
            ),
            ("an old version kept", &[(FROM, 7, Some("a.yaml")), (TO, 7, Some("a.bak"))], "links", "a.yaml"),
            ("a deletion", &[(DELETE, 0, Some("a.yaml")), (CLOSE, 0, Some("b.yaml"))], "b.yaml", "a.yaml"),
            ("a link of a mounted volume", &[(TO, 7, Some("..data"))], "links", ""),
            ("the folder itself", &[(EventMask::MOVE_SELF, 0, own)], "", "all"),
            ("events that were lost", &[(EventMask::Q_OVERFLOW, 0, own)], "all", ""),
        ];
        for (case, events, now, later) in table {
            let mut pending = Pending::default();
            for (mask, cookie, name) in events {
                pending.note(*mask, *cookie, *name);
            }
            assert_eq!(pending.take(), look(now), "{case}");
            assert_eq!(pending.is_waiting(), !later.is_empty(), "{case}");
            pending.ripen();
            assert_eq!(pending.take(), look(later), "{case}, later");
            assert!(!pending.is_waiting());
        }
    }
}
