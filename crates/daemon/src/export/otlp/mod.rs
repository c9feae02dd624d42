//! Metrics as OTLP's messages: cumulative, histograms as they are, names as OpenTelemetry writes them.

mod name;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::Origin;
use super::parcel::{MOST_BYTES, MOST_SAMPLES, Parcel, Span, length};
use crate::metrics::{Distribution, Family, Kind, Labels, Number, Sink};
use name::{Shape, attribute, convention};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

pub struct Packer<'a> {
    resource: Resource,
    scope: InstrumentationScope,
    since_ns: u64,
    now_ns: u64,
    /// As it is scraped, of the last of `metrics`.
    family: String,
    metrics: Vec<Metric>,
    samples: usize,
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
        let known = [
            ("service.name", origin.service),
            ("service.instance.id", &origin.instance),
            ("service.version", origin.version),
        ];
        let known =
            known.into_iter().chain(origin.attributes.iter().map(|(n, v)| (*n, v.as_str())));
        let known = known.filter(|(name, _)| !added.iter().any(|(other, _)| other == name));
        let added = added.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let attributes = known.chain(added).map(|(name, value)| key_value(name, value)).collect();
        Self {
            resource: Resource { attributes, ..Resource::default() },
            scope: InstrumentationScope {
                name: "amphipod".to_owned(),
                version: origin.version.to_owned(),
                ..InstrumentationScope::default()
            },
            since_ns: Span::unix_ns(span.since),
            now_ns: Span::unix_ns(span.now),
            family: String::new(),
            metrics: Vec::new(),
            samples: 0,
            bytes: 0,
            hand,
        }
    }

    /// Hands on what is left.
    pub fn close(&mut self) {
        if self.samples == 0 {
            return;
        }
        self.family.clear();
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(self.scope.clone()),
                    metrics: std::mem::take(&mut self.metrics),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        };
        let samples = std::mem::take(&mut self.samples) as u64;
        self.bytes = 0;
        (self.hand)(Parcel { body: gzip(&request.encode_to_vec()), samples });
    }

    /// The family's data, in which there is room for one more point of so many bytes.
    fn metric(&mut self, family: Family<'_>, bytes: usize) -> Option<&mut metric::Data> {
        if self.samples >= MOST_SAMPLES || self.bytes + bytes > MOST_BYTES {
            self.close();
        }
        if self.family != family.name {
            family.name.clone_into(&mut self.family);
            let (name, unit, shape) = convention(family);
            let data = match shape {
                Shape::Gauge => metric::Data::Gauge(Gauge::default()),
                Shape::Sum { is_monotonic } => metric::Data::Sum(Sum {
                    aggregation_temporality: CUMULATIVE,
                    is_monotonic,
                    ..Sum::default()
                }),
                Shape::Histogram => metric::Data::Histogram(Histogram {
                    aggregation_temporality: CUMULATIVE,
                    ..Histogram::default()
                }),
            };
            self.bytes += name.len() + family.help.len() + 16;
            self.metrics.push(Metric {
                name,
                description: family.help.to_owned(),
                unit: unit.to_owned(),
                data: Some(data),
                ..Metric::default()
            });
        }
        self.samples += 1;
        self.bytes += bytes;
        self.metrics.last_mut()?.data.as_mut()
    }
}

impl Sink for Packer<'_> {
    fn number(&mut self, family: Family<'_>, labels: &Labels<'_>, value: Number) -> fmt::Result {
        let point = NumberDataPoint {
            attributes: attributes(family, labels),
            start_time_unix_nano: if family.kind == Kind::Counter { self.since_ns } else { 0 },
            time_unix_nano: self.now_ns,
            value: Some(match value {
                Number::Whole(value) => {
                    number_data_point::Value::AsInt(value.try_into().unwrap_or(i64::MAX))
                }
                Number::Real(value) => number_data_point::Value::AsDouble(value),
            }),
            ..NumberDataPoint::default()
        };
        match self.metric(family, length(labels) + 32) {
            Some(metric::Data::Gauge(gauge)) => gauge.data_points.push(point),
            Some(metric::Data::Sum(sum)) => sum.data_points.push(point),
            _ => {}
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        family: Family<'_>,
        labels: &Labels<'_>,
        value: &Distribution,
    ) -> fmt::Result {
        let bounds = value.buckets.iter().map(|(bound, _)| *bound).filter(|it| it.is_finite());
        let bounds: Vec<f64> = bounds.collect();
        let mut counts: Vec<u64> = value.buckets.iter().map(|(_, count)| *count).collect();
        // The last one has no bound.
        counts.resize(bounds.len() + 1, 0);
        let point = HistogramDataPoint {
            attributes: attributes(family, labels),
            start_time_unix_nano: self.since_ns,
            time_unix_nano: self.now_ns,
            count: value.count,
            sum: Some(value.sum),
            bucket_counts: counts,
            explicit_bounds: bounds,
            ..HistogramDataPoint::default()
        };
        let bytes = length(labels) + 16 * value.buckets.len() + 48;
        if let Some(metric::Data::Histogram(histogram)) = self.metric(family, bytes) {
            histogram.data_points.push(point);
        }
        Ok(())
    }
}

fn attributes(family: Family<'_>, labels: &Labels<'_>) -> Vec<KeyValue> {
    let named = labels.iter().filter_map(|(name, value)| attribute(family.name, name, value));
    named.map(|(name, value)| key_value(&name, &value)).collect()
}

fn key_value(name: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}
