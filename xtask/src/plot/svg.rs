//! Charts as SVG, without anything from outside.
//!
//! There is no background, and all colours are of middle brightness: they are read on white and on black.

use std::fmt::{self, Write as _};

use super::chart::{Bars, Line, Panel, Value};

const COLOURS: [&str; 6] = ["#2f81f7", "#2da44e", "#d4762c", "#e5534b", "#986ee2", "#8b949e"];
const TEXT: &str = "#768390";
/// Goals.
const MARK: &str = "#e5534b";

const WIDTH: f64 = 860.0;
const LABELS: f64 = 300.0;
const BAR: f64 = 18.0;
const PANEL: (f64, f64) = (420.0, 260.0);

/// A chart of bars.
pub(super) fn bars(chart: &Bars) -> Result<String, fmt::Error> {
    let top = 62.0;
    let height = top + BAR * float(chart.rows.len()) + 30.0;
    let largest = chart.rows.iter().flat_map(|bar| [bar.value.middle, bar.goal.unwrap_or(0.0)]);
    let axis = Axis::linear(largest.fold(0.0, f64::max));
    let (left, right) = (LABELS, WIDTH - 60.0);
    let x = |value: f64| left + axis.place(value) * (right - left);
    let mut svg = Svg::new(WIDTH, height)?;
    svg.text(8.0, 20.0, "start", 15, &chart.title)?;
    svg.legend(8.0, 42.0, chart.series.iter().map(String::as_str))?;
    for tick in axis.ticks() {
        svg.line((x(tick), top - 4.0), (x(tick), height - 24.0), TEXT, "0.3")?;
        svg.text(x(tick), height - 8.0, "middle", 11, &number(tick))?;
    }
    svg.text(left - 8.0, height - 8.0, "end", 11, &chart.unit)?;
    for (index, bar) in chart.rows.iter().enumerate() {
        let y = top + BAR * float(index);
        let Value { middle, lower, upper } = bar.value;
        svg.text(left - 8.0, y + 12.0, "end", 11, &bar.label)?;
        svg.bar((left, y + 3.0), (x(middle) - left, BAR - 6.0), colour(bar.series))?;
        svg.line((x(lower), y + BAR / 2.0), (x(upper), y + BAR / 2.0), TEXT, "1")?;
        if let Some(goal) = bar.goal {
            svg.line((x(goal), y + 0.5), (x(goal), y + BAR - 0.5), MARK, "1")?;
        }
        svg.text(right + 8.0, y + 12.0, "start", 11, &number(middle))?;
    }
    svg.end()
}

/// Panels, two in a row.
pub(super) fn panels(title: &str, panels: &[Panel]) -> Result<String, fmt::Error> {
    let (width, height) = PANEL;
    let top = 54.0;
    let mut svg = Svg::new(width * 2.0, top + height * float(panels.len().div_ceil(2)))?;
    svg.text(8.0, 20.0, "start", 15, title)?;
    let names =
        panels.first().into_iter().flat_map(|panel| panel.lines.iter().map(|line| line.name.as_str()));
    svg.legend(8.0, 42.0, names)?;
    for (index, one) in panels.iter().enumerate() {
        panel(&mut svg, (width * float(index % 2), top + height * float(index / 2)), one)?;
    }
    svg.end()
}

fn panel(svg: &mut Svg, (x0, y0): (f64, f64), panel: &Panel) -> fmt::Result {
    let (width, height) = PANEL;
    let (left, right, top, bottom) = (x0 + 56.0, x0 + width - 16.0, y0 + 30.0, y0 + height - 28.0);
    let values = || panel.lines.iter().flat_map(|line| line.points.iter().flatten());
    let largest = values().map(|value| value.middle).fold(0.0, f64::max);
    let smallest = values().map(|value| value.middle).filter(|value| *value > 0.0).fold(largest, f64::min);
    let axis = if panel.is_log { Axis::log(smallest, largest) } else { Axis::linear(largest) };
    let steps = float(panel.sizes.len().saturating_sub(1).max(1));
    let x = |index: usize| left + 20.0 + float(index) / steps * (right - left - 40.0);
    let y = |value: f64| bottom - axis.place(value) * (bottom - top);
    svg.text(left, y0 + 18.0, "start", 13, &format!("{} ({})", panel.title, panel.unit))?;
    for tick in axis.ticks() {
        svg.line((left, y(tick)), (right, y(tick)), TEXT, "0.3")?;
        svg.text(left - 6.0, y(tick) + 4.0, "end", 11, &number(tick))?;
    }
    for (index, size) in panel.sizes.iter().enumerate() {
        svg.text(x(index), bottom + 18.0, "middle", 11, size)?;
    }
    for (series, Line { points, .. }) in panel.lines.iter().enumerate() {
        let there =
            points.iter().enumerate().filter_map(|(index, value)| Some((x(index), y((*value)?.middle))));
        let there: Vec<(f64, f64)> = there.collect();
        for pair in there.windows(2) {
            svg.line(pair[0], pair[1], colour(series), "1")?;
        }
        for (x, y) in there {
            svg.dot(x, y, colour(series))?;
        }
    }
    Ok(())
}

