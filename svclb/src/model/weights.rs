//! How much of the traffic an endpoint is to get.

use std::{collections::BTreeMap, net::IpAddr, ops::RangeInclusive};

use super::parse_address;

/// The annotation of a Service that weighs its endpoints: `10.1.0.1=3,10.1.0.2=1`, by address.
pub(super) const ANNOTATION: &str = "svclb.io/weights";

/// What an endpoint has that is not named.
pub(super) const DEFAULT: u8 = 1;

/// What an endpoint may have; 0 is nothing new.
const ALLOWED: RangeInclusive<u8> = 0..=100;

/// The weights that `annotation` gives, and a message for each of its entries that gives none. Of two entries for
/// one address the first counts.
pub(super) fn parse(annotation: &str) -> (BTreeMap<IpAddr, u8>, Vec<String>) {
    let mut weights = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in annotation.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match parse_entry(entry) {
            Ok((address, _)) if weights.contains_key(&address) => {
                wrong.push(format!("{entry:?} weighs an address for the second time: ignored"));
            }
            Ok((address, weight)) => {
                weights.insert(address, weight);
            }
            Err(reason) => wrong.push(format!("{entry:?} {reason}: ignored")),
        }
    }
    (weights, wrong)
}

fn parse_entry(entry: &str) -> Result<(IpAddr, u8), &'static str> {
    let (address, weight) = entry.split_once('=').ok_or("is not of the form ADDRESS=WEIGHT")?;
    let address = parse_address(address.trim()).ok_or("does not begin with an IP address")?;
    let weight = weight.trim().parse().ok().filter(|weight| ALLOWED.contains(weight));
    Ok((address, weight.ok_or("has no weight from 0 to 100")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_judged_by_itself() {
        let table: [(&str, &str, usize); 11] = [
            ("", "", 0),
            ("10.1.0.1=3", "10.1.0.1=3", 0),
            ("10.1.0.2=1, fd00::1 = 100 ,", "10.1.0.2=1 fd00::1=100", 0),
            ("010.1.0.1=3", "10.1.0.1=3", 0),
            ("10.1.0.1", "", 1),
            ("x=3", "", 1),
            ("10.1.0.1=0,10.1.0.2=2", "10.1.0.1=0 10.1.0.2=2", 0),
            ("10.1.0.1=101", "", 1),
            ("10.1.0.1=-1", "", 1),
            ("10.1.0.1=1.5,=,3", "", 3),
            ("10.1.0.1=1,10.1.0.1=2", "10.1.0.1=1", 1),
        ];
        for (text, expected, wrong) in table {
            let (weights, messages) = parse(text);
            let shown: Vec<_> =
                weights.iter().map(|(address, weight)| format!("{address}={weight}")).collect();
            assert_eq!((shown.join(" ").as_str(), messages.len()), (expected, wrong), "{text:?}");
        }
    }
}
