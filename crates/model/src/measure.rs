//! What is measured between two workloads: the one declaration, from which the wire, the stores, the queries and the HTTP
//! API take what they know.
//!
//! A new one is a line at the end of the list, and its extraction in [`crate::row`]. The number of a line is its code on
//! the wire and on disk: lines are never moved or removed, and a code that is not known is left out and counted.

use std::str::FromStr;

/// How values come together. All of them add up over nodes, workloads and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// A count of what happened.
    Sum,
    /// A level. It is kept as its integral over time, in unit times seconds: divided by a time it is the mean.
    Gauge,
    /// Nanoseconds, in exponential buckets.
    Distribution,
}

impl Shape {
    /// As the API has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Gauge => "gauge",
            Self::Distribution => "distribution",
        }
    }
}

/// What is told of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub name: &'static str,
    /// The kind of record from which it comes, as in [`crate::line::Kind`].
    pub kind: &'static str,
    /// Of the values that are shown: distributions are kept in nanoseconds and shown in seconds.
    pub unit: &'static str,
    pub shape: Shape,
    /// For people, short enough for a column. What is sent and received is as the source sees it, who opened the connection
    /// or asked; segments are those that the observed end sent again.
    pub title: &'static str,
    /// Any of it is a fault.
    pub bad: bool,
    /// Of what is bad: whose sum it is a share of. Empty: there is no such sum.
    pub of: &'static [Measure],
    /// The two ends of an edge tell of different things: both together are the whole. Otherwise they tell of the same.
    pub apart: bool,
}

/// One of [`Measure::ALL`], by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure(u8);

macro_rules! measures {
    ($($constant:ident = $name:literal, $kind:literal, $unit:literal, $shape:ident,
        $bad:literal $(of [$($of:ident),+])? $(at $each:ident)?, $title:literal;)+) => {
        const DECLARATIONS: &[Declaration] = &[$(Declaration {
            name: $name, kind: $kind, unit: $unit, shape: Shape::$shape, title: $title, bad: $bad,
            of: &[$($(Measure::$of),+)?], apart: !(&[$(stringify!($each))?] as &[&str]).is_empty(),
        }),+];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place { $($constant),+ }

        impl Measure {
            $(#[doc = $title] pub const $constant: Self = Self(Place::$constant as u8);)+
            /// In the order of their codes.
            pub const ALL: [Self; DECLARATIONS.len()] = [$(Self::$constant),+];
        }
    };
}

measures! {
    // Attempts are those that succeeded and those that failed; the other faults are counted among their whole.
    CONNECTIONS = "connections", "connection", "connections", Sum, false, "Connections";
    FAILURES = "failures", "connection", "connections", Sum, true of [CONNECTIONS, FAILURES], "Failed connections";
    BYTES_SENT = "bytes_sent", "flow", "bytes", Sum, false, "Bytes sent";
    BYTES_RECEIVED = "bytes_received", "flow", "bytes", Sum, false, "Bytes received";
    PACKETS_SENT = "packets_sent", "flow", "packets", Sum, false, "Packets sent";
    PACKETS_RECEIVED = "packets_received", "flow", "packets", Sum, false, "Packets received";
    RETRANSMITS = "retransmits", "flow", "packets", Sum, true of [PACKETS_SENT], "Retransmitted segments";
    CONNECT = "connect", "connection", "seconds", Distribution, false, "Connect time";
    RTT = "rtt", "flow", "seconds", Distribution, false, "Round trip";
    DROPS = "drops", "drop", "packets", Sum, true of [PACKETS_SENT, PACKETS_RECEIVED, DROPS] at each,
        "Dropped packets";
    LOOKUPS = "lookups", "dns", "lookups", Sum, false, "DNS lookups";
    LOOKUP_FAILURES = "lookup_failures", "dns", "lookups", Sum, true of [LOOKUPS], "Failed lookups";
    LOOKUP = "lookup", "dns", "seconds", Distribution, false, "Lookup time";
    ACTIVE = "active", "connection", "connections", Gauge, false, "Open connections";
}

// A set of measures is a word; see `row::Values`.
const _: () = assert!(DECLARATIONS.len() <= 64);

/// Those that are no distributions, and those that are.
pub(crate) const SUMS: usize = count(false);
pub(crate) const DISTRIBUTIONS: usize = count(true);
/// The place of each among those of its sort.
const SLOTS: [u8; DECLARATIONS.len()] = slots();

const fn count(distributions: bool) -> usize {
    let (mut index, mut count) = (0, 0);
    while index < DECLARATIONS.len() {
        if matches!(DECLARATIONS[index].shape, Shape::Distribution) == distributions {
            count += 1;
        }
        index += 1;
    }
    count
}

const fn slots() -> [u8; DECLARATIONS.len()] {
    let mut slots = [0; DECLARATIONS.len()];
    let (mut index, mut sums, mut distributions) = (0, 0, 0);
    while index < DECLARATIONS.len() {
        let next = match DECLARATIONS[index].shape {
            Shape::Distribution => &mut distributions,
            Shape::Sum | Shape::Gauge => &mut sums,
        };
        slots[index] = *next;
        *next += 1;
        index += 1;
    }
    slots
}

impl Measure {
    /// On the wire and on disk.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// `None`: of a version that knows more.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    pub fn declaration(self) -> &'static Declaration {
        &DECLARATIONS[self.0 as usize]
    }

    pub fn name(self) -> &'static str {
        self.declaration().name
    }

    pub fn shape(self) -> Shape {
        self.declaration().shape
    }

    pub fn is_distribution(self) -> bool {
        self.shape() == Shape::Distribution
    }

    pub(crate) fn slot(self) -> usize {
        SLOTS[self.0 as usize] as usize
    }
}

