//! Durations in base-2 exponential buckets: 32 per octave, 2.2 % wide, from 1 µs to an hour.
//!
//! A percentile that was computed somewhere cannot be added to another one; a histogram can. So what is kept, sent and stored
//! are counts, and percentiles are computed only where somebody looks at them. The buckets are those of Prometheus's native
//! histograms with schema 5 and of OpenTelemetry's exponential histograms with scale 5, so both exports are exact.
//!
//! It does not know what is measured, who asks for it, or what time it is.
//!
//! - [`Histogram`]: plain counts, for one writer, for merging and for reading.
//! - [`Recorder`]: the same with relaxed atomics, written by one thread of many and read by any: one per core, merged when shown.
//! - Exports: [`prometheus`], [`opentelemetry`], [`compact`] (JSON for a heat map), [`hgrm`]; of many with
//!   labels: [`family`].

pub mod bucket;
pub mod compact;
mod counts;
pub mod family;
pub mod hgrm;
pub mod opentelemetry;
pub mod prometheus;
mod recorder;

pub use counts::Histogram;
pub use family::Series;
pub use recorder::Recorder;
