//! What is asked for of the Services.

use crate::usage::{Filter, Order};

/// How many Services are told at once unless fewer are asked for.
const LIMIT: usize = 100;
/// How many are told at once at most.
const MOST: usize = 500;
/// How many backends of a Service are told unless fewer or more are asked for.
const BACKENDS: usize = 32;
/// How many are told at most.
const MOST_BACKENDS: usize = 1_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Words that a Service has to have.
    pub(super) filter: Filter,
    /// What comes first.
    pub(super) order: Order,
    /// How many are left out at the beginning.
    pub(super) offset: usize,
    /// How many follow.
    pub(super) limit: usize,
    /// How many backends of each.
    pub(super) backends: usize,
}

impl Query {
    /// From the text behind the question mark, or a line that says what is wrong in it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut query = Self {
            filter: Filter::default(),
            order: Order::default(),
            offset: 0,
            limit: LIMIT,
            backends: BACKENDS,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let number = || value.parse::<usize>().map_err(|_no| format!("{name} {value:?} is no number"));
            match name.as_ref() {
                "filter" => query.filter = Filter::new(&value),
                "sort" => {
                    query.order = value.parse().map_err(|()| {
                        format!("sort {value:?} is unknown; use bytes, packets, flows or name")
                    })?;
                }
                "offset" => query.offset = number()?,
                "limit" => query.limit = number()?.min(MOST),
                "backends" => query.backends = number()?.min(MOST_BACKENDS),
                _ => return Err(format!("{name:?} is unknown; use filter, sort, offset, limit or backends")),
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let all = Query::new("").unwrap();
        assert_eq!((all.limit, all.offset, all.order), (LIMIT, 0, Order::Bytes));
        let some = Query::new("filter=shop%2Fweb+10.0&sort=name&limit=9999999&offset=3&backends=0").unwrap();
        let expected = Query {
            filter: Filter::new("shop/web 10.0"),
            order: Order::Name,
            offset: 3,
            limit: MOST,
            backends: 0,
        };
        assert_eq!(some, expected);
        let wrong = [
            ("limit=-1", "limit \"-1\" is no number"),
            ("sort=size", "sort \"size\" is unknown; use bytes, packets, flows or name"),
            ("a=b", "\"a\" is unknown; use filter, sort, offset, limit or backends"),
        ];
        for (text, line) in wrong {
            assert_eq!(Query::new(text).unwrap_err(), line);
        }
    }
}
