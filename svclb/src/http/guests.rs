//! The connections that a server has at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// How many connections a server has at once.
pub(super) const MOST: usize = 128;
/// How many bytes of answers they hold together, but for the last answer, which may be longer.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// The connections that a server has at once. Nobody is turned away: when there are too many, one of those that are there
/// goes, so that who asks and reads is answered however many others do neither.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<Present>>);

#[derive(Default)]
struct Present {
    /// In the order in which they came.
    guests: BTreeMap<u64, Guest>,
    next: u64,
}

struct Guest {
    leave: CancellationToken,
    has_asked: bool,
    bytes: usize,
}

/// The place of one connection, free again when this is dropped.
pub(super) struct Seat {
    number: u64,
    /// Cancelled when the connection has to end for another one.
    pub(super) leave: CancellationToken,
    guests: Guests,
}

impl Guests {
    /// A place for one more.
    pub(super) fn seat(&self) -> Seat {
        let mut present = self.present();
        if present.guests.len() >= MOST {
            present.dismiss_one();
        }
        let (number, leave) = (present.next, CancellationToken::new());
        present.next += 1;
        present.guests.insert(number, Guest { leave: leave.clone(), has_asked: false, bytes: 0 });
        Seat { number, leave, guests: self.clone() }
    }

    /// Lets one go, so that what it has is free.
    pub(super) fn dismiss_one(&self) {
        self.present().dismiss_one();
    }

    /// How many there are, and how many bytes they hold.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let present = self.present();
        (present.guests.len(), present.bytes())
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn bytes(&self) -> usize {
        self.guests.values().map(|guest| guest.bytes).sum()
    }

    /// Who has not asked yet goes first, and of those who came first.
    fn dismiss_one(&mut self) {
        let silent = self.guests.iter().find(|(_, guest)| !guest.has_asked);
        if let Some(number) = silent.or_else(|| self.guests.iter().next()).map(|(number, _)| *number) {
            self.dismiss(number);
        }
    }

    fn dismiss(&mut self, number: u64) {
        if let Some(guest) = self.guests.remove(&number) {
            guest.leave.cancel();
        }
    }
}

impl Seat {
    /// The client has asked.
    pub(super) fn asked(&self) {
        if let Some(guest) = self.guests.present().guests.get_mut(&self.number) {
            guest.has_asked = true;
        }
    }

    /// The client is to read so many bytes. If all of them are too many, those go who have had the longest time to read.
    pub(super) fn holds(&self, bytes: usize) {
        let mut present = self.guests.present();
        if let Some(guest) = present.guests.get_mut(&self.number) {
            guest.bytes = bytes;
        }
        while present.bytes() > MOST_BYTES {
            let mut readers = present.guests.iter().filter(|(_, guest)| guest.bytes > 0);
            let Some(number) = readers.find(|(number, _)| **number != self.number).map(|(number, _)| *number)
            else {
                return;
            };
            present.dismiss(number);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests.present().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_asked_stays_longest() {
        let guests = Guests::default();
        let mut seats: Vec<_> = (0..MOST).map(|_| guests.seat()).collect();
        seats[0].asked();
        seats.push(guests.seat());
        assert!(seats[1].leave.is_cancelled() && !seats[0].leave.is_cancelled());
        assert_eq!(guests.count(), (MOST, 0));
        seats.iter().for_each(Seat::asked);
        seats.push(guests.seat());
        assert!(seats[0].leave.is_cancelled());
        drop(seats);
        assert_eq!(guests.count(), (0, 0));
    }

    #[test]
    fn answers_take_a_limited_amount_of_memory() {
        let guests = Guests::default();
        let seats = [guests.seat(), guests.seat(), guests.seat()];
        seats[0].holds(MOST_BYTES / 2);
        seats[1].holds(MOST_BYTES / 2);
        assert_eq!(guests.count(), (3, MOST_BYTES));
        seats[2].holds(1);
        assert!(seats[0].leave.is_cancelled() && !seats[1].leave.is_cancelled());
        // A single one may be as long as it is.
        seats[2].holds(MOST_BYTES * 2);
        assert_eq!(guests.count(), (1, MOST_BYTES * 2));
        assert!(!seats[2].leave.is_cancelled());
    }
}
