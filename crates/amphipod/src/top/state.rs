//! What the user has chosen, and what the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::party::Group;
use super::snapshot::Sort;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub sort: Sort,
    pub group: Group,
    /// What is shown is a hub's, which knows no pods.
    pub of_hub: bool,
    pub search: String,
    /// The search is being typed.
    pub typing: bool,
    pub paused: bool,
    pub help: bool,
    /// Rows that are scrolled past.
    pub offset: usize,
}

/// Name of every key and what it does.
pub const KEYS: &[(&str, &str)] = &[
    ("b", "sort by bytes"),
    ("c", "sort by connections"),
    ("f", "sort by failures"),
    ("d", "sort by drops"),
    ("r", "sort by round-trip time"),
    ("n", "sort by retransmits"),
    ("g", "group by workload, namespace or pod (which a hub does not know)"),
    ("/", "show only names that contain a text; Enter keeps it, Esc clears it"),
    ("space", "pause"),
    ("up, down", "scroll; also k and j, PgUp and PgDn, Home"),
    ("?", "this help"),
    ("q", "quit; also Ctrl-C"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Go,
    Quit,
}

const PAGE: usize = 10;

impl State {
    pub fn press(&mut self, key: KeyEvent) -> After {
        if key.kind == KeyEventKind::Release {
            return After::Go;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return After::Quit;
        }
        if self.typing {
            self.type_search(key.code);
            return After::Go;
        }
        match key.code {
            KeyCode::Char('q') => return After::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc => self.search.clear(),
            KeyCode::Char('?') => self.help = !self.help,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('g') => self.group = self.group.next(self.of_hub),
            KeyCode::Char('b') => self.sort = Sort::Bytes,
            KeyCode::Char('c') => self.sort = Sort::Connections,
            KeyCode::Char('f') => self.sort = Sort::Failures,
            KeyCode::Char('d') => self.sort = Sort::Drops,
            KeyCode::Char('r') => self.sort = Sort::Rtt,
            KeyCode::Char('n') => self.sort = Sort::Retransmits,
            KeyCode::Down | KeyCode::Char('j') => self.offset = self.offset.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.offset = self.offset.saturating_sub(1),
            KeyCode::PageDown => self.offset = self.offset.saturating_add(PAGE),
            KeyCode::PageUp => self.offset = self.offset.saturating_sub(PAGE),
            KeyCode::Home => self.offset = 0,
            _ => {}
        }
        After::Go
    }

    fn type_search(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.search.clear();
            }
            KeyCode::Backspace => {
                self.search.pop();
            }
            KeyCode::Char(character) if self.search.len() < 64 => self.search.push(character),
            _ => {}
        }
        self.offset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &str, expected: State) {
        let mut state = State::default();
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\x08' => KeyCode::Backspace,
                'v' if !state.typing => KeyCode::Down,
                '^' if !state.typing => KeyCode::Up,
                key => KeyCode::Char(key),
            };
            assert_eq!(state.press(KeyEvent::from(code)), After::Go);
        }
        assert_eq!(state, expected, "{keys:?}");
    }

    #[test]
    fn keys_choose() {
        check("f", State { sort: Sort::Failures, ..State::default() });
        check("fb", State::default());
        check("cn", State { sort: Sort::Retransmits, ..State::default() });
        check("g", State { group: Group::Namespace, ..State::default() });
        check("gg", State { group: Group::Pod, ..State::default() });
        check("ggg", State::default());
        check(" ", State { paused: true, ..State::default() });
        check("??? \x1b", State { paused: true, ..State::default() });
        check("vv^", State { offset: 1, ..State::default() });
        check("^", State::default());
        check("/qg\x08 c\n", State { search: "q c".to_owned(), ..State::default() });
        check("/qg", State { search: "qg".to_owned(), typing: true, ..State::default() });
        check("/qg\x1b", State::default());
        check("/x\n\x1b", State::default());
        check(
            "vvv/x\nf",
            State { search: "x".to_owned(), sort: Sort::Failures, ..State::default() },
        );
    }

    #[test]
    fn a_hub_has_no_pods_to_group_by() {
        let mut state = State { of_hub: true, ..State::default() };
        let groups = [(); 2].map(|()| {
            state.press(KeyEvent::from(KeyCode::Char('g')));
            state.group
        });
        assert_eq!(groups, [Group::Namespace, Group::Workload]);
    }

    #[test]
    fn q_and_control_c_quit() {
        assert_eq!(State::default().press(KeyEvent::from(KeyCode::Char('q'))), After::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let mut typing = State { typing: true, ..State::default() };
        assert_eq!(typing.press(interrupt), After::Quit);
        assert_eq!(typing.press(KeyEvent::from(KeyCode::Char('q'))), After::Go);
    }
}
