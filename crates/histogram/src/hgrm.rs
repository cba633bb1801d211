//! The text of HdrHistogram's percentile plots (`.hgrm`), in milliseconds.

use std::fmt::Write;

use crate::bucket;
use crate::counts::Histogram;

/// Steps per halving of what is left, as the original has it by default.
const TICKS_PER_HALVING: f64 = 5.0;
/// What is left at the end of the steps: past this every line would be the same.
const LEFT_MIN: f64 = 1e-9;

/// A file for HdrHistogram's plotter.
pub fn text(histogram: &Histogram) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let total = histogram.count();
    let last = histogram.percentile_us(1.0).unwrap_or(0.0);
    let mut part = 0.0_f64;
    let mut lines = Vec::new();
    while total > 0 && 1.0 - part > LEFT_MIN {
        let Some(us) = histogram.percentile_us(part) else { break };
        let below = at_most(histogram, us);
        if below >= total {
            break;
        }
        lines.push((us, part, below));
        let halvings = (1.0 / (1.0 - part)).log2().floor() + 1.0;
        part += 1.0 / (TICKS_PER_HALVING * halvings.exp2());
    }
    // Writing to a String cannot fail.
    for (us, part, below) in lines {
        let _ = writeln!(text, "{:12.3} {part:2.12} {below:10} {:14.2}", us / 1e3, 1.0 / (1.0 - part));
    }
    let _ = writeln!(text, "{:12.3} {:2.12} {total:10}", last / 1e3, 1.0);
    let (mean, deviation) = moments(histogram);
    let _ = writeln!(text, "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]", mean / 1e3, deviation / 1e3);
    let _ = writeln!(text, "#[Max     = {:12.3}, Total count    = {total:12}]", last / 1e3);
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        bucket::BUCKETS >> bucket::SCALE,
        1 << bucket::SCALE
    );
    text
}

fn at_most(histogram: &Histogram, us: f64) -> u64 {
    let up_to = bucket::index_us(us);
    histogram.filled().take_while(|&(index, _)| index <= up_to).map(|(_, count)| count).sum()
}

/// Mean and standard deviation in microseconds, from the middles of the buckets.
fn moments(histogram: &Histogram) -> (f64, f64) {
    let total = (histogram.count() as f64).max(1.0);
    let weigh = |of: &dyn Fn(f64) -> f64| -> f64 {
        histogram.filled().map(|(index, count)| of(bucket::middle_us(index)) * count as f64).sum::<f64>()
            / total
    };
    let mean = weigh(&|us| us);
    let variance = weigh(&|us| (us - mean) * (us - mean));
    (mean, variance.sqrt())
}
