//! How it looks, from 80 columns on.

use std::net::SocketAddr;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table, TableState},
};

use super::{
    number::{short, short_count},
    view::{Screen, View},
};
use crate::usage::{Backend, Drop, ServicePort, Snapshot};

/// How wide a full bar is.
const BAR: usize = 10;

const HELP: &[(&str, &str)] = &[
    ("q, Ctrl-C", "end"),
    ("up, down, j, k", "go through the Services; PgUp, PgDn, g, G likewise"),
    ("Enter", "frontends and backends of the Service, and back"),
    ("Esc", "back; without the filter"),
    ("s", "sort by bytes, packets, new flows or name"),
    ("/", "filter: words that the name, an address or a node has; Enter keeps it"),
    ("d", "drops and refusals by reason, and back"),
    ("space", "pause, and go on"),
    ("?", "this, and back"),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut View, snapshot: &Snapshot) {
    let parts = Layout::vertical([Constraint::Length(3), Constraint::Min(1), Constraint::Length(1)]);
    let [top, middle, bottom] = parts.areas(frame.area());
    frame.render_widget(Paragraph::new(head(view, snapshot)), top);
    match view.screen.clone() {
        Screen::Services => services(frame, middle, view, snapshot),
        Screen::Backends(key) => match snapshot.services.iter().find(|port| port.key == key) {
            Some(port) => backends(frame, middle, view, port),
            None => frame.render_widget(Paragraph::new("This Service port is gone."), middle),
        },
        Screen::Drops => drops(frame, middle, view, &snapshot.drops),
        Screen::Help => help(frame, middle),
    }
    frame.render_widget(Paragraph::new(foot(view)), bottom);
}

fn head(view: &View, snapshot: &Snapshot) -> Vec<Line<'static>> {
    let state = match (snapshot.synced, snapshot.agent) {
        (true, Some(pid)) => format!("in sync, agent {pid}").green(),
        (_, Some(pid)) => format!("not in sync, agent {pid}").red(),
        (_, None) => "no agent runs".to_owned().red(),
    };
    let pace = if view.is_paused() {
        "  paused".to_owned().yellow()
    } else {
        format!("  every {} s", view.interval.as_secs_f64()).dark_gray()
    };
    let mut first = vec!["svclb top  ".to_owned().bold(), state, pace];
    if let Some(failure) = &view.failure {
        first.push(format!("  {failure}").red());
    }
    let sum = if snapshot.interval_seconds.is_some() {
        let rate = snapshot.total();
        let [bytes, packets, flows] = [rate.bytes, rate.packets, rate.flows].map(short);
        format!("{bytes} bytes/s  {packets} packets/s  {flows} new flows/s")
    } else {
        "the first rates come with the second look".to_owned()
    };
    let worst = worst(&snapshot.drops);
    let drops = if worst.is_empty() {
        "nothing dropped or refused".to_owned().dark_gray()
    } else {
        let told = worst.iter().take(4).map(|drop| {
            let rate = drop.per_second.filter(|rate| *rate > 0.0);
            let rate = rate.map(|rate| format!(" ({}/s)", short(rate))).unwrap_or_default();
            format!("{} {}{rate}", drop.reason, short_count(drop.count))
        });
        format!("dropped: {}", told.collect::<Vec<_>>().join(", ")).into()
    };
    vec![Line::from(first), Line::from(sum), Line::from(drops)]
}

/// What is dropped, most of it now first.
fn worst(drops: &[Drop]) -> Vec<&Drop> {
    let mut worst: Vec<_> = drops.iter().filter(|drop| drop.count > 0).collect();
    let rate = |drop: &Drop| drop.per_second.unwrap_or_default();
    worst.sort_by(|a, b| rate(b).total_cmp(&rate(a)).then(b.count.cmp(&a.count)));
    worst
}

fn foot(view: &View) -> Line<'static> {
    if view.is_typing {
        return Line::from(vec![format!("/{}", view.filter).into(), "█".into()]);
    }
    let mut keys = vec![
        Span::from(format!("q end  Enter backends  s sort: {}  / filter", view.order.as_str())),
        "  d drops  space pause  ? help".into(),
    ];
    if !view.filter.is_empty() {
        keys.push(format!("  [{}]", view.filter).yellow());
    }
    Line::from(keys).dark_gray()
}

