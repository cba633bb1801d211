//! The system's allocator, with one addition: a thread that asks for it keeps what it frees for its next allocations.
//!
//! The C library keeps seven blocks of each size per thread, none above 1,032 bytes and none that is aligned to more than 16
//! bytes; for all others it merges, splits and searches. A proxy takes some thirty blocks for every request, has dozens of
//! requests at a time, and gives everything back microseconds later. On all other threads nothing is different from the C library.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: freezeframe_blocks::Allocator = freezeframe_blocks::Allocator;
//!
//! let kept = freezeframe_blocks::keep();
//! drop(Vec::<u8>::with_capacity(8192)); // stays with this thread,
//! let _buffer = Vec::<u8>::with_capacity(8000); // which gives it out again
//! drop(kept); // From here on, not any more.
//! ```

mod shelf;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr;

use shelf::{Rack, Size};

/// What every block of the C library is aligned to.
const ALIGN: usize = 16;

/// The system's allocator; see the crate.
#[derive(Clone, Copy, Debug)]
pub struct Allocator;

/// While one of these lives, its thread keeps blocks: at most [`KEPT_BYTES_MAX`] bytes of them.
#[derive(Debug)]
pub struct Kept(PhantomData<*const ()>);

pub use shelf::KEPT_BYTES_MAX;

thread_local! {
    /// Without a destructor, so that it can be reached for as long as the thread runs.
    static RACK: UnsafeCell<Rack> = const { UnsafeCell::new(Rack::new()) };
}

/// Has this thread keep blocks from now on, until the last of what this returned is dropped.
#[must_use]
pub fn keep() -> Kept {
    with_rack(|rack| rack.open());
    Kept(PhantomData)
}

impl Drop for Kept {
    fn drop(&mut self) {
        with_rack(|rack| {
            // SAFETY: whatever is on the rack came from `allocate` and is nobody else's.
            rack.close(|block| unsafe { libc::free(block.as_ptr().cast()) });
        });
    }
}

/// Whether this thread keeps blocks.
#[inline]
fn keeps() -> bool {
    with_rack(|rack| rack.is_open())
}

#[inline]
fn with_rack<R>(work: impl FnOnce(&mut Rack) -> R) -> R {
    // SAFETY: only this thread has this one, and `work` never allocates, so that no two of these calls nest.
    RACK.with(|rack| work(unsafe { &mut *rack.get() }))
}

/// A block of the C library.
fn allocate(size: usize, align: usize) -> *mut u8 {
    if align <= ALIGN {
        // SAFETY: any size is allowed.
        return unsafe { libc::malloc(size) }.cast();
    }
    let mut block = ptr::null_mut();
    // SAFETY: a layout's alignment is a power of two, and this one is a multiple of a pointer's size.
    let result = unsafe { libc::posix_memalign(&raw mut block, align, size) };
    if result == 0 { block.cast() } else { ptr::null_mut() }
}

// SAFETY: blocks come from the C library, with at least the layout's size and alignment, and go back to it with `free`, or to
// another layout that they are large enough and well enough aligned for. Nothing here panics.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = Size::of_layout(layout).filter(|_| keeps()) else {
            return allocate(layout.size(), layout.align());
        };
        match with_rack(|rack| rack.take(size)) {
            Some(block) => block.as_ptr(),
            // What this thread allocates may come to its rack, so it is as large as everything there.
            None => allocate(size.bytes(), size.align()),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGN {
            // SAFETY: any size is allowed. (The system's pages are zero already: the C library knows which are.)
            return unsafe { libc::calloc(1, layout.size()) }.cast();
        }
        // SAFETY: the caller's, and the block is as large as its layout.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let is_ours = keeps() && Size::of_layout(layout).is_some();
        // SAFETY: the block is one of the C library's, still allocated, and nobody's from here on.
        if is_ours && with_rack(|rack| unsafe { rack.put(block, libc::malloc_usable_size(block.cast())) }) {
            return;
        }
        // SAFETY: as above.
        unsafe { libc::free(block.cast()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's: not zero, and not too large with this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let moves = keeps() && Size::of_layout(new_layout).is_some();
        if layout.align() <= ALIGN && !moves {
            // SAFETY: the block is one of the C library's, whose blocks are aligned well enough.
            return unsafe { libc::realloc(block.cast(), size) }.cast();
        }
        // SAFETY: the block is still allocated; the new one is another, and both are as long as what is copied.
        unsafe {
            if size >= layout.size() && size <= libc::malloc_usable_size(block.cast()) {
                return block;
            }
            let new = self.alloc(new_layout);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
