// A panic three async functions deep, on an executor of one loop.
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

const TABLE: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &TABLE), |_| (), |_| (), |_| ());

struct Later(u8);

impl Future for Later {
    type Output = u8;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
        self.0 -= 1;
        let left = self.0;
        if left == 0 { Poll::Ready(left) } else { Poll::Pending }
    }
}

async fn charge(amount: u32, retries: u8) -> u32 {
    let fee = amount / 10;
    let waited = Later(retries).await;
    let rest = amount - fee;
    black_box((&waited, &rest));
    if rest > 0 {
        panic!("card declined");
    }
    rest
}

async fn checkout(first: u32, second: u32) -> u32 {
    let sum = first + second;
    let paid = charge(sum, 2).await;
    let _tip = async move { Later(1).await + 1 }.await;
    paid + sum
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // SAFETY: the waker does nothing.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    let mut context = Context::from_waker(&waker);
    let mut polls = 0i32;
    loop {
        polls += 1;
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        black_box(&polls);
    }
}

fn main() {
    let answer = block_on(checkout(black_box(30), 12));
    println!("{answer}");
}
