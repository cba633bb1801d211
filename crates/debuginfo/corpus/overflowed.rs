// A stack overflow on a thread, in the abort that the runtime's handler makes of it on its alternate stack.
// deliver: 1
// frames: 600
use std::hint::black_box;

#[inline(never)]
fn fill(depth: u64, sign: i8) -> u64 {
    let mut room = [depth; 512];
    black_box((&mut room, &sign));
    fill(depth + 1, -sign) + room[(depth % 128) as usize]
}

fn main() {
    let thread = std::thread::spawn(|| fill(black_box(0), 1));
    println!("{:?}", thread.join());
}
