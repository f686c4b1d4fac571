//! What keys do, and how it looks in 80 columns and 24 lines.

use std::time::{Duration, Instant};

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{
    draw::draw,
    view::{Next, View},
};
use crate::usage::{Counters, Drop, Order, Reading, Snapshot, fixture};

/// Three Services, of which two carry something.
fn snapshot() -> Snapshot {
    let at = Instant::now();
    let reading = |round: u64| {
        let mut ports: Vec<_> =
            (0..3).map(|number| fixture::port(number, 1_000 + round * number * 4_000)).collect();
        ports[0].backends.clear();
        let drops = [("no_backend", 4 * round), ("rate_limited", 0), ("too_big", 1)];
        let drops = drops.map(|(reason, count)| Drop { reason, count, per_second: None });
        let at = at + Duration::from_secs(2 * round);
        Reading { at, synced: true, agent: Some(4711), ports, drops: drops.into() }
    };
    Snapshot::between(Some(&Counters::of(&reading(0))), reading(1))
}

/// The screen after these keys, without the spaces at the ends of its lines.
fn screen(view: &mut View, keys: &str) -> Vec<String> {
    screen_in(view, keys, (80, 24))
}

fn screen_in(view: &mut View, keys: &str, (width, height): (u16, u16)) -> Vec<String> {
    let snapshot = snapshot();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    for key in keys.chars() {
        assert_eq!(view.press(pressed(key), &snapshot), Next::Stay, "{key:?}");
        terminal.draw(|frame| draw(frame, view, &snapshot)).unwrap();
    }
    terminal.draw(|frame| draw(frame, view, &snapshot)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    let mut lines: Vec<_> = (0..height).map(line).collect();
    let foot = lines.pop().unwrap();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.push(foot);
    lines
}

fn pressed(key: char) -> KeyEvent {
    let code = match key {
        '\n' => KeyCode::Enter,
        '\u{1b}' => KeyCode::Esc,
        '\u{8}' => KeyCode::Backspace,
        '↓' => KeyCode::Down,
        key => KeyCode::Char(key),
    };
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn view() -> View {
    View::new(Order::Bytes, Duration::from_secs(2))
}

#[test]
fn services_by_rate() {
    let expected = [
        "svclb top  in sync, agent 4711  every 2 s",
        "600k bytes/s  6.00k packets/s  600 new flows/s",
        "dropped: no_backend 4 (2.00/s), too_big 1",
        "SERVICE                               PORT   BYTES/S PACKETS/S  FLOWS/S BACKENDS",
        "shop/s2:http                          TCP4      400k     4.00k      400        2",
        "shop/s1:http                          TCP4      200k     2.00k      200        2",
        "shop/s0:http                          TCP4         0         0        0        0",
        "q end  Enter backends  s sort: bytes  / filter  d drops  space pause  ? help",
    ];
    assert_eq!(screen(&mut view(), ""), expected);
}

#[test]
fn backends_by_share() {
    let expected = [
        "svclb top  in sync, agent 4711  every 2 s",
        "600k bytes/s  6.00k packets/s  600 new flows/s",
        "dropped: no_backend 4 (2.00/s), too_big 1",
        "shop/s1:http  TCP4  random",
        "ClusterIP 10.96.0.1:80",
        "",
        "BACKEND               NODE           STATE        FLOWS/S  FLOWS SHARE",
    ];
    let lines = screen(&mut view(), "j\n");
    assert_eq!(lines[..7], expected);
    assert!(lines[7].starts_with("10.0.1.1:8080         node0          active"), "{}", lines[7]);
    assert!(lines[7].ends_with("███·······  25%"), "{}", lines[7]);
    assert!(lines[8].ends_with("████████··  75%"), "{}", lines[8]);
    let lines = screen(&mut view(), "sss\n");
    assert_eq!(
        lines[3..7],
        ["shop/s0:http  TCP4  random", "ClusterIP 10.96.0.0:80", "", "No backends: clients are refused."]
    );
}

#[test]
fn keys_do_what_people_expect() {
    let first = |keys: &str| screen(&mut view(), keys)[4].split(':').next().unwrap().to_owned();
    let table = [
        ("", "shop/s2"),
        ("sss", "shop/s0"),
        ("ssss", "shop/s2"),
        ("/s1\n", "shop/s1"),
        ("/s1\n\u{1b}", "shop/s2"),
        ("/s1x\u{8}", "shop/s1"),
        ("/10.96.0.0\n", "shop/s0"),
        ("/node1 s2", "shop/s2"),
        ("j\n\n", "shop/s2"),
        ("??", "shop/s2"),
        ("dd", "shop/s2"),
    ];
    for (keys, expected) in table {
        assert_eq!(first(keys), expected, "{keys:?}");
    }
    let has = |keys: &str, text: &str| {
        let lines = screen(&mut view(), keys);
        assert!(lines.iter().any(|line| line.contains(text)), "{keys:?}: {lines:#?}");
    };
    has(" ", "paused");
    has("d", "no_backend                           2.00          4");
    has("?", "end");
    has("/none", "No Service is like that.");
    has("/none", "/none█");
    has("jG\n", "shop/s0:http  TCP4");
    has("↓↓k\n", "shop/s1:http  TCP4");

    let mut view = view();
    let lines = screen(&mut view, "  ");
    assert!(!lines[0].contains("paused"), "{lines:#?}");
    for key in [pressed('q'), KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)] {
        assert_eq!(view.press(key, &snapshot()), Next::End);
    }
    view.press(pressed('/'), &snapshot());
    assert_eq!(view.press(pressed('q'), &snapshot()), Next::Stay, "a letter of the filter");
}

#[test]
fn the_selection_stays_on_its_service_and_in_sight() {
    let mut view = view();
    let snapshot = snapshot();
    view.press(pressed('j'), &snapshot);
    let shown = view.shown(&snapshot);
    assert_eq!(shown[view.place(&shown)].name, "s1");
    view.press(pressed('s'), &snapshot);
    view.press(pressed('s'), &snapshot);
    view.press(pressed('s'), &snapshot);
    let shown = view.shown(&snapshot);
    assert_eq!((view.place(&shown), shown[1].name.as_str()), (1, "s1"));
    // Head, heading, one Service and the keys.
    let lines = screen_in(&mut view, "G", (80, 6));
    assert!(lines[4].starts_with("shop/s2"), "{lines:#?}");
}

#[test]
fn any_size_is_drawn() {
    for size in [(1, 1), (10, 3), (40, 10), (300, 100)] {
        for keys in ["", "\n", "d", "?", "/x"] {
            screen_in(&mut view(), keys, size);
        }
    }
}

#[test]
fn what_went_wrong_is_told() {
    let mut view = view();
    view.failed(Some("no pins".into()));
    assert!(screen(&mut view, "")[0].ends_with("no pins"));
}
