//! What is looked at, and how keys change it.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::{
    model::ServicePortKey,
    usage::{Filter, Order, ServicePort, Snapshot, rank},
};

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) order: Order,
    pub(super) interval: Duration,
    pub(super) screen: Screen,
    /// The text of the filter.
    pub(super) filter: String,
    /// Whether keys go into it.
    pub(super) is_typing: bool,
    /// The line that keys have gone to; it stays on its Service while others pass by.
    selected: Option<ServicePortKey>,
    /// The first line that is drawn of what scrolls.
    pub(super) scrolled: usize,
    is_paused: bool,
    /// Why the last look has failed.
    pub(super) failure: Option<String>,
}

/// What the screen is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// All Services.
    Services,
    /// A service port and its backends.
    Backends(ServicePortKey),
    /// Reasons for which packets and calls are dropped.
    Drops,
    /// What keys do.
    Help,
}

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes on.
    Stay,
    /// The user has seen enough.
    End,
}

/// How many lines the keys for pages go.
const PAGE: usize = 10;

impl View {
    pub(super) fn new(order: Order, interval: Duration) -> Self {
        Self {
            order,
            interval,
            screen: Screen::Services,
            filter: String::new(),
            is_typing: false,
            selected: None,
            scrolled: 0,
            is_paused: false,
            failure: None,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Why the last look has failed, if it has.
    pub(super) fn failed(&mut self, failure: Option<String>) {
        self.failure = failure;
    }

    /// The service ports that are shown, in order.
    pub(super) fn shown<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a ServicePort> {
        let ranked = rank(&snapshot.services, &Filter::new(&self.filter), self.order);
        ranked.into_iter().map(|at| &snapshot.services[at]).collect()
    }

    /// The place of the selected one among those that are shown.
    pub(super) fn place(&self, shown: &[&ServicePort]) -> usize {
        let at = |key: &ServicePortKey| shown.iter().position(|port| port.key == *key);
        self.selected.as_ref().and_then(at).unwrap_or(0)
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent, snapshot: &Snapshot) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if matches!(key.code, KeyCode::Char('c' | 'd')) { Next::End } else { Next::Stay };
        }
        if self.is_typing {
            self.typed(key.code);
            return Next::Stay;
        }
        match key.code {
            KeyCode::Char('q') => return Next::End,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.toggle(Screen::Help),
            KeyCode::Char('d') => self.toggle(Screen::Drops),
            KeyCode::Char(' ' | 'p') => self.is_paused = !self.is_paused,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('/') => {
                self.go(Screen::Services);
                self.is_typing = true;
            }
            KeyCode::Esc if self.screen == Screen::Services => self.filter.clear(),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') if self.screen == Screen::Services => {
                let shown = self.shown(snapshot);
                if let Some(port) = shown.get(self.place(&shown)) {
                    self.go(Screen::Backends(port.key.clone()));
                }
            }
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Enter => self.go(Screen::Services),
            KeyCode::Down | KeyCode::Char('j') => self.step(snapshot, |at| at.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.step(snapshot, |at| at.saturating_sub(1)),
            KeyCode::PageDown => self.step(snapshot, |at| at.saturating_add(PAGE)),
            KeyCode::PageUp => self.step(snapshot, |at| at.saturating_sub(PAGE)),
            KeyCode::Home | KeyCode::Char('g') => self.step(snapshot, |_| 0),
            KeyCode::End | KeyCode::Char('G') => self.step(snapshot, |_| usize::MAX),
            _ => {}
        }
        Next::Stay
    }

    /// Into the filter.
    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    fn go(&mut self, screen: Screen) {
        self.screen = screen;
        self.scrolled = 0;
    }

    fn toggle(&mut self, screen: Screen) {
        let next = if self.screen == screen { Screen::Services } else { screen };
        self.go(next);
    }

    /// Selects another Service, or scrolls what has no selection.
    fn step(&mut self, snapshot: &Snapshot, step: impl Fn(usize) -> usize) {
        if self.screen != Screen::Services {
            // `draw` knows where the end is.
            self.scrolled = step(self.scrolled);
            return;
        }
        let shown = self.shown(snapshot);
        let at = step(self.place(&shown)).min(shown.len().saturating_sub(1));
        self.selected = shown.get(at).map(|port| port.key.clone());
    }
}
