//! The allocator under everything that a program may do with it: every block is as large and as aligned as its layout, nobody
//! else's, and keeps its content; wherever it was allocated, kept or freed.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc;

use freezeframe_blocks::{Allocator, keep};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// A block with what was written into it.
struct Owned {
    block: *mut u8,
    layout: Layout,
    mark: u8,
}

// SAFETY: it owns its block alone.
unsafe impl Send for Owned {}

impl Owned {
    fn new(layout: Layout, is_zeroed: bool, mark: u8) -> Self {
        // SAFETY: no layout here is empty.
        let block =
            unsafe { if is_zeroed { ALLOCATOR.alloc_zeroed(layout) } else { ALLOCATOR.alloc(layout) } };
        assert!(!block.is_null());
        let new = Self { block, layout, mark: 0 };
        if is_zeroed {
            new.check(layout.size());
        }
        new.marked(mark)
    }

    fn marked(mut self, mark: u8) -> Self {
        assert!(self.block.addr().is_multiple_of(self.layout.align()), "{:?}", self.layout);
        // SAFETY: the block is as long as its layout.
        unsafe { self.block.write_bytes(mark, self.layout.size()) };
        self.mark = mark;
        self
    }

    fn check(&self, length: usize) {
        // SAFETY: the block is as long, and everything in it was written.
        let content = unsafe { std::slice::from_raw_parts(self.block, length) };
        assert!(
            content.iter().all(|byte| *byte == self.mark),
            "{:?} was written to by somebody else",
            self.layout
        );
    }

    fn resized(mut self, size: usize, mark: u8) -> Self {
        let shorter = self.layout.size().min(size);
        // SAFETY: the block has this layout, and the new size is not empty.
        self.block = unsafe { ALLOCATOR.realloc(self.block, self.layout, size) };
        assert!(!self.block.is_null());
        self.check(shorter);
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        self.marked(mark)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.check(self.layout.size());
        // SAFETY: the block has this layout.
        unsafe { ALLOCATOR.dealloc(self.block, self.layout) };
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Allocate {
        size: usize,
        align: u32,
        is_zeroed: bool,
    },
    Resize {
        which: usize,
        size: usize,
    },
    Free(usize),
    /// Freed by a thread that keeps nothing.
    FreeElsewhere(usize),
    Keep,
    StopKeeping,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![1..300_usize, 900..2100_usize, 4000..9000_usize, 64_000..67_000_usize, Just(8192), Just(1024)]
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (sizes(), 0..9_u32, any::<bool>())
            .prop_map(|(size, align, is_zeroed)| Deed::Allocate { size, align, is_zeroed }),
        3 => (any::<usize>(), sizes()).prop_map(|(which, size)| Deed::Resize { which, size }),
        5 => any::<usize>().prop_map(Deed::Free),
        1 => any::<usize>().prop_map(Deed::FreeElsewhere),
        1 => Just(Deed::Keep),
        1 => Just(Deed::StopKeeping),
    ]
}

proptest! {
    #[test]
    fn no_block_is_two_peoples(deeds in proptest::collection::vec(deeds(), 1..200)) {
        let (elsewhere, sent) = mpsc::channel::<Owned>();
        let other = std::thread::spawn(move || sent.into_iter().for_each(drop));
        let (mut owned, mut kept) = (Vec::new(), None);
        for (at, deed) in deeds.into_iter().enumerate() {
            let mark = at as u8;
            let pick = |which: usize, owned: &[Owned]| (!owned.is_empty()).then(|| which % owned.len());
            match deed {
                Deed::Allocate { size, align, is_zeroed } => {
                    let layout = Layout::from_size_align(size, 1 << align).expect("a layout");
                    owned.push(Owned::new(layout, is_zeroed, mark));
                }
                Deed::Resize { which, size } => {
                    let Some(at) = pick(which, &owned) else { continue };
                    let one = owned.swap_remove(at).resized(size, mark);
                    owned.push(one);
                }
                Deed::Free(which) => drop(pick(which, &owned).map(|at| owned.swap_remove(at))),
                Deed::FreeElsewhere(which) => {
                    if let Some(at) = pick(which, &owned) {
                        elsewhere.send(owned.swap_remove(at)).expect("it listens");
                    }
                }
                Deed::Keep => kept = Some(keep()),
                Deed::StopKeeping => kept = None,
            }
        }
        drop((owned, kept, elsewhere));
        other.join().expect("no panic");
    }
}

#[test]
fn a_freed_block_comes_back_to_the_thread_that_keeps() {
    let _kept = keep();
    let addresses = [1, 2, 3].map(|_| {
        let buffer = Vec::<u8>::with_capacity(8192);
        buffer.as_ptr().addr()
    });
    assert!(addresses.windows(2).all(|pair| pair[0] == pair[1]), "{addresses:x?}");
}
