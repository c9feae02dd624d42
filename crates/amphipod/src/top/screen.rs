//! What `top` shows.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use super::snapshot::{Rates, Snapshot, Sort};
use super::state::{KEYS, State};
use crate::units::rate;

const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const BAD: Style = Style::new().fg(Color::Red);
const ODD: Style = Style::new().fg(Color::Yellow);

const COLUMNS: [(&str, Sort); 6] = [
    ("BYTES/s", Sort::Bytes),
    ("CONN/s", Sort::Connections),
    ("FAIL/s", Sort::Failures),
    ("DROP/s", Sort::Drops),
    ("RTT", Sort::Rtt),
    ("RETX/s", Sort::Retransmits),
];

pub fn draw(frame: &mut Frame, snapshot: &Snapshot, state: &State) {
    let area = frame.area();
    // Failures take at most a third, and nothing where there are none.
    let failures = match snapshot.failures.len() as u16 {
        0 => 0,
        number => (number + 1).min(area.height / 3),
    };
    let [head, pairs, below, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(failures),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(heading(snapshot, state), head);
    draw_pairs(frame, pairs, snapshot, state);
    draw_failures(frame, below, snapshot);
    frame.render_widget(footing(state), foot);
    if state.help {
        draw_help(frame, area);
    }
}

fn heading(snapshot: &Snapshot, state: &State) -> Line<'static> {
    let mut spans = vec![
        Span::styled("amphipod top", BOLD),
        Span::raw(format!("  last {:.0}s", snapshot.seconds)),
        Span::raw(format!("  by {}", snapshot.group.name())),
        Span::raw(format!("  {} pairs", snapshot.pairs.len())),
    ];
    if let Some(records) = snapshot.records_per_second {
        spans.push(Span::raw(format!("  {} records/s", rate(records))));
    }
    if snapshot.records_lost > 0 {
        spans.push(Span::styled(format!("  {} records lost", snapshot.records_lost), ODD));
    }
    match snapshot.missing.as_slice() {
        [] => {}
        [one] => spans.push(Span::styled(format!("  {one}"), ODD)),
        [first, more @ ..] => {
            spans.push(Span::styled(format!("  {first} (and {} more gaps)", more.len()), ODD));
        }
    }
    if state.paused {
        spans.push(Span::styled("  PAUSED", ODD.add_modifier(Modifier::BOLD)));
    }
    Line::from(spans)
}

fn draw_pairs(frame: &mut Frame, area: Rect, snapshot: &Snapshot, state: &State) {
    let room = usize::from(area.height.saturating_sub(1));
    let total = snapshot.pairs.len() + usize::from(snapshot.others.is_some());
    // Scrolling ends with the last row.
    let offset = state.offset.min(total.saturating_sub(room.max(1)));
    let rows = snapshot
        .pairs
        .iter()
        .map(|pair| row(&pair.source, &pair.destination, &pair.rates))
        .chain(snapshot.others.iter().map(|rates| row("(others)", "", rates)))
        .skip(offset)
        .take(room);
    let names = ["SOURCE", "DESTINATION"].into_iter().map(|name| Line::styled(name, FAINT));
    let measures = COLUMNS.into_iter().map(|(name, sort)| {
        let style =
            if sort == snapshot.sort { BOLD.add_modifier(Modifier::REVERSED) } else { FAINT };
        Line::styled(name, style).right_aligned()
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(6),
    ];
    let table = Table::new(rows, widths).header(Row::new(names.chain(measures))).column_spacing(1);
    frame.render_widget(table, area);
    if total == 0 {
        let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let text = if state.search.is_empty() {
            "waiting for traffic ..."
        } else {
            "no pair has such a name"
        };
        frame.render_widget(Paragraph::new(text).style(FAINT), below);
    }
}

fn row(source: &str, destination: &str, rates: &Rates) -> Row<'static> {
    let [bytes, connections, failures, drops, rtt, retransmits] = rates.cells();
    let cell = |text: String, style: Style| Line::styled(text, style).right_aligned();
    let when = |yes: bool, style: Style| if yes { style } else { Style::new() };
    Row::new([
        Line::raw(source.to_owned()),
        Line::raw(destination.to_owned()),
        cell(bytes, Style::new()),
        cell(connections, Style::new()),
        cell(failures, when(rates.failures_per_second > 0.0, BAD)),
        cell(drops, when(rates.drops_per_second > 0.0, ODD)),
        cell(rtt, Style::new()),
        cell(retransmits, when(rates.retransmits_per_second > 0.0, ODD)),
    ])
}

fn draw_failures(frame: &mut Frame, area: Rect, snapshot: &Snapshot) {
    if area.height == 0 {
        return;
    }
    let title = Line::styled(format!("FAILURES in the last {:.0}s", snapshot.seconds), FAINT);
    let style = |dropped| if dropped { ODD } else { BAD };
    let lines = snapshot
        .failures
        .iter()
        .map(|failure| Line::styled(failure.text(), style(failure.dropped)));
    let text: Vec<_> = std::iter::once(title).chain(lines).take(area.height.into()).collect();
    frame.render_widget(Paragraph::new(text), area);
}

fn footing(state: &State) -> Line<'static> {
    if state.typing {
        return Line::raw(format!("/{}_   Enter keep  Esc clear", state.search));
    }
    let mut text = "q quit  b c f d r n sort  g group  / search  space pause  ? help".to_owned();
    if !state.search.is_empty() {
        text = format!("showing \"{}\" (Esc: all)  {text}", state.search);
    }
    Line::styled(text, FAINT)
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let lines: Vec<_> = KEYS
        .iter()
        .map(|(key, what)| {
            Line::from(vec![Span::styled(format!(" {key:10}"), BOLD), Span::raw(*what)])
        })
        .chain([
            Line::raw(""),
            Line::raw(
                " Bytes are payload, both ways. FAIL are connections, DROP and RETX packets.",
            ),
        ])
        .collect();
    let width = 86.min(area.width);
    let height = (lines.len() as u16 + 2).min(area.height);
    let popup = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, popup);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), popup);
}

#[cfg(test)]
mod tests;
