//! Memory for chunks, used again once they have been sent.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// The size of a chunk.
pub(super) const CHUNK: usize = 512 * 1024;
/// The alignment of buffers. The system may take twice as long to read into memory that is not
/// aligned, and large allocations usually are not.
const ALIGN: usize = 64;

/// Clones of the chunks that may still be in use.
#[derive(Default)]
pub(super) struct Buffers(VecDeque<Bytes>);

impl Buffers {
    /// Returns a buffer of the size of a chunk, with any content.
    pub(super) fn take(&mut self) -> BytesMut {
        let free = match self.0.front() {
            Some(first) if first.is_unique() => self.0.pop_front().map(BytesMut::from),
            _ => None,
        };
        let mut buffer = free.unwrap_or_else(aligned_buffer);
        buffer.resize(CHUNK, 0);
        buffer
    }

    /// Makes a chunk of a buffer.
    pub(super) fn freeze(&mut self, buffer: BytesMut) -> Bytes {
        let chunk = buffer.freeze();
        self.0.push_back(chunk.clone());
        chunk
    }
}

fn aligned_buffer() -> BytesMut {
    let mut buffer = BytesMut::zeroed(CHUNK + ALIGN);
    let padding = buffer.as_ptr().align_offset(ALIGN);
    buffer.advance(padding.min(ALIGN));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_used_again_once_it_is_free() {
        let mut buffers = Buffers::default();
        let chunk = |buffers: &mut Buffers| {
            let buffer = buffers.take();
            assert_eq!(buffer.len(), CHUNK);
            assert_eq!(buffer.as_ptr() as usize % ALIGN, 0);
            buffers.freeze(buffer)
        };
        let (first, second) = (chunk(&mut buffers), chunk(&mut buffers));
        let address = first.as_ptr();
        assert_ne!(second.as_ptr(), address);
        drop(first);
        assert_eq!(chunk(&mut buffers).as_ptr(), address);
    }
}
