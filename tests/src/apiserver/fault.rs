//! What goes wrong with which call.

use super::call::Verb;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing, so that a later call is hit.
    None,
    /// It is refused by this status.
    Status(u16),
    /// The answer breaks off after so many bytes, by the end of the connection.
    Cut(usize),
    /// The answer breaks off after so many bytes, and the connection stays.
    Stall(usize),
    /// A watch begins well and tells an error of this code.
    ErrorEvent(u16),
    /// A watch ends at once, in good order.
    End,
    /// A watch never says that its list is complete.
    NoBookmark,
    /// A watch tells something that is no event; if it begins with a list, in place of the first object.
    Garbage,
}

/// What goes wrong with watches that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// They end in good order.
    End,
    /// Their connections break within an event.
    Cut,
    /// They tell that their version has expired.
    Gone,
}

/// Calls that are to go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) plural: &'static str,
    pub(crate) verb: Verb,
    pub(crate) fault: Fault,
    pub(crate) times: usize,
}

/// Takes what is to go wrong with this call.
pub(crate) fn take(plans: &mut Vec<Plan>, plural: &str, verb: Verb) -> Option<Fault> {
    let index = plans.iter().position(|plan| plan.plural == plural && plan.verb == verb)?;
    let plan = &mut plans[index];
    let fault = plan.fault;
    plan.times = plan.times.saturating_sub(1);
    if plan.times == 0 {
        plans.remove(index);
    }
    Some(fault)
}