fn heading(names: &[&'static str], right: usize) -> Row<'static> {
    // The first columns are text, the others numbers.
    let cells = names.iter().enumerate().map(|(at, name)| {
        let line = Line::from(*name);
        Cell::from(if at < right { line } else { line.right_aligned() })
    });
    Row::new(cells).style(Style::new().bold().fg(Color::Cyan))
}

fn number(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn services(frame: &mut Frame<'_>, area: Rect, view: &mut View, snapshot: &Snapshot) {
    let shown = view.shown(snapshot);
    if shown.is_empty() {
        let why = if view.filter.is_empty() { "There are no Services." } else { "No Service is like that." };
        frame.render_widget(Paragraph::new(why), area);
        return;
    }
    let widths = [
        Constraint::Min(30),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    let rows = shown.iter().map(|port| {
        let rates = port.per_second.map(|rate| [rate.bytes, rate.packets, rate.flows].map(short));
        let [bytes, packets, flows] = rates.unwrap_or_default();
        let active = port.backends.iter().filter(|backend| !backend.lists.is_empty()).count();
        let cells = [
            Cell::from(port.title()),
            Cell::from(transport(port)),
            number(bytes),
            number(packets),
            number(flows),
            number(active.to_string()),
        ];
        let row = Row::new(cells);
        if active == 0 { row.red() } else { row }
    });
    let names = ["SERVICE", "PORT", "BYTES/S", "PACKETS/S", "FLOWS/S", "BACKENDS"];
    let table =
        Table::new(rows, widths).header(heading(&names, 2)).row_highlight_style(Style::new().reversed());
    let mut state = TableState::new().with_selected(Some(view.place(&shown))).with_offset(view.scrolled);
    frame.render_stateful_widget(table, area, &mut state);
    view.scrolled = state.offset();
}

/// `TCP4`.
fn transport(port: &ServicePort) -> String {
    format!("{}{}", port.protocol, port.ip_family.trim_start_matches("IPv"))
}

fn backends(frame: &mut Frame<'_>, area: Rect, view: &mut View, port: &ServicePort) {
    let mut about = vec![Line::from(vec![
        port.title().bold(),
        format!("  {}  {}", transport(port), port.algorithm).into(),
    ])];
    about.extend(frontends(port, usize::from(area.width)).into_iter().map(Line::from));
    let lines = u16::try_from(about.len()).unwrap_or(u16::MAX).min(area.height / 2);
    let [top, rest] = Layout::vertical([Constraint::Length(lines + 1), Constraint::Min(1)]).areas(area);
    frame.render_widget(Paragraph::new(about), top);
    if port.backends.is_empty() {
        frame.render_widget(Paragraph::new("No backends: clients are refused.").red(), rest);
        return;
    }
    let widths = [
        Constraint::Min(21),
        Constraint::Length(14),
        Constraint::Length(11),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Length(15),
    ];
    let shares = shares(&port.backends);
    let last = port.backends.len().saturating_sub(1);
    view.scrolled = view.scrolled.min(last);
    let rows = port.backends.iter().zip(shares).skip(view.scrolled).map(|(backend, share)| {
        let state = match (backend.state, backend.lists.is_empty()) {
            ("active", true) => "unlisted",
            (state, _) => state,
        };
        Row::new([
            Cell::from(SocketAddr::new(backend.address, backend.port).to_string()),
            Cell::from(backend.node.clone().unwrap_or_default()),
            Cell::from(state),
            number(backend.flows_per_second.map(short).unwrap_or_default()),
            number(short_count(backend.traffic.flows)),
            Cell::from(bar(share)),
        ])
    });
    let names = ["BACKEND", "NODE", "STATE", "FLOWS/S", "FLOWS", "SHARE"];
    let mut table = Table::new(rows, widths);
    let mut heading: Vec<_> = names.iter().map(|name| Cell::from(*name)).collect();
    for at in 3..5 {
        heading[at] = number(names[at].to_owned());
    }
    table = table.header(Row::new(heading).style(Style::new().bold().fg(Color::Cyan)));
    frame.render_widget(table, rest);
}

/// As many on a line as there is room for.
fn frontends(port: &ServicePort, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for frontend in &port.frontends {
        let text = format!("{} {}", frontend.kind, SocketAddr::new(frontend.address, frontend.port));
        match lines.last_mut() {
            Some(line) if line.len() + 2 + text.len() <= width => {
                line.push_str(", ");
                line.push_str(&text);
            }
            _ => lines.push(text),
        }
    }
    lines
}

/// Of new flows: of those of now, or while there are none, of all so far.
#[expect(clippy::cast_precision_loss, reason = "it is read by people")]
fn shares(backends: &[Backend]) -> Vec<f64> {
    let now: Vec<_> = backends.iter().map(|backend| backend.flows_per_second.unwrap_or_default()).collect();
    let so_far: Vec<_> = backends.iter().map(|backend| backend.traffic.flows as f64).collect();
    let counts = if now.iter().any(|rate| *rate > 0.0) { now } else { so_far };
    let sum: f64 = counts.iter().sum();
    counts.into_iter().map(|count| if sum > 0.0 { count / sum } else { 0.0 }).collect()
}

#[expect(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share is from 0 to 1")]
fn bar(share: f64) -> String {
    let full = (share * BAR as f64).round() as usize;
    format!("{}{} {:3.0}%", "█".repeat(full), "·".repeat(BAR.saturating_sub(full)), share * 100.0)
}

fn drops(frame: &mut Frame<'_>, area: Rect, view: &mut View, drops: &[Drop]) {
    let worst = worst(drops);
    if worst.is_empty() {
        frame.render_widget(Paragraph::new("Nothing was dropped or refused."), area);
        return;
    }
    view.scrolled = view.scrolled.min(worst.len() - 1);
    let rows = worst.iter().skip(view.scrolled).map(|drop| {
        let rate = drop.per_second.map(short).unwrap_or_default();
        Row::new([Cell::from(drop.reason), number(rate), number(short_count(drop.count))])
    });
    let widths = [Constraint::Length(30), Constraint::Length(10), Constraint::Length(10)];
    let table = Table::new(rows, widths).header(heading(&["REASON", "PER S", "SO FAR"], 1));
    frame.render_widget(table, area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let rows = HELP.iter().map(|(keys, effect)| Row::new([Cell::from(*keys).bold(), Cell::from(*effect)]));
    frame.render_widget(Table::new(rows, [Constraint::Length(16), Constraint::Min(30)]), area);
}
