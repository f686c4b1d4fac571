//! What becomes of each map of an older layout.

/// What becomes of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is what it was, in shape and meaning: both layouts have it at the same time.
    Shared,
    /// It is what it was, and each layout has its own: the older one's becomes empty first.
    Copied,
    /// What is in it is converted.
    Converted,
    /// The older layout had none, or what is in it is not worth being kept.
    Fresh,
}
