//! A distribution as a data point of an exponential histogram.

use super::points::place;
use crate::model::view::{Distribution, Exemplar};
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use std::collections::BTreeMap;

/// Buckets of a point, empty ones among them included, as in SDKs; more are merged in pairs.
pub const BUCKETS_MAX: i64 = 160;

/// The point of a distribution as of a time.
pub fn point(of: &Distribution, at: u64) -> wire::ExponentialHistogramDataPoint {
    let (scale, buckets) = fit(of.scale, &of.buckets);
    wire::ExponentialHistogramDataPoint {
        attributes: place(&of.experiment, &of.site, &of.arm),
        start_time_unix_nano: of.since.min(at),
        time_unix_nano: at,
        count: unsigned(of.count),
        sum: Some(of.sum),
        scale,
        zero_count: unsigned(of.zeros),
        positive: Some(dense(&buckets)),
        exemplars: of.exemplars.iter().filter_map(exemplar).collect(),
        ..wire::ExponentialHistogramDataPoint::default()
    }
}

fn unsigned(count: i64) -> u64 {
    count.max(0).unsigned_abs()
}

/// Lowers the scale until the buckets from the first to the last one are few enough.
fn fit(mut scale: i32, buckets: &[(i32, i64)]) -> (i32, BTreeMap<i32, i64>) {
    let mut out: BTreeMap<i32, i64> = buckets.iter().copied().collect();
    while span(&out) > BUCKETS_MAX {
        let mut half = BTreeMap::new();
        for (index, count) in out {
            // Bucket i of the lower scale holds buckets 2i and 2i + 1, below 0 too.
            *half.entry(index >> 1).or_insert(0) += count;
        }
        (scale, out) = (scale - 1, half);
    }
    (scale, out)
}

fn span(buckets: &BTreeMap<i32, i64>) -> i64 {
    let ends = buckets.first_key_value().zip(buckets.last_key_value());
    ends.map_or(0, |((first, _), (last, _))| i64::from(*last) - i64::from(*first) + 1)
}

fn dense(buckets: &BTreeMap<i32, i64>) -> Buckets {
    let Some((offset, _)) = buckets.first_key_value() else { return Buckets::default() };
    let mut bucket_counts = vec![0; usize::try_from(span(buckets)).unwrap_or(0)];
    for (index, count) in buckets {
        let at = usize::try_from(i64::from(*index) - i64::from(*offset)).unwrap_or(0);
        bucket_counts[at] = unsigned(*count);
    }
    Buckets { offset: *offset, bucket_counts }
}

fn exemplar(of: &Exemplar) -> Option<wire::Exemplar> {
    Some(wire::Exemplar {
        time_unix_nano: of.at,
        value: Some(wire::exemplar::Value::AsDouble(of.value)),
        trace_id: bytes(&of.trace_id, 16)?,
        span_id: bytes(&of.span_id, 8)?,
        ..wire::Exemplar::default()
    })
}

/// So many bytes in hex.
fn bytes(hex: &str, count: usize) -> Option<Vec<u8>> {
    let digits = hex.bytes().all(|b| b.is_ascii_hexdigit()) && hex.len() == 2 * count;
    let pair = |at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok();
    digits.then(|| (0..count).map(pair).collect())?
}

/// The metric of a quantity: `armspan.arm.latency`.
pub fn metric(
    quantity: &str,
    unit: &str,
    points: Vec<wire::ExponentialHistogramDataPoint>,
) -> wire::Metric {
    let data = wire::metric::Data::ExponentialHistogram(wire::ExponentialHistogram {
        data_points: points,
        aggregation_temporality: wire::AggregationTemporality::Cumulative.into(),
    });
    wire::Metric {
        name: format!("armspan.arm.{quantity}"),
        description: format!("How calls of an arm are distributed over {quantity}, all epochs."),
        unit: unit.to_owned(),
        data: Some(data),
        ..wire::Metric::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_between_the_first_and_the_last_are_written_out() {
        let (scale, buckets) = fit(4, &[(-3, 2), (1, 5)]);
        let dense = dense(&buckets);
        assert_eq!((scale, dense.offset, dense.bucket_counts), (4, -3, vec![2, 0, 0, 0, 5]));
    }

    #[test]
    fn too_many_buckets_are_merged_and_hold_the_same_values() {
        let wide: Vec<(i32, i64)> = (-700..700).map(|index| (index, 1)).collect();
        let (scale, buckets) = fit(6, &wide);
        assert!(span(&buckets) <= BUCKETS_MAX);
        assert_eq!(buckets.values().sum::<i64>(), 1_400);
        // The upper bound of a value's bucket never lies below the value.
        let bound = |scale: i32, index: i32| f64::from(index + 1) * f64::from(-scale).exp2();
        for (index, _) in wide {
            let merged = index >> (6 - scale);
            let upper = bound(scale, merged);
            assert!(buckets.contains_key(&merged), "{index}");
            assert!(upper >= bound(6, index) && bound(scale, merged - 1) <= bound(6, index - 1));
        }
    }

    #[test]
    fn ids_that_are_none_make_no_exemplar() {
        assert_eq!(bytes("00ff", 2), Some(vec![0, 255]));
        assert_eq!(bytes("00f", 2), None);
        assert_eq!(bytes("00+f", 2), None);
        assert_eq!(bytes("é0f", 2), None);
    }
}
