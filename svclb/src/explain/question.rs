//! Questions about what the API says, from who serves them to who knows.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::account::PortAccount;
use crate::model::{Account, ObjectKey};

/// What the agent answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// The node's name.
    pub node: String,
    /// Whether everything that is wanted is in the tables.
    pub is_written: bool,
    /// The Service that was asked about, if there is one.
    pub service: Option<ServiceObjects>,
    /// Services that are not proxied, and why; some of them, if there are many.
    pub not_proxied: Vec<(String, String)>,
    /// Pods of this node whose sockets are left alone; some of them, if there are many.
    pub opted_out: Vec<OptedOut>,
}

/// What is wanted for a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceObjects {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What the API says.
    #[serde(flatten)]
    pub account: Account,
    /// Its ports in each family, as the tables are to hold them.
    pub ports: Vec<PortAccount>,
}

/// A pod whose sockets are left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptedOut {
    /// Namespace and name.
    pub pod: String,
    /// Its addresses, as far as they are known.
    pub addresses: Vec<IpAddr>,
}

/// Where questions go. There is one answer after the other, between two passes of the agent.
#[derive(Clone)]
pub struct Questions(mpsc::Sender<Question>);

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// No Service in particular.
    Nobody,
    /// A Service.
    Service(ObjectKey),
    /// Whichever Service has this address.
    Address(IpAddr),
}

impl About {
    /// What stands behind the page's path: nothing, an address, or a namespace and a name.
    pub fn parse(path: &str) -> Option<Self> {
        if path.is_empty() {
            return Some(Self::Nobody);
        }
        let path = path.strip_prefix('/')?;
        match path.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Some(Self::Service(ObjectKey { namespace: namespace.into(), name: name.into() }))
            }
            Some(_) => None,
            None => path.parse().ok().map(Self::Address),
        }
    }
}

/// A question, and who waits for the answer.
pub struct Question {
    about: About,
    answer: oneshot::Sender<Objects>,
}

/// Questions that wait; more have to.
const WAITING: usize = 16;

impl Questions {
    /// Where questions go, and where they come from.
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Asks. The answer is JSON; there is none when the agent ends.
    pub async fn ask(&self, about: About) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { about, answer }).await.ok()?;
        serde_json::to_string(&answered.await.ok()?).ok()
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

impl Question {
    /// Answers it.
    pub fn answer(self, answer: impl FnOnce(&About) -> Objects) {
        // Who does not wait any more does not want to know.
        drop(self.answer.send(answer(&self.about)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_nobody_a_service_or_an_address() {
        let service = About::Service(ObjectKey { namespace: "shop".into(), name: "web".into() });
        let table = [
            ("", Some(About::Nobody)),
            ("/shop/web", Some(service)),
            ("/10.96.0.1", Some(About::Address(IpAddr::from([10, 96, 0, 1])))),
            ("/fd00::1", Some(About::Address("fd00::1".parse().unwrap()))),
            ("/shop", None),
            ("/shop/", None),
            ("s", None),
        ];
        for (path, about) in table {
            assert_eq!(About::parse(path), about, "{path}");
        }
    }

    #[tokio::test]
    async fn an_answer_goes_to_who_asked() {
        let (questions, mut asked) = Questions::new();
        let asking = tokio::spawn(async move { questions.ask(About::Nobody).await });
        let question = asked.recv().await.unwrap();
        question.answer(|about| {
            assert_eq!(*about, About::Nobody);
            Objects { node: "here".into(), ..Objects::default() }
        });
        let text = asking.await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Objects>(&text).unwrap().node, "here");
    }
}
