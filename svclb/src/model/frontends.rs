//! Where one Service port answers.

use std::{ops::Deref, slice};

use super::Frontend;

/// The frontends of a Service port: sorted, each once. Almost every port has one or two, and there are as many ports as
/// there are Services, so this is a slice: the smallest B-tree has room for eleven.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontends(Box<[Frontend]>);

impl Frontends {
    /// Leaves out those for which `keep` does not hold.
    pub fn retain(&mut self, keep: impl Fn(&Frontend) -> bool) {
        if !self.iter().all(&keep) {
            self.0 = self.iter().copied().filter(keep).collect();
        }
    }
}

impl Deref for Frontends {
    type Target = [Frontend];

    fn deref(&self) -> &[Frontend] {
        &self.0
    }
}

impl FromIterator<Frontend> for Frontends {
    fn from_iter<T: IntoIterator<Item = Frontend>>(frontends: T) -> Self {
        let mut frontends: Vec<_> = frontends.into_iter().collect();
        frontends.sort_unstable();
        frontends.dedup();
        Self(frontends.into())
    }
}

impl<const N: usize> From<[Frontend; N]> for Frontends {
    fn from(frontends: [Frontend; N]) -> Self {
        frontends.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Frontends {
    type Item = &'a Frontend;
    type IntoIter = slice::Iter<'a, Frontend>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FrontendKind;

    fn ports(frontends: &Frontends) -> Vec<u16> {
        frontends.iter().map(|frontend| frontend.port).collect()
    }

    #[test]
    fn each_is_there_once_in_order() {
        let frontend = |port| Frontend { kind: FrontendKind::NodePort, address: None, port };
        let mut frontends = Frontends::from([3, 1, 2, 3].map(frontend));
        assert_eq!(ports(&frontends), [1, 2, 3]);
        assert_eq!(frontends, [1, 2, 3].map(frontend).into());
        frontends.retain(|frontend| frontend.port != 2);
        assert_eq!(ports(&frontends), [1, 3]);
    }
}