fn colour(series: usize) -> &'static str {
    COLOURS[series % COLOURS.len()]
}

/// Where numbers are between 0 and 1.
enum Axis {
    Linear {
        step: f64,
        end: f64,
    },
    /// Both are one, two or five times a power of ten.
    Log {
        begin: f64,
        end: f64,
    },
}

impl Axis {
    fn linear(largest: f64) -> Self {
        let rough = if largest > 0.0 { largest / 5.0 } else { 1.0 };
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        Self::Linear { step, end: (largest / step).ceil().max(1.0) * step }
    }

    fn log(smallest: f64, largest: f64) -> Self {
        let begin = steps().rev().find(|step| *step <= smallest).unwrap_or(1.0);
        let end = steps().find(|step| *step >= largest && *step > begin).unwrap_or(begin * 10.0);
        Self::Log { begin, end }
    }

    fn place(&self, value: f64) -> f64 {
        match self {
            Self::Linear { end, .. } => value / end,
            Self::Log { begin, end } => (value / begin).log10() / (end / begin).log10(),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Linear { step, end } => {
                // There are six at most.
                (0..=10_u32)
                    .map(|n| f64::from(n) * step)
                    .take_while(|tick| *tick < end + step / 2.0)
                    .collect()
            }
            Self::Log { begin, end } => {
                let inside = || steps().filter(|step| (begin..=end).contains(&step));
                // Every third is a power of ten.
                let every = if inside().count() > 8 { 3 } else { 1 };
                let first = if every == 3 { inside().position(is_power).unwrap_or(0) } else { 0 };
                inside().skip(first).step_by(every).collect()
            }
        }
    }
}

/// One, two and five times each power of ten that a chart may have.
fn steps() -> impl DoubleEndedIterator<Item = f64> {
    (-4..=8).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)))
}

fn is_power(step: f64) -> bool {
    step.log10().fract().abs() < 1e-9
}

/// A picture that is not finished.
struct Svg(String);

impl Svg {
    fn new(width: f64, height: f64) -> Result<Self, fmt::Error> {
        let mut text = String::new();
        writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\">"
        )?;
        Ok(Self(text))
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, size: u8, text: &str) -> fmt::Result {
        let text = escaped(text);
        writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{TEXT}\">{text}</text>"
        )
    }

    fn line(
        &mut self,
        (x1, y1): (f64, f64),
        (x2, y2): (f64, f64),
        colour: &str,
        opacity: &str,
    ) -> fmt::Result {
        writeln!(
            self.0,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
             stroke-width=\"2\" stroke-opacity=\"{opacity}\"/>"
        )
    }

    fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) -> fmt::Result {
        writeln!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        )
    }

    fn dot(&mut self, x: f64, y: f64, colour: &str) -> fmt::Result {
        writeln!(self.0, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>")
    }

    fn legend<'a>(&mut self, mut x: f64, y: f64, names: impl Iterator<Item = &'a str>) -> fmt::Result {
        for (series, name) in names.enumerate() {
            self.bar((x, y - 9.0), (10.0, 10.0), colour(series))?;
            self.text(x + 14.0, y, "start", 12, name)?;
            // Fonts differ; most letters are narrower.
            x += 34.0 + 7.0 * float(name.chars().count());
        }
        Ok(())
    }

    fn end(mut self) -> Result<String, fmt::Error> {
        writeln!(self.0, "</svg>")?;
        Ok(self.0)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Three digits at least, and no zeros that tell nothing.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
#[path = "svg_tests.rs"]
mod tests;
