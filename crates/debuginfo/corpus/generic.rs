// Closures, trait objects, generics, operators and chains of inlined functions.
use std::fmt::Debug;
use std::hint::black_box;
use std::ops::Add;

mod shapes {
    pub trait Shape {
        fn area(&self, scale: f64) -> f64;
        fn describe(&self, level: u8) -> u8 {
            let doubled = level * 2;
            std::hint::black_box(&doubled);
            self.area(f64::from(doubled)) as u8
        }
    }
    pub struct Square<T>(pub T);
    impl<T: Copy + Into<f64>> Shape for Square<T> {
        #[inline(never)]
        fn area(&self, scale: f64) -> f64 {
            let side: f64 = self.0.into();
            let area = side * side * scale;
            super::check(&area, side as i32);
            area
        }
    }
}
use shapes::{Shape, Square};

#[derive(Clone, Copy, Debug)]
struct Money(i64);

impl Add for Money {
    type Output = Money;
    #[inline(never)]
    fn add(self, other: Money) -> Money {
        let sum = self.0.checked_add(other.0).expect("too much money");
        Money(sum)
    }
}

#[inline(never)]
fn check<T: Debug>(value: &T, side: i32) {
    let limit = side - 3;
    black_box((value, &limit));
    let sum = Money(i64::MAX) + Money(i64::from(limit));
    black_box(&sum);
}

#[inline(always)]
fn innermost(x: i32) -> i32 {
    let y = x * 3;
    black_box(&y);
    let shape: Box<dyn Shape> = Box::new(Square(y as f32));
    i32::from(shape.describe(2))
}

#[inline(always)]
fn middle(x: i32) -> i32 {
    let shifted = x + 1;
    innermost(shifted) + 1
}

#[inline]
fn outer<F: Fn(i32) -> i32>(f: F, from: i32) -> i32 {
    let base = from - 1;
    f(base) + middle(base)
}

impl Money {
    #[inline(never)]
    fn each<I: Iterator<Item = u16>>(items: I) -> i32 {
        let mut sum = 0;
        items.map(|item| i32::from(item) + 1).for_each(|item| {
            let captured = &mut sum;
            *captured += outer(|x| x * item, item);
        });
        sum
    }
}

fn main() {
    let numbers: Vec<u16> = vec![1, 2, 3];
    let scale = black_box(2u16);
    let sum = Money::each(numbers.iter().map(|n| n * scale));
    println!("{sum}");
}
