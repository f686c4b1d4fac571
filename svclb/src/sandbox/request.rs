//! Real requests along one path, and who answered them.

use std::{collections::BTreeMap, time::Duration};

use super::{http::Answer, netns, netns::Namespace};

/// How long one request may take. In this world a millisecond is long.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After so many requests in a row without an answer the rest would tell
/// nothing new.
const PATIENCE: u32 = 3;

/// What became of the requests along one path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many were sent.
    pub(super) sent: u32,
    /// How many each pod answered.
    pub(super) pods: BTreeMap<String, u32>,
    /// What happened to the others.
    pub(super) failures: BTreeMap<String, u32>,
}

impl Tally {
    /// How many were answered.
    pub(super) fn answered(&self) -> u32 {
        self.pods.values().sum()
    }

    /// Adds another path's.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        for (pod, n) in &other.pods {
            *self.pods.entry(pod.clone()).or_default() += n;
        }
        for (why, n) in &other.failures {
            *self.failures.entry(why.clone()).or_default() += n;
        }
    }

    /// How far the pod furthest from its fair share is from it, in percent.
    pub(super) fn deviation(&self, expected: &[String]) -> Option<f64> {
        let even = f64::from(self.answered()) / f64::from(u32::try_from(expected.len()).ok()?);
        let off = |pod| (f64::from(self.pods.get(pod).copied().unwrap_or(0)) - even).abs() / even * 100.0;
        expected.iter().map(off).filter(|percent| percent.is_finite()).max_by(f64::total_cmp)
    }

    /// What is wrong, if anything.
    pub(super) fn fault(&self, wanted: u32, expected: &[String]) -> Option<String> {
        let mut faults = Vec::new();
        if self.answered() < wanted {
            let why: Vec<_> = self.failures.iter().map(|(why, times)| format!("{times} × {why}")).collect();
            let given_up = if self.sent < wanted { ", then given up" } else { "" };
            faults.push(format!(
                "{} of {} requests were not answered ({}{given_up})",
                self.sent - self.answered(),
                self.sent,
                why.join(", "),
            ));
        }
        let silent: Vec<_> =
            expected.iter().filter(|pod| !self.pods.contains_key(*pod)).map(String::as_str).collect();
        if !silent.is_empty() {
            faults.push(format!("no answer from {}", silent.join(", ")));
        }
        let strange: Vec<_> =
            self.pods.keys().filter(|pod| !expected.contains(pod)).map(String::as_str).collect();
        if !strange.is_empty() {
            faults.push(format!("answers from {}, which is no backend", strange.join(", ")));
        }
        (!faults.is_empty()).then(|| faults.join("; "))
    }

    fn add(&mut self, outcome: Result<String, String>) {
        self.sent += 1;
        let counts = if outcome.is_ok() { &mut self.pods } else { &mut self.failures };
        let (Ok(name) | Err(name)) = outcome;
        *counts.entry(name).or_default() += 1;
    }
}

/// Sends requests from within a namespace, one after the other, each on a
/// connection of its own.
pub(super) async fn send(from: &Namespace, url: &str, requests: u32) -> Result<Tally, netns::Error> {
    let mut tally = Tally::default();
    let mut unanswered = 0;
    while tally.sent < requests && unanswered < PATIENCE {
        let url = url.to_owned();
        // One job per request, so that the world can end between two.
        let outcome = from.run(move || request(&url)).await?;
        // Being refused is quick and may concern one backend of several.
        unanswered =
            if matches!(&outcome, Err(why) if why.starts_with("timeout")) { unanswered + 1 } else { 0 };
        tally.add(outcome);
    }
    Ok(tally)
}

/// Who answers one request, or why nobody does.
fn request(url: &str) -> Result<String, String> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_idle_connections(0)
            // The environment's proxy knows nothing of this world.
            .proxy(None)
            .build(),
    );
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let body = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let answer: Answer = serde_json::from_str(&body).map_err(|_other| "an answer of no pod".to_owned())?;
    Ok(answer.pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sent: u32, pods: &[(&str, u32)], failures: &[(&str, u32)]) -> Tally {
        let map = |pairs: &[(&str, u32)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        Tally { sent, pods: map(pods), failures: map(failures) }
    }

    fn expected() -> Vec<String> {
        vec!["pod1".into(), "pod2".into()]
    }

    #[test]
    fn faults() {
        let cases = [
            ("all is well", tally(4, &[("pod1", 1), ("pod2", 3)], &[]), None),
            ("one silent", tally(4, &[("pod1", 4)], &[]), Some("no answer from pod2")),
            (
                "refused",
                tally(4, &[("pod1", 2), ("pod2", 1)], &[("refused", 1)]),
                Some("1 of 4 requests were not answered (1 × refused)"),
            ),
            (
                "given up",
                tally(3, &[], &[("timeout", 3)]),
                Some(
                    "3 of 3 requests were not answered (3 × timeout, then given up); no answer from pod1, pod2",
                ),
            ),
            (
                "a stranger",
                tally(4, &[("pod1", 1), ("pod2", 1), ("pod9", 2)], &[]),
                Some("answers from pod9, which is no backend"),
            ),
        ];
        for (name, tally, fault) in cases {
            assert_eq!(tally.fault(4, &expected()).as_deref(), fault, "{name}");
        }
    }

    #[test]
    fn deviation_is_of_the_worst_pod() {
        let percent = |pods: &[(&str, u32)]| tally(100, pods, &[]).deviation(&expected());
        assert_eq!(percent(&[("pod1", 50), ("pod2", 50)]), Some(0.0));
        assert_eq!(percent(&[("pod1", 60), ("pod2", 40)]), Some(20.0));
        assert_eq!(percent(&[("pod1", 100)]), Some(100.0));
        assert_eq!(percent(&[]), None);
    }
}
