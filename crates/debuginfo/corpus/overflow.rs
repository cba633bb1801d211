// A stack overflow, at the faulting instruction.
// frames: 800
use std::hint::black_box;

#[inline(never)]
fn fill(depth: u64) -> u64 {
    let mut room = [depth; 128];
    black_box(&mut room);
    fill(depth + 1) + room[(depth % 128) as usize]
}

fn main() {
    println!("{}", fill(black_box(0)));
}
