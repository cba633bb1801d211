//! How long requests took in the last hour, as a heat map of characters: a row is a range of durations, a column a piece of time, a
//! cell as dark as its part of that column's requests.

use freezeframe_api::dto::{HistoryAnswer, HistoryColumn};

/// A row's name, and the shortest duration in microseconds that belongs there; the longest is that of the row above.
pub(super) type Row = (&'static str, f64);

/// Rows from slow to fast.
pub(super) const ROWS: &[Row] =
    &[("≥ 10 s", 1e7), ("≥ 1 s", 1e6), ("≥ 100 ms", 1e5), ("≥ 10 ms", 1e4), ("≥ 1 ms", 1e3), ("< 1 ms", 0.0)];
/// The same where there is room for few.
pub(super) const FEW_ROWS: &[Row] = &[("≥ 1 s", 1e6), ("≥ 100 ms", 1e5), ("< 100 ms", 0.0)];
/// The factor from a bucket's lower bound to its upper bound.
const BUCKET: f64 = 1.021_897_148_654_116_7;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The newest columns, as many as fit, each one or several of the history.
pub(super) fn columns(history: &HistoryAnswer, width: usize) -> Vec<Vec<&HistoryColumn>> {
    let all = &history.columns;
    let each = all.len().div_ceil(width.max(1)).max(1);
    // From the end: the newest column is whole, and columns do not change what they are made of as time goes on.
    let mut runs: Vec<Vec<&HistoryColumn>> = all.rchunks(each).map(|run| run.iter().collect()).collect();
    runs.reverse();
    runs
}

/// The cells of a row: what took from `from` to less than `to`.
pub(super) fn row(columns: &[Vec<&HistoryColumn>], from: f64, to: f64) -> String {
    let cells = columns.iter().map(|run| {
        let buckets = run.iter().flat_map(|column| &column.buckets);
        let (mut here, mut all) = (0_u64, 0_u64);
        for (upper, count) in buckets {
            let lower = upper / BUCKET;
            all = all.saturating_add(*count);
            // Bounds are powers of 2^(1/32): the one that is meant by a round number is a little beside it.
            if lower >= from * 0.999 && lower < to * 0.999 {
                here = here.saturating_add(*count);
            }
        }
        shade(here, all)
    });
    cells.collect()
}

/// A single slow request among a million is still a dot: it is what one looks for.
fn shade(here: u64, all: u64) -> char {
    if here == 0 || all == 0 {
        return ' ';
    }
    match here as f64 / all as f64 {
        part if part < 0.01 => '·',
        part if part < 0.1 => '░',
        part if part < 0.4 => '▒',
        part if part < 0.8 => '▓',
        _ => '█',
    }
}

/// A bar for each column, by what `count` says of it; nothing is no bar.
pub(super) fn bars(columns: &[Vec<&HistoryColumn>], count: impl Fn(&HistoryColumn) -> u64) -> String {
    let sums: Vec<u64> = columns.iter().map(|run| run.iter().map(|column| count(column)).sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    let bar = |sum: u64| match (sum, most) {
        (0, _) | (_, 0) => ' ',
        (sum, most) => {
            let step = (sum as f64 / most as f64 * BARS.len() as f64).ceil() as usize;
            BARS.get(step.saturating_sub(1)).copied().unwrap_or('█')
        }
    };
    sums.into_iter().map(bar).collect()
}

/// Marks below the columns: `!` an incident, `^` a deploy.
pub(super) fn marks(history: &HistoryAnswer, columns: &[Vec<&HistoryColumn>]) -> String {
    let mut marks = vec![' '; columns.len()];
    for marker in &history.markers {
        // RFC 3339 in UTC sorts as text.
        let begun = |run: &Vec<&HistoryColumn>| run.first().is_some_and(|column| column.at <= marker.at);
        let Some(at) = columns.iter().rposition(begun) else { continue };
        if let Some(mark) = marks.get_mut(at) {
            *mark = if marker.kind == "incident" || *mark == '!' { '!' } else { '^' };
        }
    }
    marks.into_iter().collect()
}
