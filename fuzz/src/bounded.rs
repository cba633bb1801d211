//! Counts what is allocated, and ends the process where an input makes us take more than any should.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are in use at once: far over what the inputs need, far below what hurts a server.
const IN_USE_MAX: usize = 256 << 20;

struct Bounded {
    in_use: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded { in_use: AtomicUsize::new(0) };

impl Bounded {
    fn take(&self, bytes: usize) {
        let before = self.in_use.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > IN_USE_MAX {
            // From here on the message may allocate, and does so without being counted twice.
            self.in_use.store(0, Ordering::Relaxed);
            eprintln!("an allocation of {bytes} bytes over {before} in use is more than {IN_USE_MAX}");
            std::process::abort();
        }
    }

    fn give_back(&self, bytes: usize) {
        self.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it is; only lengths are counted besides.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.give_back(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.take(size);
        self.give_back(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(at, layout, size) }
    }
}
