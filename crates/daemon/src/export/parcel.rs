//! What is sent at once.

use bytes::Bytes;
use std::time::SystemTime;

use super::config::{Protocol, Target};
use super::{Origin, otlp, remote_write};
use crate::metrics::{Families, Labels, View};

/// Samples in one parcel: some hundred kilobytes before compression, below what receivers take (4 MiB).
pub const MOST_SAMPLES: usize = 2000;
/// Before compression. A parcel is closed when it has as much.
pub const MOST_BYTES: usize = 1 << 20;

/// One request's body, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub body: Bytes,
    /// What is counted if it is lost: data points of OTLP, samples of remote write.
    pub samples: u64,
}

/// When it was counted.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Since when counters have counted.
    pub since: SystemTime,
    pub now: SystemTime,
}

impl Span {
    pub fn unix_ns(moment: SystemTime) -> u64 {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since.as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

/// Puts all that `view` has into parcels, handed on as they are full.
pub fn pack(
    target: &Target,
    origin: &Origin,
    view: &dyn View,
    span: Span,
    hand: &mut dyn FnMut(Parcel),
) {
    // What takes no more is nobody here.
    match target.protocol {
        Protocol::OtlpGrpc | Protocol::OtlpHttp => {
            let mut sink = otlp::Packer::new(origin, &target.added, span, hand);
            let _ = view.write(&mut Families::to(&mut sink));
            sink.close();
        }
        Protocol::RemoteWrite => {
            let mut sink = remote_write::Packer::new(origin, &target.added, span, hand);
            let _ = view.write(&mut Families::to(&mut sink));
            sink.close();
        }
    }
}

/// Bytes of labels, roughly.
pub fn length(labels: &Labels<'_>) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum()
}
