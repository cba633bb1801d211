// More frames than anybody reads: 12,000, then an abort. All readers stop at the same bound.
// frames: 1000
use std::hint::black_box;

#[inline(never)]
fn descend(depth: u32, carried: u64) -> u64 {
    let half = carried / 2;
    black_box(&half);
    if depth == 0 {
        std::process::abort();
    }
    descend(depth - 1, carried + 1) + half
}

fn main() {
    println!("{}", descend(black_box(12_000), 7));
}
