//! The text of `/metrics`, as OpenMetrics or in Prometheus' classic form.

use std::fmt::{self, Write};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::metrics::{Collected, View};

/// Text handed on at once.
const CHUNK: usize = 32 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// Text format 0.0.4: what Prometheus takes when nothing is asked for.
    Classic,
}

impl Format {
    /// By the values of `Accept`. Who can read OpenMetrics says so; Prometheus prefers it.
    pub fn negotiate<'a>(mut accept: impl Iterator<Item = &'a str>) -> Self {
        let open = |value: &str| {
            value
                .split(',')
                .any(|part| part.split(';').next().is_some_and(|kind| kind.trim() == OPEN_METRICS))
        };
        if accept.any(open) { Self::OpenMetrics } else { Self::Classic }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text";

/// Writes what `view` has, in pieces.
pub fn write(
    format: Format,
    view: impl View,
    send: impl FnMut(String) -> fmt::Result,
) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(view)));
    let mut lines =
        Lines { format, line: String::new(), help: String::new(), chunk: String::new(), send };
    text::encode(&mut lines, &registry)?;
    (lines.send)(lines.chunk)
}

/// Takes OpenMetrics and hands it on line by line. The samples of both forms are the same; in the classic one a
/// counter's name has its suffix in the header, too, and there is no end mark.
struct Lines<S> {
    format: Format,
    line: String,
    /// Held until the type is known.
    help: String,
    chunk: String,
    send: S,
}

impl<S: FnMut(String) -> fmt::Result> Write for Lines<S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                self.end_line();
                self.line.clear();
            }
        }
        if self.chunk.len() >= CHUNK {
            (self.send)(std::mem::take(&mut self.chunk))?;
        }
        Ok(())
    }
}

impl<S> Lines<S> {
    fn end_line(&mut self) {
        match (
            self.format,
            self.line.strip_prefix("# ").and_then(|comment| comment.split_once(' ')),
        ) {
            (Format::Classic, Some(("HELP", rest))) => rest.clone_into(&mut self.help),
            (Format::Classic, Some(("TYPE", rest))) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped\n"));
                let suffix = if kind.trim_end() == "counter" { "_total" } else { "" };
                let help = self.help.split_once(' ').map_or("\n", |(_, help)| help);
                // Writing to a String cannot fail.
                let _ =
                    write!(self.chunk, "# HELP {name}{suffix} {help}# TYPE {name}{suffix} {kind}");
            }
            (Format::Classic, _) if self.line.starts_with("# ") => {}
            _ => self.chunk.push_str(&self.line),
        }
    }
}
