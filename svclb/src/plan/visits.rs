//! How much of the tables is looked at: counted in tests, to show that a plan costs what changes.

#[cfg(test)]
thread_local! {
    static COUNT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts `elements` that were looked at.
#[cfg(test)]
pub(super) fn visit(elements: usize) {
    COUNT.with(|count| count.set(count.get() + elements));
}

/// Counts nothing.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn visit(_elements: usize) {}

/// How many elements this thread looks at while it does `work`.
#[cfg(test)]
pub(super) fn visits<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}