/// No measure has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown measure {name:?}; known are {}", known())]
pub struct Unknown {
    name: String,
}

fn known() -> String {
    DECLARATIONS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Measure {
    type Err = Unknown;

    fn from_str(name: &str) -> Result<Self, Unknown> {
        let found = Self::ALL.into_iter().find(|it| it.name() == name);
        found.ok_or_else(|| Unknown { name: crate::text::printable(name.as_bytes()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_they_were() {
        // What is stored is read by them: this list only grows.
        let names: Vec<&str> = Measure::ALL.iter().map(|it| it.name()).collect();
        let stored = [
            "connections",
            "failures",
            "bytes_sent",
            "bytes_received",
            "packets_sent",
            "packets_received",
            "retransmits",
            "connect",
            "rtt",
            "drops",
            "lookups",
            "lookup_failures",
            "lookup",
            "active",
        ];
        assert_eq!(names[..stored.len()], stored);
        for (code, measure) in Measure::ALL.into_iter().enumerate() {
            assert_eq!(Measure::from_code(code as u64), Some(measure));
            assert_eq!(measure.name().parse(), Ok(measure));
        }
        assert_eq!(Measure::from_code(Measure::ALL.len() as u64), None);
        assert!("bytes".parse::<Measure>().unwrap_err().to_string().contains("bytes_sent"));
    }

    #[test]
    fn each_has_a_slot_of_its_own() {
        let mut taken = std::collections::HashSet::new();
        for measure in Measure::ALL {
            assert!(taken.insert((measure.is_distribution(), measure.slot())), "{measure:?}");
        }
        assert_eq!(SUMS + DISTRIBUTIONS, Measure::ALL.len());
    }

    #[test]
    fn a_share_is_of_sums_in_its_own_unit() {
        for it in Measure::ALL.map(Measure::declaration) {
            assert!(it.bad || it.of.is_empty(), "{}", it.name);
            for whole in it.of.iter().map(|whole| whole.declaration()) {
                assert_eq!(
                    (whole.shape, whole.unit),
                    (Shape::Sum, it.unit),
                    "{} of {}",
                    it.name,
                    whole.name
                );
            }
        }
        assert_eq!(Measure::FAILURES.declaration().of, [Measure::CONNECTIONS, Measure::FAILURES]);
        let apart = Measure::ALL.into_iter().filter(|it| it.declaration().apart);
        assert_eq!(apart.collect::<Vec<_>>(), [Measure::DROPS]);
    }
}
