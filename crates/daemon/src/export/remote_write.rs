//! Metrics as Prometheus' remote write 1.0 takes them: a series for each bucket, sum and count of a histogram, as they are
//! scraped. What its messages are is at <https://prometheus.io/docs/specs/prw/remote_write_spec/>.

use std::fmt;

use prost::Message;

use super::Origin;
use super::parcel::{MOST_BYTES, MOST_SAMPLES, Parcel, Span, length};
use crate::metrics::{Distribution, Family, Kind, Labels, Number, Sink};

#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// In the order of their names.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    #[prost(enumeration = "MetadataKind", tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub family: String,
    #[prost(string, tag = "4")]
    pub help: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetadataKind {
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
}

pub struct Packer<'a> {
    /// Of each series.
    common: Vec<(String, String)>,
    now_ms: i64,
    request: WriteRequest,
    /// The last whose metadata was told.
    family: String,
    bytes: usize,
    hand: &'a mut dyn FnMut(Parcel),
}

impl<'a> Packer<'a> {
    pub fn new(
        origin: &Origin,
        added: &[(String, String)],
        span: Span,
        hand: &'a mut dyn FnMut(Parcel),
    ) -> Self {
        let known = [("job", origin.service), ("instance", &origin.instance)];
        let known = known.into_iter().filter(|(name, _)| !added.iter().any(|(it, _)| it == name));
        let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            common: known.chain(added.iter().cloned()).collect(),
            now_ms: (Span::unix_ns(span.now) / 1_000_000) as i64,
            request: WriteRequest::default(),
            family: String::new(),
            bytes: 0,
            hand,
        }
    }

    /// Hands on what is left.
    pub fn close(&mut self) {
        let request = std::mem::take(&mut self.request);
        self.bytes = 0;
        let samples = request.timeseries.len() as u64;
        if samples == 0 {
            return;
        }
        // Fails above 4 GiB only, of which a parcel is far.
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
        (self.hand)(Parcel { body: body.unwrap_or_default().into(), samples });
    }

    fn open(&mut self, family: Family<'_>) {
        if self.family == family.name {
            return;
        }
        family.name.clone_into(&mut self.family);
        let kind = match family.kind {
            Kind::Counter => MetadataKind::Counter,
            Kind::Gauge => MetadataKind::Gauge,
            Kind::Histogram => MetadataKind::Histogram,
        };
        self.bytes += family.name.len() + family.help.len();
        self.request.metadata.push(Metadata {
            kind: kind.into(),
            family: family.name.to_owned(),
            help: family.help.to_owned(),
        });
    }

    fn series(&mut self, name: String, labels: &Labels<'_>, le: Option<String>, value: f64) {
        if self.request.timeseries.len() >= MOST_SAMPLES || self.bytes >= MOST_BYTES {
            self.close();
        }
        self.bytes += name.len() + length(labels) + 64;
        let own =
            labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_owned()));
        let own =
            own.chain(le.map(|le| ("le".to_owned(), le))).chain([("__name__".to_owned(), name)]);
        // A series' own label is not to be replaced by one that is added to all.
        let mut all: Vec<Label> = own.map(|(name, value)| Label { name, value }).collect();
        let common =
            self.common.iter().filter(|(name, _)| !labels.iter().any(|(it, _)| it == name));
        let common: Vec<_> = common
            .map(|(name, value)| Label { name: name.clone(), value: value.clone() })
            .collect();
        all.extend(common);
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let sample = Sample { value, timestamp_ms: self.now_ms };
        self.request.timeseries.push(TimeSeries { labels: all, samples: vec![sample] });
    }
}

impl Sink for Packer<'_> {
    fn number(&mut self, family: Family<'_>, labels: &Labels<'_>, value: Number) -> fmt::Result {
        self.open(family);
        let value = match value {
            Number::Whole(value) => value as f64,
            Number::Real(value) => value,
        };
        self.series(family.name.to_owned(), labels, None, value);
        Ok(())
    }

    fn histogram(
        &mut self,
        family: Family<'_>,
        labels: &Labels<'_>,
        value: &Distribution,
    ) -> fmt::Result {
        self.open(family);
        let bucket = format!("{}_bucket", family.name);
        let mut below = 0;
        for (bound, count) in value.buckets.iter().filter(|(bound, _)| bound.is_finite()) {
            below += count;
            self.series(bucket.clone(), labels, Some(bound.to_string()), below as f64);
        }
        self.series(bucket, labels, Some("+Inf".to_owned()), value.count as f64);
        self.series(format!("{}_sum", family.name), labels, None, value.sum);
        self.series(format!("{}_count", family.name), labels, None, value.count as f64);
        Ok(())
    }
}
