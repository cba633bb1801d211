//! Rust with `alloc` and nothing else: the types that the decoder knows, on a heap that never frees.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicUsize, Ordering};

const ROOM: usize = 4096;
static mut HEAP: [u8; ROOM] = [0; ROOM];
static USED: AtomicUsize = AtomicUsize::new(0);

struct Bump;
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let at = USED.fetch_add(layout.size() + layout.align(), Ordering::Relaxed);
        let at = at.next_multiple_of(layout.align());
        if at + layout.size() > ROOM { core::ptr::null_mut() } else { unsafe { (&raw mut HEAP as *mut u8).add(at) } }
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    stop()
}

#[inline(never)]
fn stop() -> ! {
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

pub enum Payment {
    Cash,
    Card { number: u64, owner: &'static str },
    Invoice(Box<Order>, Option<u32>),
}

pub struct Order {
    pub id: u64,
    pub title: String,
    pub sizes: Vec<i16>,
    pub payment: Payment,
    pub parent: Option<Rc<RefCell<u8>>>,
}

#[inline(never)]
fn charge(order: &Order, password: &str, totals: &BTreeMap<u32, &str>, queue: &VecDeque<char>) -> usize {
    let nothing: Option<&str> = None;
    let pair = (order.sizes.len(), Cell::new(true));
    let first = order.sizes[order.sizes.len() + password.len()];
    first as usize + pair.0 + totals.len() + queue.len() + nothing.map_or(0, str::len)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn begin() -> ! {
    let mut totals = BTreeMap::new();
    totals.insert(1, "one");
    totals.insert(2, "two");
    let mut queue = VecDeque::new();
    queue.extend(['a', 'ß']);
    queue.pop_front();
    let inner = Order { id: 2, title: String::new(), sizes: Vec::new(), payment: Payment::Card { number: 42, owner: "me" }, parent: None };
    let order = Order {
        id: 7,
        title: String::from("three cups"),
        sizes: Vec::from([1, -2, 300]),
        payment: Payment::Invoice(Box::new(inner), Some(30)),
        parent: Some(Rc::new(RefCell::new(5))),
    };
    let other = Payment::Cash;
    charge(&order, "hunter2", &totals, &queue);
    core::hint::black_box(&other);
    stop()
}

// The beginning, and what the compiler takes to be in the C library.
core::arch::global_asm!(
    ".globl _start", "_start:", ".cfi_startproc", ".cfi_undefined rip",
    "xor %ebp, %ebp", "call begin", "hlt", ".cfi_endproc",
    ".globl memcpy", "memcpy:", "mov %rdi, %rax", "mov %rdx, %rcx", "rep movsb", "ret",
    ".globl memmove", "memmove:", "mov %rdi, %rax", "mov %rdx, %rcx", "cmp %rsi, %rdi", "ja 1f", "rep movsb", "ret",
    "1:", "lea -1(%rdi,%rdx), %rdi", "lea -1(%rsi,%rdx), %rsi", "std", "rep movsb", "cld", "ret",
    ".globl memset", "memset:", "mov %rdi, %r8", "mov %esi, %eax", "mov %rdx, %rcx", "rep stosb", "mov %r8, %rax", "ret",
    ".globl memcmp", "memcmp:", "xor %eax, %eax", "mov %rdx, %rcx", "cmp %eax, %eax", "repe cmpsb", "je 2f",
    "movzbl -1(%rdi), %eax", "movzbl -1(%rsi), %ecx", "sub %ecx, %eax", "2:", "ret",
    ".globl bcmp", "bcmp:", "jmp memcmp",
    ".globl strlen", "strlen:", "xor %eax, %eax", "3:", "cmpb $0, (%rdi,%rax)", "je 4f", "inc %rax", "jmp 3b", "4:", "ret",
    ".globl rust_eh_personality", "rust_eh_personality:", ".globl _Unwind_Resume", "_Unwind_Resume:", "ud2",
    options(att_syntax)
);
