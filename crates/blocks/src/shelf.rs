//! What one thread keeps: a shelf for each power of two, for blocks that are aligned as usual and for those aligned like a pair
//! of cache lines. A block that is not in use holds the address of the next one on its shelf.

use std::alloc::Layout;
use std::ptr::NonNull;

/// Alignment of the second half of the shelves; layouts that ask for more are never kept.
const WIDE_ALIGN: usize = 128;
/// What blocks of the C library are aligned to.
const USUAL_ALIGN: usize = 16;
/// Sizes of blocks, as powers of two: from 16 bytes to 64 KiB, and to 4 KiB where they are aligned to more than usual.
const SMALLEST: u32 = 4;
const LARGEST: u32 = 16;
const LARGEST_WIDE: u32 = 12;
const SIZES: usize = (LARGEST - SMALLEST + 1) as usize;
const WIDE_SIZES: usize = (LARGEST_WIDE - SMALLEST + 1) as usize;
/// Blocks of one shelf, and bytes of it.
const BLOCKS_MAX: usize = 256;
const SHELF_BYTES_MAX: usize = 512 * 1024;

/// What one thread keeps at most, in bytes: 5 MiB, and twice as much where blocks are longer than what they were kept for.
pub const KEPT_BYTES_MAX: usize = {
    let (mut bytes, mut power) = (0, SMALLEST);
    while power <= LARGEST {
        let shelves = if power <= LARGEST_WIDE { 2 } else { 1 };
        bytes += shelves * 2 * (blocks_max(power) << power);
        power += 1;
    }
    bytes
};

/// Blocks of one shelf.
const fn blocks_max(power: u32) -> usize {
    let by_bytes = SHELF_BYTES_MAX >> power;
    if by_bytes < BLOCKS_MAX { by_bytes } else { BLOCKS_MAX }
}

/// A size of blocks, rounded up to what is on a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    power: u32,
    is_wide: bool,
}

/// Blocks of one size that wait for being used again.
#[derive(Clone, Copy)]
struct Shelf {
    first: Option<NonNull<u8>>,
    count: usize,
}

/// All that one thread keeps.
pub(crate) struct Rack {
    /// So many want it kept.
    openers: u32,
    shelves: [Shelf; SIZES + WIDE_SIZES],
}

impl Size {
    /// That of the blocks for a layout; `None` where they are not kept.
    #[inline]
    pub(crate) fn of_layout(layout: Layout) -> Option<Self> {
        let is_wide = layout.align() > USUAL_ALIGN;
        let largest = if is_wide { LARGEST_WIDE } else { LARGEST };
        let is_ours = layout.size() <= 1 << largest && layout.align() <= WIDE_ALIGN;
        let power = layout.size().next_power_of_two().trailing_zeros().max(SMALLEST);
        is_ours.then_some(Self { power, is_wide })
    }

    /// That of the layouts which a block of this length at this address is good for.
    #[inline]
    fn of_block(block: *mut u8, length: usize) -> Option<Self> {
        let power = length.checked_ilog2()?;
        let is_wide = power <= LARGEST_WIDE && block.addr().is_multiple_of(WIDE_ALIGN);
        (SMALLEST..=LARGEST).contains(&power).then_some(Self { power, is_wide })
    }

    pub(crate) fn bytes(self) -> usize {
        1 << self.power
    }

    pub(crate) fn align(self) -> usize {
        if self.is_wide { WIDE_ALIGN } else { USUAL_ALIGN }
    }

    #[inline]
    fn shelf(self) -> usize {
        (self.power - SMALLEST) as usize + if self.is_wide { SIZES } else { 0 }
    }
}

impl Rack {
    pub(crate) const fn new() -> Self {
        Self { openers: 0, shelves: [Shelf { first: None, count: 0 }; SIZES + WIDE_SIZES] }
    }

    pub(crate) fn open(&mut self) {
        self.openers += 1;
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.openers > 0
    }

    /// One fewer wants it. After the last, nothing is kept any more, and `free` gets everything that there is.
    pub(crate) fn close(&mut self, mut free: impl FnMut(NonNull<u8>)) {
        self.openers -= 1;
        if self.is_open() {
            return;
        }
        for shelf in &mut self.shelves {
            while let Some(block) = shelf.pop() {
                free(block);
            }
        }
    }

    /// A block of at least this size and alignment.
    #[inline]
    pub(crate) fn take(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.shelves[size.shelf()].pop()
    }

    /// Keeps a block of so many bytes, if there is a place for it.
    ///
    /// # Safety
    /// The block is as long, and nobody else uses it until it is taken or freed.
    #[inline]
    pub(crate) unsafe fn put(&mut self, block: *mut u8, length: usize) -> bool {
        let (Some(size), Some(block)) = (Size::of_block(block, length), NonNull::new(block)) else {
            return false;
        };
        let shelf = &mut self.shelves[size.shelf()];
        let has_place = shelf.count < blocks_max(size.power);
        if has_place {
            // SAFETY: the caller's; the smallest block has room for an address, and its alignment.
            unsafe { block.cast::<Option<NonNull<u8>>>().write(shelf.first) };
            (shelf.first, shelf.count) = (Some(block), shelf.count + 1);
        }
        has_place
    }
}

impl Shelf {
    #[inline]
    fn pop(&mut self) -> Option<NonNull<u8>> {
        let block = self.first?;
        // SAFETY: a block on a shelf holds the address of the next one, written by `put`.
        self.first = unsafe { block.cast::<Option<NonNull<u8>>>().read() };
        self.count -= 1;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    #[test]
    fn what_is_large_or_aligned_like_a_page_is_not_kept() {
        for (size, align) in [(65_537, 8), (4097, 128), (64, 256), (4096, 4096), (1 << 62, 1)] {
            assert_eq!(Size::of_layout(layout(size, align)), None, "{size} {align}");
        }
    }

    #[test]
    fn a_size_holds_every_layout_that_it_is_for() {
        for (size, align, bytes) in [
            (0, 1, 16),
            (17, 1, 32),
            (0, 1, 16),
            (17, 1, 32),
            (1025, 1, 2048),
            (2048, 16, 2048),
            (8192, 8, 8192),
            (65_536, 16, 65_536),
            (0, 32, 16),
            (900, 128, 1024),
        ] {
            let found = Size::of_layout(layout(size, align)).expect("one of ours");
            assert_eq!(found.bytes(), bytes);
            assert!(found.align() >= align);
        }
    }

    #[test]
    fn a_shelf_has_an_end_and_gives_the_last_block_first() {
        let size = Size::of_layout(layout(8192, 16)).expect("one of ours");
        let other = Size::of_layout(layout(4096, 16)).expect("one of ours");
        let mut room = vec![[0_u64; 1024]; blocks_max(size.power) + 1];
        let blocks: Vec<*mut u8> = room.iter_mut().map(|block| block.as_mut_ptr().cast()).collect();
        let mut rack = Rack::new();
        rack.open();
        for (at, block) in blocks.iter().enumerate() {
            // SAFETY: the blocks are as long, and used by nobody else.
            assert_eq!(unsafe { rack.put(*block, 8192) }, at < blocks_max(size.power));
        }
        assert_eq!(rack.take(other), None);
        let mut kept = blocks[..blocks_max(size.power)].to_vec();
        for _ in 0..3 {
            assert_eq!(rack.take(size).map(NonNull::as_ptr), kept.pop());
        }
        rack.open();
        rack.close(|_| panic!("somebody still wants them"));
        rack.close(|block| assert_eq!(Some(block.as_ptr()), kept.pop()));
        assert_eq!((kept, rack.is_open()), (Vec::new(), false));
    }
}
