//! Faults as a line of text, for those who drive the server from another process.

use std::str::FromStr;
use std::time::Duration;

use super::fault::{Fault, Versions, WatchList};
use super::hostile::Hostile;

/// What [`Fault::from_str`] reads.
pub const SYNTAX: &str = "\
drop-watches [abrupt] | slow-lists MS | compact | restart MS [continue|forget|reset] | flap TIMES MS | partition MS | \
replay EVENTS [reversed] | watch-list served|refused|ignored | json-only on|off | gone-by-status on|off | \
overload REQUESTS SECONDS | hostile NAME";

impl FromStr for Fault {
    type Err = String;

    /// Times are in milliseconds unless it says otherwise; 0 ends what lasts.
    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| {
            word.parse::<u32>().map_err(|_| format!("{line:?}: {word:?} is not a number"))
        };
        let time = |word| number(word).map(|ms| Duration::from_millis(ms.into()));
        let fault = match words[..] {
            ["drop-watches"] => Self::DropWatches { abrupt: false },
            ["drop-watches", "abrupt"] => Self::DropWatches { abrupt: true },
            ["slow-lists", ms] => Self::SlowLists(time(ms)?),
            ["compact"] => Self::Compact,
            ["restart", ms] | ["restart", ms, "continue"] => {
                Self::Restart { down: time(ms)?, versions: Versions::Continue }
            }
            ["restart", ms, "forget"] => {
                Self::Restart { down: time(ms)?, versions: Versions::Forget }
            }
            ["restart", ms, "reset"] => {
                Self::Restart { down: time(ms)?, versions: Versions::Reset }
            }
            ["flap", times, ms] => Self::Flap { times: number(times)?, every: time(ms)? },
            ["partition", ms] => Self::Partition(time(ms)?),
            ["replay", events] => {
                Self::Replay { events: number(events)? as usize, reversed: false }
            }
            ["replay", events, "reversed"] => {
                Self::Replay { events: number(events)? as usize, reversed: true }
            }
            ["watch-list", "served"] => Self::WatchList(WatchList::Served),
            ["watch-list", "refused"] => Self::WatchList(WatchList::Refused),
            ["watch-list", "ignored"] => Self::WatchList(WatchList::Ignored),
            ["json-only", on @ ("on" | "off")] => Self::JsonOnly(on == "on"),
            ["gone-by-status", on @ ("on" | "off")] => Self::GoneByStatus(on == "on"),
            ["overload", requests, seconds] => {
                Self::Overload { requests: number(requests)?, retry_after_s: number(seconds)? }
            }
            ["hostile", name] => {
                let which = Hostile::ALL.into_iter().find(|which| which.name() == name);
                Self::Hostile(which.ok_or_else(|| {
                    let names = Hostile::ALL.map(Hostile::name).join(", ");
                    format!("{line:?}: no hostile object {name:?}; there are {names}")
                })?)
            }
            _ => return Err(format!("{line:?} is none of: {SYNTAX}")),
        };
        Ok(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_faults() {
        let check = |line: &str, expected: Option<Fault>| {
            assert_eq!(line.parse::<Fault>().ok(), expected, "{line}");
        };
        let time = Duration::from_millis(50);
        check("drop-watches  abrupt", Some(Fault::DropWatches { abrupt: true }));
        check("restart 50 reset", Some(Fault::Restart { down: time, versions: Versions::Reset }));
        check("flap 3 50", Some(Fault::Flap { times: 3, every: time }));
        check("json-only off", Some(Fault::JsonOnly(false)));
        check("hostile no-status", Some(Fault::Hostile(Hostile::NoStatus)));
        for wrong in [
            "",
            "restart",
            "restart soon",
            "json-only",
            "json-only maybe",
            "hostile x",
            "compact now",
        ] {
            check(wrong, None);
        }
        for which in Hostile::ALL {
            check(&format!("hostile {}", which.name()), Some(Fault::Hostile(which)));
        }
    }
}
