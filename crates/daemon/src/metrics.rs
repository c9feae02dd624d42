//! Families of metrics from values that are kept elsewhere.

use std::borrow::Cow;
use std::fmt::{self, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
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

/// Name, type and meaning of every metric, as `# HELP` and `# TYPE` lines: the reference.
pub fn reference(collector: impl Collector) -> String {
    let mut text = String::new();
    let take = |chunk: String| text.write_str(&chunk);
    // Writing to a String cannot fail.
    let _ = exposition::write(Format::Classic, collector, take);
    text.lines().filter(|line| line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
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

/// Writes one family after the other. The encoder adds `_total` to a counter's samples by itself.
pub struct Families<'e>(DescriptorEncoder<'e>);

impl<'e> Families<'e> {
    pub fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    pub fn counter<'a, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        samples.into_iter().try_for_each(|(labels, value)| match labels.is_empty() {
            true => family.encode_counter::<NoLabelSet, V, f64>(&value, None),
            false => {
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, V, f64>(&value, None)
            }
        })
    }

    pub fn gauge<'a, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        samples.into_iter().try_for_each(|(labels, value)| match labels.is_empty() {
            true => family.encode_gauge(&value),
            false => family.encode_family(&labels)?.encode_gauge(&value),
        })
    }

    pub fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, Distribution)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        samples.into_iter().try_for_each(|(labels, it)| {
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                it.sum,
                it.count,
                &it.buckets,
                None,
            )
        })
    }
}
