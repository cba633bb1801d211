//! Tasks that wait, each in a way of its own, until one of them panics and keeps everything where it is.
//!
//! `tasks multi` runs them on two worker threads, `tasks current` on the main thread, and `tasks many` with thousands more. Prints the id of the thread that
//! panicked once it stands still; ends when its standard input does.

use std::future::Future;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};

const HOUR: Duration = Duration::from_secs(3600);
/// Turns after which every other task has been polled.
const TURNS: u32 = 200;

async fn sleeper(customer: String, attempts: u32) -> usize {
    let label = format!("{customer}#{attempts}");
    sleep(HOUR).await; // sleeper waits
    label.len()
}

async fn holder(ledger: Arc<Mutex<u64>>) {
    let mut total = ledger.lock().await;
    sleep(HOUR).await; // holder waits
    *total += 1;
}

async fn locker(ledger: Arc<Mutex<u64>>) {
    let amount = 17u64;
    let mut total = ledger.lock().await; // locker waits
    *total += amount;
}

async fn consumer(mut orders: mpsc::Receiver<u64>) -> u64 {
    let mut sum = 100u64;
    while let Some(order) = orders.recv().await
    /* consumer waits */
    {
        sum += order;
    }
    sum
}

async fn chooser(stop: oneshot::Receiver<()>) -> u32 {
    let choice = 3u32;
    tokio::select! { // chooser waits
        () = sleep(HOUR) => choice,
        _ = stop => 0,
        _ = sleeper("select".to_owned(), 2) => 1,
    }
}

async fn joiner() -> usize {
    let (left, right) = tokio::join!(sleeper("left".to_owned(), 1), sleeper("right".to_owned(), 2)); // joiner waits
    left + right
}

fn boxed(depth: u32) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return sleeper("boxed".to_owned(), depth).await; // bottom waits
        }
        boxed(depth - 1).await + 1 // boxed waits
    })
}

/// A future around a future, as instrumentation makes them.
struct Named<F> {
    name: &'static str,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.get_mut().inner.as_mut().poll(context)
    }
}

impl<F> Drop for Named<F> {
    fn drop(&mut self) {
        std::hint::black_box(self.name);
    }
}

async fn limited() -> bool {
    let named = Named { name: "limited", inner: Box::pin(sleeper("named".to_owned(), 5)) };
    timeout(HOUR, named).await.is_ok() // limited waits
}

async fn outer(order: u64) -> u64 {
    let doubled = middle(order).await * 2; // outer waits
    doubled + order
}

async fn middle(order: u64) -> u64 {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
    inner(order + 1).await + order // middle waits
}

async fn inner(order: u64) -> u64 {
    let rest = std::hint::black_box(order) % 7;
    tokio::task::yield_now().await;
    assert!(rest != 1, "order {order} has a rest of {rest}"); // inner panics
    rest
}

async fn everything(more: u32) {
    let ledger = Arc::new(Mutex::new(0));
    let (order, orders) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel();
    let tasks = [
        tokio::spawn(holder(ledger.clone())), // holder is spawned
        tokio::spawn(locker(ledger.clone())),
    ];
    tokio::spawn(sleeper("ada".to_owned(), 4));
    tokio::spawn(consumer(orders));
    tokio::spawn(chooser(stopped));
    tokio::spawn(joiner());
    tokio::spawn(boxed(2));
    tokio::spawn(limited());
    tokio::spawn(async move {
        let held = (order, stop);
        sleep(HOUR).await; // block waits
        drop(held);
    });
    for number in 0..more {
        tokio::spawn(sleeper("many".to_owned(), number));
    }
    let _ended = tokio::spawn(outer(7)).await;
    drop(tasks);
}

/// Says which thread panicked, and keeps it there.
fn stand_still() {
    let id = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let id = id.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut out = std::io::stdout();
    let _told = out.write_all(format!("{id}\n").as_bytes()).and_then(|()| out.flush());
    let _end = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

fn main() -> std::io::Result<()> {
    std::panic::set_hook(Box::new(|_| stand_still()));
    let mode = std::env::args().nth(1).unwrap_or_default();
    let mut builder = match mode.as_str() {
        "current" | "many" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let more = if mode == "many" { 5_000 } else { 0 };
    builder.worker_threads(2).enable_time().build()?.block_on(everything(more));
    Ok(())
}
