//! Runs of zeros, which become holes.

/// File systems allocate in blocks of this size, or multiples of it.
const BLOCK: usize = 4096;

/// The ranges of `bytes`, which belong at offset `at` of a file, that are not whole blocks of
/// zeros.
pub(super) fn written(bytes: &[u8], at: u64) -> impl Iterator<Item = (usize, usize)> + '_ {
    let to_boundary = (BLOCK - (at % BLOCK as u64) as usize) % BLOCK;
    let mut position = 0;
    let mut block = move || {
        let start = position;
        let length = if start == 0 && to_boundary > 0 {
            to_boundary
        } else {
            BLOCK
        };
        position = (start + length).min(bytes.len());
        (start < position).then(|| (start, position, is_zero(&bytes[start..position])))
    };
    let mut ahead = block();
    std::iter::from_fn(move || {
        while let Some((_, _, true)) = ahead {
            ahead = block();
        }
        let (start, mut end, _) = ahead?;
        ahead = block();
        while let Some((_, more, false)) = ahead {
            end = more;
            ahead = block();
        }
        Some((start, end))
    })
}

/// Returns `true` if there are only zeros. Data shows itself early, so most of the time goes into zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const STEP: usize = 64;
    let steps = bytes.chunks_exact(STEP);
    steps.remainder().iter().all(|&byte| byte == 0) && { steps }
        .all(|step| step.iter().fold(0, |all, &byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_blocks_become_holes() {
        let mut bytes = vec![0; 4 * BLOCK];
        bytes[BLOCK] = 1;
        assert_eq!(written(&bytes, 0).collect::<Vec<_>>(), [(BLOCK, 2 * BLOCK)]);
        bytes[2 * BLOCK] = 1;
        assert_eq!(written(&bytes, 0).collect::<Vec<_>>(), [(BLOCK, 3 * BLOCK)]);
        assert_eq!(written(&bytes[..0], 0).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_left_out_is_zero(
            at in 0_u64..10_000,
            length in 0_usize..40_000,
            ones in prop::collection::vec(0_usize..40_000, 0..4),
        ) {
            let mut bytes = vec![0; length];
            for one in ones.into_iter().filter(|&one| one < length) {
                bytes[one] = 1;
            }
            let mut copy = vec![0; length];
            let mut before = None;
            for (start, end) in written(&bytes, at) {
                prop_assert!(start < end && before.is_none_or(|before| before < start));
                copy[start..end].copy_from_slice(&bytes[start..end]);
                before = Some(end);
            }
            prop_assert_eq!(copy, bytes);
        }
    }
}
