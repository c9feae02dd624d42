//! Aligned columns.

use crate::paint::{Paint, Tone};

pub fn odd(yes: bool) -> Tone {
    if yes { Tone::Odd } else { Tone::Plain }
}

/// Aligned columns under a heading, after an empty line; nothing for no rows.
pub fn table<const N: usize>(
    names: [&str; N],
    rows: impl Iterator<Item = Vec<(Tone, String)>>,
    paint: &mut Paint,
) {
    let heading = names.iter().map(|name| (Tone::Faint, (*name).to_owned())).collect();
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    if rows.len() == 1 {
        return;
    }
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|(_, text)| text.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    paint.line_feed();
    for row in &rows {
        // Nothing but blanks after the last cell with text.
        let used = row.iter().rposition(|(_, text)| !text.is_empty()).map_or(0, |last| last + 1);
        for (column, (tone, text)) in row.iter().take(used).enumerate() {
            paint.put(*tone, text);
            if column + 1 < used {
                paint.pad(widths[column] - text.chars().count() + 2);
            }
        }
        paint.line_feed();
    }
}
