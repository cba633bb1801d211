//! Numbers as bytes: LEB128, and lists of them. Reading takes every byte for hostile.

/// Writes numbers one after the other.
#[derive(Default)]
pub(crate) struct Put {
    bytes: Vec<u8>,
}

impl Put {
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(crate) fn size(&mut self, size: usize) {
        self.number(size as u64);
    }

    /// As it is, its length not included.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what [`Put`] wrote; `None` at the first byte that cannot be.
pub(crate) struct Take<'a> {
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for at in 0..10u32 {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if at == 9 && part > 1 {
                return None;
            }
            number |= part << (7 * at);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(crate) fn raw<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    /// A count, then that many elements, each read by `one`.
    pub(crate) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.size()?;
        // No element is smaller than a byte: a longer list than what is left is a lie, and reserves nothing.
        if count > self.rest.len() {
            return None;
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(one(self)?);
        }
        Some(list)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in proptest::collection::vec(any::<u64>(), 0..50)) {
            let mut put = Put::default();
            put.size(numbers.len());
            numbers.iter().for_each(|number| put.number(*number));
            let bytes = put.finish();
            let mut take = Take::new(&bytes);
            prop_assert_eq!(take.list(Take::number), Some(numbers));
            prop_assert!(take.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = Take::new(&bytes).list(Take::number);
            prop_assert!(read.is_none_or(|list| list.len() <= bytes.len()));
        }
    }
}
