// C calls Rust, which calls C, which calls back into Rust, which must not panic there.
// with: with/callback.c
// flags: -C panic=unwind
use std::hint::black_box;

unsafe extern "C" {
    fn each_item(items: *const i32, count: usize, callback: extern "C" fn(i32, *mut u64) -> i32, to: *mut u64) -> i32;
    fn run(entry: extern "C" fn(i16) -> i32, number: i16) -> i32;
}

extern "C" fn on_item(item: i32, to: *mut u64) -> i32 {
    let positive = item.unsigned_abs();
    // SAFETY: the caller passes on what `start` gave it.
    let sum = unsafe { &mut *to };
    *sum += u64::from(positive);
    black_box(&sum);
    if item < 0 {
        panic!("item {item} is negative");
    }
    item
}

extern "C" fn start(number: i16) -> i32 {
    let items = [1, 2, -3, i32::from(number)];
    let mut sum = 0u64;
    // SAFETY: pointer and length belong together.
    let last = unsafe { each_item(items.as_ptr(), items.len(), on_item, &mut sum) };
    black_box(sum);
    last + 1
}

fn main() {
    // SAFETY: `start` has the type that C expects.
    let code = unsafe { run(start, black_box(9)) };
    println!("{code}");
}
