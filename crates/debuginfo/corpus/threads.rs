// A thousand threads that wait, and one of them that panics.
// builds: debug release
use std::hint::black_box;
use std::sync::{Arc, Barrier, Condvar, Mutex};

const THREADS: u32 = 1000;

#[inline(never)]
fn serve(number: u32, all: &Barrier, never: &(Mutex<bool>, Condvar)) -> u32 {
    let even = number % 2 == 0;
    black_box(&even);
    all.wait();
    if number == 500 {
        let share = black_box(number) / 3;
        panic!("worker {number} with {share}");
    }
    let mut done = never.0.lock().unwrap();
    while !*done {
        done = never.1.wait(done).unwrap();
    }
    number
}

fn main() {
    let all = Arc::new(Barrier::new(THREADS as usize));
    let never = Arc::new((Mutex::new(false), Condvar::new()));
    let mut threads = Vec::new();
    for number in 0..THREADS {
        let (all, never) = (all.clone(), never.clone());
        let builder = std::thread::Builder::new().stack_size(64 * 1024);
        threads.push(builder.spawn(move || serve(number, &all, &never)).unwrap());
    }
    for thread in threads {
        thread.join().unwrap();
    }
}
