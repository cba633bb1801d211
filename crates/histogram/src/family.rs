//! Many histograms that tell of the same thing, each with labels: for a scrape by Prometheus in either of its formats, and as
//! JSON for a heat map.

use std::fmt::Write;

use crate::compact;
use crate::counts::Histogram;
use crate::opentelemetry::exponential;
use crate::prometheus::{self, field_bytes, field_varint};

/// A histogram, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Names and values, in the order in which they are shown. Names are letters and underscores.
    pub labels: Vec<(&'static str, String)>,
    /// The durations.
    pub histogram: Histogram,
}

/// What a histogram is called in the protobuf's enumeration of types.
const HISTOGRAM: u64 = 4;

/// Prometheus's text format (version 0.0.4) with classic buckets.
pub fn text(name: &str, help: &str, series: &[Series]) -> String {
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} histogram\n");
    for one in series {
        let labels: Vec<String> =
            one.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        text.push_str(&prometheus::classic(name, &labels.join(","), &one.histogram));
    }
    text
}

/// Prometheus's protobuf format with native histograms: one `io.prometheus.client.MetricFamily` with its length before it.
pub fn protobuf(name: &str, help: &str, series: &[Series]) -> Vec<u8> {
    let mut family = Vec::new();
    field_bytes(&mut family, 1, name.as_bytes());
    field_bytes(&mut family, 2, help.as_bytes());
    field_varint(&mut family, 3, HISTOGRAM);
    for one in series {
        let mut metric = Vec::new();
        for (name, value) in &one.labels {
            let mut pair = Vec::new();
            field_bytes(&mut pair, 1, name.as_bytes());
            field_bytes(&mut pair, 2, value.as_bytes());
            field_bytes(&mut metric, 1, &pair);
        }
        field_bytes(&mut metric, 7, &prometheus::native(&one.histogram).to_protobuf());
        field_bytes(&mut family, 4, &metric);
    }
    let mut out = Vec::new();
    prometheus::varint(&mut out, family.len() as u64);
    out.extend(family);
    out
}

/// `[{"route":"shop",…,"histogram":{…}},…]` with the histograms as in [`compact`].
pub fn json(series: &[Series]) -> String {
    let mut text = String::from("[");
    for (position, one) in series.iter().enumerate() {
        text.push_str(if position == 0 { "{" } else { ",{" });
        for (name, value) in &one.labels {
            // Writing to a String cannot fail.
            let _ = write!(text, "\"{name}\":\"{}\",", escaped_json(value));
        }
        let _ = write!(text, "\"histogram\":{}}}", compact::json(&one.histogram));
    }
    text.push(']');
    text
}

/// What an OTLP metric is about, besides its data.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'m> {
    /// Its name.
    pub name: &'m str,
    /// What it tells, for people.
    pub help: &'m str,
    /// Whose it is: `service.name` of the resource.
    pub service: &'m str,
    /// Since when it is counted, in nanoseconds of the Unix epoch.
    pub since_ns: u64,
    /// When this was read, in the same.
    pub now_ns: u64,
}

/// OTLP's `ExportMetricsServiceRequest` as JSON: one exponential histogram in microseconds, whose counts only grow.
pub fn otlp(metric: Metric<'_>, series: &[Series]) -> String {
    const CUMULATIVE: u8 = 2;
    let attribute = |name: &str, value: &str| {
        format!("{{\"key\":\"{name}\",\"value\":{{\"stringValue\":\"{}\"}}}}", escaped_json(value))
    };
    let point = |one: &Series| {
        let attributes: Vec<String> = one.labels.iter().map(|(name, value)| attribute(name, value)).collect();
        let data = exponential(&one.histogram);
        // 64-bit integers are strings in the JSON of protobuf.
        let counts: Vec<String> = data.bucket_counts.iter().map(|count| format!("\"{count}\"")).collect();
        format!(
            "{{\"attributes\":[{}],\"startTimeUnixNano\":\"{}\",\"timeUnixNano\":\"{}\",\"count\":\"{}\",\"sum\":{},\
             \"scale\":{},\"zeroCount\":\"0\",\"positive\":{{\"offset\":{},\"bucketCounts\":[{}]}}}}",
            attributes.join(","),
            metric.since_ns,
            metric.now_ns,
            data.count,
            data.sum,
            data.scale,
            data.offset,
            counts.join(",")
        )
    };
    let points: Vec<String> = series.iter().map(point).collect();
    format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{}]}},\"scopeMetrics\":[{{\"scope\":{{\"name\":\"freezeframe\"}},\
         \"metrics\":[{{\"name\":\"{}\",\"description\":\"{}\",\"unit\":\"us\",\"exponentialHistogram\":\
         {{\"aggregationTemporality\":{CUMULATIVE},\"dataPoints\":[{}]}}}}]}}]}}]}}",
        attribute("service.name", metric.service),
        escaped_json(metric.name),
        escaped_json(metric.help),
        points.join(",")
    )
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn escaped_json(value: &str) -> String {
    let mut text = String::new();
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            plain => text.push(plain),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn series(route: &str) -> Series {
        let mut histogram = Histogram::new();
        [300_000, 2_000_000].into_iter().for_each(|ns| histogram.record_ns(ns));
        Series { labels: vec![("route", route.to_owned()), ("part", "total".to_owned())], histogram }
    }

    #[test]
    fn labels_are_escaped_in_every_format() {
        let odd = [series("a\"\\\n")];
        let text = text("d_seconds", "Time.", &odd);
        assert!(text.contains("d_seconds_count{route=\"a\\\"\\\\\\n\",part=\"total\"} 2\n"), "{text}");
        expect![[r#"[{"route":"a\"\\\u000a","part":"total","histogram":{"count":2,"sum_us":2300,"scale":5,"buckets":[[263,1],[350,1]]}}]"#]]
            .assert_eq(&json(&odd));
        assert_eq!(json(&[]), "[]");
    }

    #[test]
    fn an_export_is_what_otlp_says() {
        let metric = Metric { name: "d", help: "h", service: "a\"b", since_ns: 1, now_ns: u64::MAX };
        let mut one = series("r");
        one.histogram = Histogram::new();
        one.histogram.record_ns(300_000);
        expect![[r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a\"b"}}]},"scopeMetrics":[{"scope":{"name":"freezeframe"},"metrics":[{"name":"d","description":"h","unit":"us","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"attributes":[{"key":"route","value":{"stringValue":"r"}},{"key":"part","value":{"stringValue":"total"}}],"startTimeUnixNano":"1","timeUnixNano":"18446744073709551615","count":"1","sum":300,"scale":5,"zeroCount":"0","positive":{"offset":263,"bucketCounts":["1"]}}]}}]}]}]}"#]]
            .assert_eq(&otlp(metric, &[one]));
    }

    #[test]
    fn a_family_is_what_the_protobuf_says() {
        let bytes = protobuf("d", "h", &[series("r")]);
        // Its length, then field 1 of length 1: "d"; field 2: "h"; field 3: 4.
        assert_eq!(usize::from(bytes[0]), bytes.len() - 1);
        assert_eq!(&bytes[1..9], b"\x0a\x01d\x12\x01h\x18\x04");
        // Field 4, a metric: its first label is {1: "route", 2: "r"}.
        assert_eq!(bytes[9], 0x22);
        assert_eq!(&bytes[11..23], b"\x0a\x0a\x0a\x05route\x12\x01r");
    }
}
