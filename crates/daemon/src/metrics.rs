//! Families of metrics from values that are kept elsewhere: written as text where they are scraped, or handed to a sink that
//! sends them.

use std::borrow::Cow;
use std::fmt::{self, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue,
    GaugeValueEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::http::exposition::{self, Format};

pub type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// A histogram's values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    pub sum: f64,
    pub count: u64,
    /// Upper bound and count of each bucket, not cumulative.
    pub buckets: Vec<(f64, u64)>,
}

/// All values at one moment.
pub trait View: fmt::Debug + Send + Sync + 'static {
    /// # Errors
    /// Where they go takes no more.
    fn write(&self, out: &mut Families<'_>) -> fmt::Result;
}

/// A number as it is counted: what is whole stays exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What has a name of its own, as it is scraped: a counter's ends with `_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    pub name: &'a str,
    pub help: &'a str,
    pub kind: Kind,
}

/// Takes families one after the other, each with its samples.
pub trait Sink {
    /// # Errors
    /// It takes no more.
    fn number(&mut self, family: Family<'_>, labels: &Labels<'_>, value: Number) -> fmt::Result;

    /// # Errors
    /// It takes no more.
    fn histogram(
        &mut self,
        family: Family<'_>,
        labels: &Labels<'_>,
        value: &Distribution,
    ) -> fmt::Result;
}

/// Name, type and meaning of every metric, as `# HELP` and `# TYPE` lines: the reference.
pub fn reference(view: impl View) -> String {
    let mut text = String::new();
    let take = |chunk: String| text.write_str(&chunk);
    // Writing to a String cannot fail.
    let _ = exposition::write(Format::Classic, view, take);
    text.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// What the encoder of text asks for.
#[derive(Debug)]
pub(crate) struct Collected<V>(pub V);

impl<V: View> Collector for Collected<V> {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        self.0.write(&mut Families(Out::Text(encoder)))
    }
}

/// Without those that are empty.
pub fn labels<'a, const N: usize>(pairs: [(&'static str, &'a str); N]) -> Labels<'a> {
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// Adds one unless it is empty.
pub fn with<'a>(mut labels: Labels<'a>, name: &'static str, value: &'a str) -> Labels<'a> {
    if !value.is_empty() {
        labels.push((name, value.into()));
    }
    labels
}

/// Writes one family after the other.
pub struct Families<'e>(Out<'e>);

enum Out<'e> {
    /// The encoder adds `_total` to a counter's samples by itself.
    Text(DescriptorEncoder<'e>),
    Sink(&'e mut dyn Sink),
}

impl<'e> Families<'e> {
    pub fn to(sink: &'e mut dyn Sink) -> Self {
        Self(Out::Sink(sink))
    }

    /// # Errors
    /// Where it goes takes no more.
    pub fn counter<'a, V: Into<Number>>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        self.numbers(Family { name, help, kind: Kind::Counter }, samples)
    }

    /// # Errors
    /// Where it goes takes no more.
    pub fn gauge<'a, V: Into<Number>>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        self.numbers(Family { name, help, kind: Kind::Gauge }, samples)
    }

    fn numbers<'a, V: Into<Number>>(
        &mut self,
        family: Family<'_>,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().map(|(labels, value)| (labels, value.into()));
        let encoder = match &mut self.0 {
            Out::Text(encoder) => encoder,
            Out::Sink(sink) => {
                return samples.try_for_each(|(labels, value)| sink.number(family, &labels, value));
            }
        };
        let (name, kind) = match family.kind {
            Kind::Counter => {
                (family.name.strip_suffix("_total").unwrap_or(family.name), MetricType::Counter)
            }
            _ => (family.name, MetricType::Gauge),
        };
        let mut written = encoder.encode_descriptor(name, family.help, None, kind)?;
        samples.try_for_each(|(labels, value)| match labels.is_empty() {
            true => value.write(kind, &mut written),
            false => value.write(kind, &mut written.encode_family(&labels)?),
        })
    }

    /// # Errors
    /// Where it goes takes no more.
    pub fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, Distribution)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter();
        let encoder = match &mut self.0 {
            Out::Text(encoder) => encoder,
            Out::Sink(sink) => {
                let family = Family { name, help, kind: Kind::Histogram };
                return samples.try_for_each(|(labels, it)| sink.histogram(family, &labels, &it));
            }
        };
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        samples.try_for_each(|(labels, it)| {
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                it.sum,
                it.count,
                &it.buckets,
                None,
            )
        })
    }
}

impl Number {
    fn write(&self, kind: MetricType, sample: &mut MetricEncoder<'_>) -> fmt::Result {
        match kind {
            MetricType::Counter => sample.encode_counter::<NoLabelSet, _, f64>(self, None),
            _ => sample.encode_gauge(self),
        }
    }
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => EncodeCounterValue::encode(value, encoder),
            Self::Real(value) => EncodeCounterValue::encode(value, encoder),
        }
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => EncodeGaugeValue::encode(value, encoder),
            Self::Real(value) => EncodeGaugeValue::encode(value, encoder),
        }
    }
}
