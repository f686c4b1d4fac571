//! How many new flows a Service port takes in a second.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Serialize, Serializer};
use svclb_common::service::MAX_RATE;

/// The annotation of a Service that caps its new flows.
pub(super) const ANNOTATION: &str = "svclb.io/max-new-flows-per-second";

/// New flows that a Service port takes in a second on each node and in each family (`--max-new-flows-per-second`,
/// annotation `svclb.io/max-new-flows-per-second` of a Service); 0 is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(Option<NonZeroU32>);

impl Rate {
    /// Any number.
    pub const ANY: Self = Self(None);

    /// The number; 0 is any.
    pub fn get(self) -> u32 {
        self.0.map_or(0, NonZeroU32::get)
    }
}

impl TryFrom<u32> for Rate {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number > MAX_RATE {
            return Err(format!("{number} is not from 0 to {MAX_RATE}"));
        }
        Ok(Self(NonZeroU32::new(number)))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text
            .parse::<u32>()
            .map_err(|_no_number| format!("{text:?} is not a number from 0 to {MAX_RATE}"))?;
        Self::try_from(number)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_that_policies_can_say() {
        for (text, number) in [("0", 0), ("1", 1), ("250", 250), ("1048575", MAX_RATE)] {
            assert_eq!(text.parse::<Rate>().unwrap().get(), number);
        }
        assert_eq!("0".parse::<Rate>(), Ok(Rate::ANY));
        for wrong in ["", "-1", "1.5", "1k", " 1", "1048576", "99999999999"] {
            let message = wrong.parse::<Rate>().unwrap_err();
            assert!(message.contains("from 0 to 1048575"), "{message}");
        }
    }
}
