// A plain panic deep in nested calls, with many kinds of locals in every frame.
use std::hint::black_box;

#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(dead_code)]
enum Color {
    Red,
    Green = 7,
    Blue,
}

#[derive(Clone, Copy, Debug)]
#[repr(i16)]
#[allow(dead_code)]
enum Level {
    Low = -5,
    High = 300,
}

struct Order {
    id: u32,
    total: f64,
}

#[inline(never)]
fn price(order: &Order, quantity: i8, limit: Option<u16>) -> u32 {
    let tiny: i8 = quantity.wrapping_sub(100);
    let small: u16 = 0xfffe;
    let wide: i128 = -170_141_183_460_469_231_731_687_303_715_884_105_728;
    let wider: u128 = u128::MAX - 1;
    let letter = 'ß';
    let quote = '\'';
    let sure = order.total > 1.0;
    let ratio: f32 = 0.1;
    let precise = order.total / 3.0;
    let nothing = ();
    let color = Color::Green;
    let level = Level::Low;
    black_box((&tiny, &small, &wide, &wider, &letter, &quote, &sure, &ratio));
    black_box((&precise, &nothing, &color, &level, &limit));
    let picked = limit.expect("a limit");
    u32::from(picked) + order.id
}

#[inline(never)]
fn total(orders: &[Order], rounds: usize) -> u64 {
    let mut sum = 0u64;
    for (index, order) in orders.iter().enumerate() {
        let shadowed = index * 2;
        black_box(&shadowed);
        let shadowed = shadowed as f32 + 0.5;
        black_box(&shadowed);
        {
            let shadowed = 'x';
            black_box(&shadowed);
            let limit = if index == rounds { None } else { Some(3) };
            sum += u64::from(price(order, -100, limit));
        }
        black_box(&sum);
    }
    sum
}

fn main() {
    let orders = [Order { id: 1, total: 2.5 }, Order { id: 2, total: 1e300 }];
    let pointer: *const Order = &orders[1];
    let function: fn(&[Order], usize) -> u64 = total;
    let infinite = f64::NEG_INFINITY;
    black_box((&pointer, &infinite));
    let sum = black_box(function)(&orders, 1);
    println!("{sum}");
}
