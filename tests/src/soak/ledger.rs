//! What happened in a soak: events, the requests that were made meanwhile, and promises that were broken.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{
    Way,
    clients::News,
    event::Event,
    tally::{Counts, Tally},
};

/// So many failed requests are shown for an event.
const SHOWN: usize = 5;

/// What is known of one kind of event.
#[derive(Default)]
struct Entry {
    injected: u64,
    counts: Counts,
    /// Failed requests and what else did not go as promised.
    broken: Vec<String>,
}

/// What happened.
#[derive(Default)]
pub(super) struct Ledger {
    events: BTreeMap<Event, Entry>,
    clients: Tally,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    bench: &'static str,
    way: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    injected: Option<u64>,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<usize>,
}

impl Ledger {
    /// Notes events of one kind, the requests made meanwhile, and what else was not as promised.
    pub(super) fn note(&mut self, event: Event, injected: u64, news: News, broken: Option<String>) {
        let entry = self.events.entry(event).or_default();
        entry.injected += injected;
        entry.counts += news.counts;
        entry.broken.extend(news.failures);
        entry.broken.extend(broken);
    }

    /// Notes what became of all requests.
    pub(super) fn close(&mut self, tally: Tally) {
        self.clients = tally;
    }

    /// Whether every promise was kept. Somebody must have asked: silence proves nothing.
    pub(super) fn is_kept(&self) -> bool {
        let counts = self.clients.sum();
        let is_broken = self.events.values().any(|entry| !entry.broken.is_empty());
        counts.asked > 0 && counts.failed == 0 && counts.reset == 0 && !is_broken
    }

    /// The tables, for people.
    pub(super) fn tables(&self) -> String {
        let mut text = format!(
            "{:<38} {:>9} {:>10} {:>8} {:>7} {:>6}\n",
            "while", "injected", "requests", "failed", "reset", "slow"
        );
        let row = |text: &mut String, title: &str, injected: &str, counts: &Counts| {
            let Counts { asked, failed, reset, slow } = counts;
            // Writing to a String does not fail.
            writeln!(text, "{title:<38} {injected:>9} {asked:>10} {failed:>8} {reset:>7} {slow:>6}").ok();
        };
        for (event, entry) in &self.events {
            row(&mut text, event.title(), &entry.injected.to_string(), &entry.counts);
        }
        let injected: u64 = self.events.values().map(|entry| entry.injected).sum();
        row(&mut text, "altogether", &injected.to_string(), &self.clients.sum());
        text.push('\n');
        for (kind, counts) in &self.clients.kinds {
            row(&mut text, kind.title(), "", counts);
        }
        for (event, entry) in &self.events {
            for broken in entry.broken.iter().take(SHOWN) {
                writeln!(text, "\n{}: {broken}", event.title()).ok();
            }
            if entry.broken.len() > SHOWN {
                writeln!(text, "{}: and {} more", event.title(), entry.broken.len() - SHOWN).ok();
            }
        }
        text
    }

    /// The same as lines of JSON.
    pub(super) fn lines(&self, way: Way) -> anyhow::Result<String> {
        let (bench, way) = ("soak", way.name());
        let events = self.events.iter().map(|(event, entry)| Line {
            bench,
            way,
            event: Some(event.title()),
            clients: None,
            injected: Some(entry.injected),
            counts: entry.counts,
            broken: Some(entry.broken.len()),
        });
        let clients = self.clients.kinds.iter().map(|(kind, counts)| Line {
            bench,
            way,
            event: None,
            clients: Some(kind.name()),
            injected: None,
            counts: *counts,
            broken: None,
        });
        let mut text = String::new();
        for line in events.chain(clients) {
            text += &serde_json::to_string(&line)?;
            text.push('\n');
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::tally::Kind;

    fn ledger(counts: Counts, broken: Option<&str>) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.note(Event::Kill, 1, News { counts, failures: Vec::new() }, broken.map(str::to_owned));
        ledger.close(Tally { kinds: [(Kind::Short, counts)].into(), failures: Vec::new() });
        ledger
    }

    #[test]
    fn promises_are_broken_by_requests_by_flows_by_word_and_by_silence() {
        let asked = Counts { asked: 7, ..Counts::default() };
        for (counts, broken, is_kept) in [
            (asked, None, true),
            (Counts { slow: 1, ..asked }, None, true),
            (Counts { failed: 1, ..asked }, None, false),
            (Counts { reset: 1, ..asked }, None, false),
            (asked, Some("a second agent was let in"), false),
            (Counts::default(), None, false),
        ] {
            assert_eq!(ledger(counts, broken).is_kept(), is_kept, "{counts:?} {broken:?}");
        }
    }

    #[test]
    fn events_and_clients_are_lines() {
        let ledger = ledger(Counts { asked: 7, failed: 2, reset: 1, slow: 3 }, Some("why"));
        assert_eq!(
            ledger.lines(Way::Packets).unwrap(),
            "{\"bench\":\"soak\",\"way\":\"packets\",\"event\":\"the agent is killed\",\"injected\":1,\"asked\":7,\"failed\":2,\"reset\":1,\
             \"slow\":3,\"broken\":1}\n\
             {\"bench\":\"soak\",\"way\":\"packets\",\"clients\":\"short\",\"asked\":7,\"failed\":2,\"reset\":1,\"slow\":3}\n"
        );
        let tables = ledger.tables();
        assert!(tables.contains("the agent is killed: why"), "{tables}");
        assert!(tables.contains("altogether"), "{tables}");
    }
}
