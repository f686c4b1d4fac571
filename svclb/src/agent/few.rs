//! A few of each: what is said of one object must not drown what is said of others.

use crate::plan::Refused;

/// How much is said of one object at once. An object has thousands of fields, the log is written while the agent waits, and
/// Events that nobody has sent yet are few.
const MOST: usize = 16;

/// The runs of `items` that are of the `same` object: the first few of each, and how many more there are.
pub(super) fn few<T>(items: &[T], same: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = (&[T], usize)> {
    items.chunk_by(same).map(|run| {
        let (told, rest) = run.split_at(run.len().min(MOST));
        (told, rest.len())
    })
}

/// The same of service ports that have no room.
pub(super) fn by_service(refused: &[Refused]) -> impl Iterator<Item = (&[Refused], usize)> {
    few(refused, |a, b| (&a.key.namespace, &a.key.name) == (&b.key.namespace, &b.key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_object_leaves_room_for_others() {
        let items: Vec<_> = (0..1000).map(|n| ("evil", n)).chain([("good", 0)]).collect();
        let told: Vec<_> = few(&items, |a, b| a.0 == b.0).collect();
        assert_eq!(told, [(&items[..MOST], 1000 - MOST), (&items[1000..], 0)]);
        assert_eq!(few::<u8>(&[], |_, _| true).count(), 0);
    }
}
