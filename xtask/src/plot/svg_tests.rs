//! Pictures: well formed, complete, and where things are.

use super::{
    super::chart::{Bar, Bars, Line, Panel, Value},
    *,
};

fn value(middle: f64) -> Value {
    Value { middle, lower: middle * 0.9, upper: middle * 1.1 }
}

/// The numbers of an attribute of all elements of a kind.
fn numbers(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
    let elements = svg.lines().filter(|line| line.starts_with(&format!("<{element} ")));
    let of = |line: &str| -> Option<f64> {
        line.split_once(&format!(" {attribute}=\""))?.1.split_once('"')?.0.parse().ok()
    };
    elements.filter_map(of).collect()
}

fn chart() -> Bars {
    let bar =
        |label: &str, series, middle, goal| Bar { label: label.into(), series, value: value(middle), goal };
    Bars {
        title: "a < b & c".into(),
        unit: "ratio".into(),
        series: vec!["one".into(), "two".into()],
        rows: vec![bar("first", 0, 1.0, None), bar("second", 1, 2.0, Some(1.5))],
    }
}

#[test]
fn a_bar_is_as_long_as_its_number_and_its_goal_is_on_the_same_scale() {
    let svg = bars(&chart()).unwrap();
    // Two squares of the legend come before.
    let widths = numbers(&svg, "rect", "width");
    assert_eq!(widths.len(), 4);
    assert!((widths[3] - widths[2] * 2.0).abs() < 0.2, "{widths:?}");
    let goals = svg.lines().filter(|line| line.starts_with("<line") && line.contains(MARK));
    let goals: Vec<f64> = goals.flat_map(|line| numbers(line, "line", "x1")).collect();
    assert_eq!(goals.len(), 1);
    assert!((goals[0] - LABELS - widths[2] * 1.5).abs() < 0.2, "{goals:?} {widths:?}");
}

#[test]
fn pictures_are_self_contained_and_escaped() {
    for svg in [bars(&chart()).unwrap(), panels("a < b & c", &[panel_of(&[1.0], false)]).unwrap()] {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b &amp; c"));
        assert_eq!(svg.matches("http").count(), 1, "but for the name of the format");
        assert!(!svg.contains("href") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}

fn panel_of(numbers: &[f64], is_log: bool) -> Panel {
    let points = numbers.iter().map(|number| (*number > 0.0).then(|| value(*number))).collect();
    Panel {
        title: "panel".into(),
        unit: "ms".into(),
        is_log,
        sizes: numbers.iter().map(f64::to_string).collect(),
        lines: vec![Line { name: "line".into(), points }],
    }
}

#[test]
fn tenfolds_are_equally_far_apart_on_a_log_axis() {
    let svg = panels("title", &[panel_of(&[1.0, 10.0, 100.0], true)]).unwrap();
    let heights = numbers(&svg, "circle", "cy");
    assert_eq!(heights.len(), 3);
    assert!(heights[0] > heights[1] && heights[1] > heights[2], "more is higher: {heights:?}");
    assert!((heights[0] - heights[1] - (heights[1] - heights[2])).abs() < 0.2, "{heights:?}");
}

#[test]
fn what_was_not_measured_has_no_point() {
    let svg = panels("title", &[panel_of(&[1.0, 0.0, 3.0], false), panel_of(&[], true)]).unwrap();
    assert_eq!(numbers(&svg, "circle", "cy").len(), 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn an_axis_has_round_steps_and_room_for_the_largest() {
    for (largest, expected) in [
        (0.0, vec![0.0, 1.0]),
        (1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (23.0, vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0]),
    ] {
        let ticks = Axis::linear(largest).ticks();
        assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
        assert!(
            ticks.iter().zip(&expected).all(|(tick, expected)| (tick - expected).abs() < 1e-9),
            "{ticks:?}"
        );
    }
}

#[test]
fn a_log_axis_begins_and_ends_at_round_numbers() {
    for (smallest, largest, expected) in [
        (0.9, 6.0, vec![0.5, 1.0, 2.0, 5.0, 10.0]),
        (0.4, 900.0, vec![1.0, 10.0, 100.0, 1000.0]),
        (1.0, 1.0, vec![1.0, 2.0]),
    ] {
        let ticks = Axis::log(smallest, largest).ticks();
        assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
        assert!(
            ticks.iter().zip(&expected).all(|(tick, expected)| (tick / expected - 1.0).abs() < 1e-9),
            "{ticks:?}"
        );
    }
}

#[test]
fn numbers_are_as_long_as_they_have_to_be() {
    for (value, expected) in
        [(0.0, "0"), (1.0, "1"), (1.25, "1.25"), (12.34, "12.3"), (1234.5, "1234"), (0.05, "0.05")]
    {
        assert_eq!(number(value), expected);
    }
}
