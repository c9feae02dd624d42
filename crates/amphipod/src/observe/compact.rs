//! One line a record:
//! `10:24:01.123  shop/cart-7d9f:41234 -> shop/redis-0:6379  TCP opened  0.21ms`

use model::line::Line;

use super::phrase::{self, Clock};
use crate::paint::{Paint, Tone};

pub fn print(line: &Line, clock: &Clock, paint: &mut Paint) {
    paint.put(Tone::Faint, &clock.show(line));
    paint.pad(2);
    paint.plain(&phrase::end(&line.source));
    paint.put(Tone::Faint, " -> ");
    paint.plain(&phrase::end(&line.destination));
    paint.pad(2);
    paint.plain(phrase::protocol(line));
    paint.pad(1);
    let (tone, event) = phrase::event(line);
    paint.put(tone, &event);
    if let Some(seen) = phrase::seen(line) {
        paint.put(Tone::Faint, &format!(" {seen}"));
    }
    for (tone, text) in phrase::details(line) {
        paint.pad(2);
        paint.put(tone, &text);
    }
    if let Some(process) = phrase::process(line) {
        paint.pad(2);
        paint.put(Tone::Faint, &process);
    }
    paint.line_feed();
}
