//! Columns. They widen as records need it and never shrink, so that a live stream stays aligned.

use model::line::Line;

use super::phrase::{self, Clock};
use crate::paint::{Paint, Span, Tone};

const NAMES: [&str; 6] = ["TIME", "SOURCE", "DESTINATION", "PROTOCOL", "EVENT", "DETAILS"];

pub struct Table {
    widths: [usize; NAMES.len()],
    begun: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self { widths: [12, 36, 36, 8, 8, 0], begun: false }
    }
}

impl Table {
    pub fn print(&mut self, line: &Line, clock: &Clock, paint: &mut Paint) {
        if !self.begun {
            self.begun = true;
            self.row(NAMES.map(|name| vec![(Tone::Faint, name.to_owned())]), paint);
        }
        let mut details = phrase::details(line);
        details.extend(phrase::process(line).map(|process| (Tone::Faint, process)));
        let mut event = vec![phrase::event(line)];
        event.extend(phrase::seen(line).map(|seen| (Tone::Faint, seen.to_owned())));
        let cells = [
            vec![(Tone::Faint, clock.show(line))],
            vec![(Tone::Plain, phrase::end(&line.source))],
            vec![(Tone::Plain, phrase::end(&line.destination))],
            vec![(Tone::Plain, phrase::protocol(line).to_owned())],
            event,
            details,
        ];
        self.row(cells, paint);
    }

    fn row(&mut self, cells: [Vec<Span>; NAMES.len()], paint: &mut Paint) {
        let last = cells.len() - 1;
        for (column, (cell, width)) in cells.into_iter().zip(&mut self.widths).enumerate() {
            let mut used = 0;
            for (tone, text) in cell {
                if used > 0 {
                    paint.pad(1);
                    used += 1;
                }
                used += text.chars().count();
                paint.put(tone, &text);
            }
            *width = used.max(*width);
            if column != last {
                paint.pad(*width - used + 2);
            }
        }
        paint.line_feed();
    }
}
