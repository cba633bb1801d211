//! What others are given: the same counts, in their forms.

use expect_test::{Expect, expect};
use freezeframe_histogram::{Histogram, compact, hgrm, opentelemetry, prometheus};

fn sample() -> Histogram {
    let mut histogram = Histogram::new();
    for us in [900, 1_000, 1_010, 1_024, 5_000, 5_000, 5_100, 40_000, 3_000_000] {
        histogram.record_ns(us * 1_000);
    }
    histogram
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(text);
}

#[test]
fn classic_buckets() {
    check(
        &prometheus::classic("request_seconds", "route=\"/\"", &sample()),
        &expect![[r#"
        request_seconds_bucket{route="/",le="0.000256"} 0
        request_seconds_bucket{route="/",le="0.000512"} 0
        request_seconds_bucket{route="/",le="0.001024"} 4
        request_seconds_bucket{route="/",le="0.002048"} 4
        request_seconds_bucket{route="/",le="0.004096"} 4
        request_seconds_bucket{route="/",le="0.008192"} 7
        request_seconds_bucket{route="/",le="0.016384"} 7
        request_seconds_bucket{route="/",le="0.032768"} 7
        request_seconds_bucket{route="/",le="0.065536"} 8
        request_seconds_bucket{route="/",le="0.131072"} 8
        request_seconds_bucket{route="/",le="0.262144"} 8
        request_seconds_bucket{route="/",le="0.524288"} 8
        request_seconds_bucket{route="/",le="1.048576"} 8
        request_seconds_bucket{route="/",le="2.097152"} 8
        request_seconds_bucket{route="/",le="4.194304"} 9
        request_seconds_bucket{route="/",le="8.388608"} 9
        request_seconds_bucket{route="/",le="16.777216"} 9
        request_seconds_bucket{route="/",le="33.554432"} 9
        request_seconds_bucket{route="/",le="67.108864"} 9
        request_seconds_bucket{route="/",le="+Inf"} 9
        request_seconds_sum{route="/"} 3.059034
        request_seconds_count{route="/"} 9
    "#]],
    );
    let empty = prometheus::classic("x", "", &Histogram::new());
    assert!(empty.ends_with("x_bucket{le=\"+Inf\"} 0\nx_sum 0\nx_count 0\n"), "{empty}");
}

#[test]
fn native_histogram() {
    let native = prometheus::native(&sample());
    check(
        &format!("{native:#?}"),
        &expect![[r#"
        Native {
            schema: 5,
            sample_count: 9,
            sample_sum: 3.059034,
            positive_span: [
                Span {
                    offset: -323,
                    length: 1,
                },
                Span {
                    offset: 3,
                    length: 2,
                },
                Span {
                    offset: 73,
                    length: 2,
                },
                Span {
                    offset: 94,
                    length: 1,
                },
                Span {
                    offset: 198,
                    length: 1,
                },
            ],
            positive_delta: [
                1,
                0,
                1,
                0,
                -1,
                0,
                0,
            ],
        }"#]],
    );
    check(
        &format!("{:02x?}", native.to_protobuf()),
        &expect![
            "[08, 09, 11, 07, d1, 5a, d1, e6, 78, 08, 40, 28, 0a, 31, 00, 00, 00, 00, 00, 00, 00, 00, 38, 00, 62, 05, 08, 85, 05, 10, 01, 62, 04, 08, 06, 10, 02, 62, 05, 08, 92, 01, 10, 02, 62, 05, 08, bc, 01, 10, 01, 62, 05, 08, 8c, 03, 10, 01, 6a, 07, 02, 00, 02, 00, 01, 00, 00]"
        ],
    );
}

#[test]
fn exponential_histogram() {
    let data = opentelemetry::exponential(&sample());
    assert_eq!((data.scale, data.count, data.offset), (5, 9, 314));
    assert_eq!(data.bucket_counts.iter().sum::<u64>(), 9);
    assert_eq!(data.sum, 3_059_034.0);
    assert!(opentelemetry::exponential(&Histogram::new()).bucket_counts.is_empty());
}

#[test]
fn heat_map() {
    check(
        &compact::json(&sample()),
        &expect![[
            r#"{"count":9,"sum_us":3059034,"scale":5,"buckets":[[314,1],[318,1],[319,2],[393,2],[394,1],[489,1],[688,1]]}"#
        ]],
    );
    check(
        &format!("{:?}", compact::rows(&sample(), 1)),
        &expect!["[(1024.0, 4), (8192.0, 3), (65536.0, 1), (4194304.0, 1)]"],
    );
    assert_eq!(compact::json(&Histogram::new()), r#"{"count":0,"sum_us":0,"scale":5,"buckets":[]}"#);
}

#[test]
fn percentile_plot() {
    check(
        &hgrm::text(&sample()),
        &expect![[r#"
               Value     Percentile TotalCount 1/(1-Percentile)

               0.909 0.000000000000          1           1.00
               0.909 0.100000000000          1           1.11
               0.991 0.200000000000          2           1.25
               1.013 0.300000000000          4           1.43
               1.013 0.400000000000          4           1.67
               5.032 0.500000000000          6           2.00
               5.032 0.550000000000          6           2.22
               5.032 0.600000000000          6           2.50
               5.032 0.650000000000          6           2.86
               5.142 0.700000000000          7           3.33
               5.142 0.750000000000          7           4.00
               5.142 0.775000000000          7           4.44
              40.255 0.800000000000          8           5.00
              40.255 0.825000000000          8           5.71
              40.255 0.850000000000          8           6.67
              40.255 0.875000000000          8           8.00
              40.255 0.887500000000          8           8.89
            2998.116 1.000000000000          9
        #[Mean    =      339.723, StdDeviation   =      939.959]
        #[Max     =     2998.116, Total count    =            9]
        #[Buckets =           31, SubBuckets     =           32]
    "#]],
    );
    assert!(hgrm::text(&Histogram::new()).contains("Total count    =            0"));
}
