//! Short messages in one piece: the kernel takes one buffer faster (`send`) than two (`writev`), and copying a head and a
//! short body costs less than the difference. Long bodies are not copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Longest message that is copied, in bytes.
const GATHERED_MAX: usize = 1024;

/// Writes slices, as one where they are short.
pub(crate) fn poll_write(
    stream: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [one] = slices {
        return stream.poll_write(cx, one);
    }
    let mut gathered = [0; GATHERED_MAX];
    match gather(slices, &mut gathered) {
        Some(len) => stream.poll_write(cx, gathered.get(..len).unwrap_or_default()),
        None => stream.poll_write_vectored(cx, slices),
    }
}

/// Copies all slices, if there is room; their length.
fn gather(slices: &[IoSlice<'_>], to: &mut [u8]) -> Option<usize> {
    let mut len = 0;
    for slice in slices {
        let end = len + slice.len();
        to.get_mut(len..end)?.copy_from_slice(slice);
        len = end;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_gathered_in_their_order_or_not_at_all() {
        let slices = [&b"head"[..], b"", b"body"].map(IoSlice::new);
        let mut to = [0; 8];
        assert_eq!(gather(&slices, &mut to), Some(8));
        assert_eq!(&to, b"headbody");
        assert_eq!(gather(&slices, &mut [0; 7]), None);
        assert_eq!(gather(&[], &mut to), Some(0));
    }
}
