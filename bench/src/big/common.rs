//! A server with a lot of debug information. `/` is answered 200, `/try/N` works through module N, `/break/N` panics there, on
//! one of 64 threads.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const THREADS: usize = 64;

trait Entry: Clone + Debug + Default + Eq + Hash + Ord {
    fn make(key: u64) -> Self;
    fn key(&self) -> u64;
}

struct Stock<T> {
    shelf: BTreeMap<u64, T>,
    by_item: HashMap<T, Vec<u64>>,
    queue: VecDeque<T>,
}

impl<T: Entry> Stock<T> {
    fn filled(order: u64) -> Self {
        let items: Vec<T> = (0..8).map(|n| T::make(order.wrapping_add(n))).collect();
        Stock {
            shelf: items.iter().map(|item| (item.key(), item.clone())).collect(),
            by_item: items.iter().map(|item| (item.clone(), vec![item.key()])).collect(),
            queue: items.into(),
        }
    }
}

/// The same work for every type: what the compiler makes of it is what the program is large by.
#[inline(never)]
fn work<T: Entry>(order: u64) -> usize {
    let mut stock = Stock::<T>::filled(order);
    let mut sorted: Vec<T> = stock.shelf.values().cloned().collect();
    sorted.sort();
    sorted.sort_by_key(|item| std::cmp::Reverse(item.key()));
    sorted.dedup();
    let unique: HashSet<T> = sorted.iter().cloned().collect();
    let grouped: BTreeMap<T, Vec<T>> = unique.iter().map(|item| (item.clone(), vec![item.clone()])).collect();
    let longest = grouped.iter().max_by_key(|(item, all)| (item.key(), all.len())).map(|(item, _)| item.clone());
    stock.queue.extend(longest);
    stock.queue.retain(|item| item.key() % 2 == 0);
    stock.by_item.entry(T::make(order)).or_default().push(order);
    let texts: Vec<String> = stock.queue.iter().map(|item| format!("{item:?}")).collect();
    let pairs: HashMap<String, (T, Arc<T>)> =
        texts.iter().cloned().zip(stock.queue.iter().map(|item| (item.clone(), Arc::new(item.clone())))).collect();
    pairs.len() + grouped.len() + stock.by_item.values().map(Vec::len).sum::<usize>()
}

struct Later(bool);

impl Future for Later {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn settle<T: Entry>(stock: Stock<T>, order: u64, breaks: bool) -> usize {
    let first = stock.shelf.values().next().cloned();
    let waiting = stock.queue.len();
    Later(false).await;
    let reserved = take(&stock, order, breaks);
    reserved + waiting + first.map_or(0, |item| item.key() as usize)
}

#[inline(never)]
fn take<T: Entry>(stock: &Stock<T>, order: u64, breaks: bool) -> usize {
    let found = stock.shelf.get(&order);
    let wanted = T::make(order);
    let places = stock.by_item.get(&wanted).map_or(0, Vec::len);
    if breaks {
        panic!("order {order}: {places} places, but the shelf is empty: {}", found.is_none());
    }
    places
}

fn run(task: impl Future<Output = usize>) -> usize {
    let mut task = pin!(task);
    loop {
        if let Poll::Ready(done) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

fn answer(path: &str) -> &'static str {
    let numbers = path.strip_prefix("/break/").or(path.strip_prefix("/try/"));
    if let Some(module) = numbers.and_then(|number| number.parse().ok()) {
        let breaks = path.starts_with("/break/");
        std::hint::black_box(run(handle(module, module.wrapping_mul(1000), breaks)));
    }
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
}

fn serve(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut buffer = [0; 8192];
        let length = stream.read(&mut buffer).unwrap_or(0);
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or("/");
        let _ = stream.write_all(answer(path).as_bytes());
    }
}

fn main() {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
    println!("listening on {}", listener.local_addr().expect("an address"));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| serve(&listener));
        }
    });
}
