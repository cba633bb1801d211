// A panic inside Drop while another panic unwinds: the runtime aborts.
// flags: -C panic=unwind
use std::hint::black_box;

struct Guard {
    number: i32,
    name: char,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let doubled = self.number * 2;
        let name = self.name;
        black_box((&doubled, &name));
        if doubled == 42 {
            panic!("the guard was the answer");
        }
    }
}

#[inline(never)]
fn work(step: i64) -> i64 {
    let guard = Guard { number: 21, name: 'g' };
    let other = Guard { number: 1, name: 'o' };
    let next = step + i64::from(guard.number);
    black_box((&other, &next));
    if next > 21 {
        panic!("step {next}");
    }
    next
}

fn main() {
    let step: i64 = black_box(5);
    println!("{}", work(step));
}
