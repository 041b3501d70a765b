//! BLAKE2b (RFC 7693) with the whole parameter block open, because BLAKE2X needs the tree fields.

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The fields of the parameter block this crate sets; the others are zero.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tree {
    pub(crate) fanout: u8,
    pub(crate) depth: u8,
    pub(crate) leaf_length: u32,
    pub(crate) node_offset: u32,
    /// Upper half of the node offset field; BLAKE2X keeps its output length there.
    pub(crate) xof_length: u32,
    pub(crate) inner_length: u8,
}

impl Tree {
    /// Ordinary, sequential hashing.
    pub(crate) const SEQUENTIAL: Self =
        Self { fanout: 1, depth: 1, leaf_length: 0, node_offset: 0, xof_length: 0, inner_length: 0 };
}

/// BLAKE2b of `input` under `key` (empty for none, at most 64 bytes); the first `digest_length` bytes count.
pub(crate) fn blake2b(digest_length: u8, tree: Tree, key: &[u8], input: &[u8]) -> [u8; 64] {
    let key = key.get(..64).unwrap_or(key);
    let words = [
        u64::from(digest_length)
            | (key.len() as u64) << 8
            | u64::from(tree.fanout) << 16
            | u64::from(tree.depth) << 24
            | u64::from(tree.leaf_length) << 32,
        u64::from(tree.node_offset) | u64::from(tree.xof_length) << 32,
        u64::from(tree.inner_length) << 8,
    ];
    let mut state = IV;
    for (word, parameter) in state.iter_mut().zip(words) {
        *word ^= parameter;
    }

    let mut counted = 0u64;
    let mut pending = [0u8; 128];
    let mut has_pending = false;
    if !key.is_empty() {
        fill(&mut pending, key);
        counted = 128;
        has_pending = true;
    }
    for chunk in input.chunks(128) {
        if has_pending {
            compress(&mut state, &pending, counted, false);
        }
        fill(&mut pending, chunk);
        counted += chunk.len() as u64;
        has_pending = true;
    }
    compress(&mut state, &pending, counted, true);

    let mut digest = [0u8; 64];
    for (bytes, word) in digest.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

fn fill(block: &mut [u8; 128], bytes: &[u8]) {
    *block = [0; 128];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
}

#[expect(clippy::indexing_slicing, reason = "every index is a constant below 16 or an entry of SIGMA")]
fn compress(state: &mut [u64; 8], block: &[u8; 128], counted: u64, last: bool) {
    let mut m = [0u64; 16];
    for (word, bytes) in m.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut v = [0u64; 16];
    v[..8].copy_from_slice(state);
    v[8..].copy_from_slice(&IV);
    v[12] ^= counted;
    if last {
        v[14] = !v[14];
    }
    let mut mix = |a: usize, b: usize, c: usize, d: usize, x: u64, y: u64| {
        v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
        v[d] = (v[d] ^ v[a]).rotate_right(32);
        v[c] = v[c].wrapping_add(v[d]);
        v[b] = (v[b] ^ v[c]).rotate_right(24);
        v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
        v[d] = (v[d] ^ v[a]).rotate_right(16);
        v[c] = v[c].wrapping_add(v[d]);
        v[b] = (v[b] ^ v[c]).rotate_right(63);
    };
    for round in 0..12 {
        let s = &SIGMA[round % 10];
        mix(0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (i, word) in state.iter_mut().enumerate() {
        *word ^= v[i] ^ v[i + 8];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn rfc_7693_abc() {
        assert_eq!(
            hex(&blake2b(64, Tree::SEQUENTIAL, b"", b"abc")),
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
             7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
        );
    }

    #[test]
    fn lengths_around_the_block_agree_with_an_independent_implementation() {
        use blake2::digest::{KeyInit, Mac};
        let input: Vec<u8> = (0..400u32).map(|i| (i * 7 + 3) as u8).collect();
        for key_length in [0usize, 1, 32, 64] {
            for length in [0usize, 1, 127, 128, 129, 255, 256, 257, 400] {
                let key = &input[..key_length];
                let ours = blake2b(64, Tree::SEQUENTIAL, key, &input[..length]);
                let theirs: Vec<u8> = if key_length == 0 {
                    use blake2::Digest;
                    blake2::Blake2b512::digest(&input[..length]).to_vec()
                } else {
                    blake2::Blake2bMac512::new_from_slice(key)
                        .unwrap()
                        .chain_update(&input[..length])
                        .finalize()
                        .into_bytes()
                        .to_vec()
                };
                assert_eq!(hex(&ours), hex(&theirs), "key {key_length}, input {length}");
            }
        }
    }
}
