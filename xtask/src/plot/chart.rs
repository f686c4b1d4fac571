//! What is drawn, without where.

/// A number with its quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) middle: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// One bar of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) label: String,
    /// Its place in [`Bars::series`].
    pub(super) series: usize,
    pub(super) value: Value,
    /// Where it should end at most.
    pub(super) goal: Option<f64>,
}

/// Bars that lie, one below the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bars {
    pub(super) title: String,
    /// What the numbers are.
    pub(super) unit: String,
    pub(super) series: Vec<String>,
    pub(super) rows: Vec<Bar>,
}

/// One line of a panel; what was not measured has no point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<Option<Value>>,
}

/// Lines over names of sizes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    /// What the numbers are.
    pub(super) unit: String,
    /// By tenfolds instead of by equal steps.
    pub(super) is_log: bool,
    pub(super) sizes: Vec<String>,
    pub(super) lines: Vec<Line>,
}
