//! Compressed SEAL streams, honest and otherwise, assembled by hand.

/// A zstd frame and what is said in its header.
#[derive(Clone)]
pub(crate) struct Frame {
    /// The content size the header declares; `None` leaves the field out.
    pub(crate) content: Option<u64>,
    /// Window descriptor; `None` for a single segment.
    pub(crate) window: Option<u8>,
    /// Bits of the descriptor that SEAL never sets: 4 checksum, 8 reserved, 16 unused, 1..3 dictionary.
    pub(crate) flags: u8,
    pub(crate) blocks: Vec<u8>,
}

impl Frame {
    /// Window 2 MiB, an eight-byte content size, uncompressed blocks.
    pub(crate) fn stored(content: &[u8]) -> Self {
        Self {
            content: Some(content.len() as u64),
            window: Some(0x58),
            flags: 0,
            blocks: stored_blocks(content, true),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = 0xFD2F_B528u32.to_le_bytes().to_vec();
        let size_flag = if self.content.is_some() { 3 << 6 } else { 0 };
        out.push(size_flag | self.flags | if self.window.is_none() { 0x20 } else { 0 });
        out.extend(self.window);
        match self.flags & 3 {
            1 => out.push(7),
            2 => out.extend([7, 0]),
            3 => out.extend([7, 0, 0, 0]),
            _ => {}
        }
        out.extend(self.content.map(u64::to_le_bytes).into_iter().flatten());
        out.extend(&self.blocks);
        out
    }
}

/// Raw blocks of at most 128 KiB.
pub(crate) fn stored_blocks(content: &[u8], last: bool) -> Vec<u8> {
    let chunks: Vec<&[u8]> = content.chunks(128 << 10).collect();
    let mut out = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        out.extend(block(0, chunk.len() as u32, last && i + 1 == chunks.len()));
        out.extend_from_slice(chunk);
    }
    out
}

/// `count` blocks of 128 KiB zeros in four bytes each, their size in plain sight.
pub(crate) fn run_blocks(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| [block(1, 128 << 10, i + 1 == count), vec![0]].concat()).collect()
}

/// `count` compressed blocks of `size` zeros in eight bytes each, their size inside.
pub(crate) fn hidden_run_blocks(count: usize, size: u32) -> Vec<u8> {
    let mut body = (1u32 | 3 << 2 | size << 4).to_le_bytes()[..3].to_vec();
    body.extend([0, 0]);
    (0..count).flat_map(|i| [block(2, body.len() as u32, i + 1 == count), body.clone()].concat()).collect()
}

pub(crate) fn block(kind: u32, size: u32, last: bool) -> Vec<u8> {
    (u32::from(last) | kind << 1 | size << 3).to_le_bytes()[..3].to_vec()
}

/// A SEAL object around a payload: version of `object`, this compression, the right size.
pub(crate) fn object(version: [u8; 2], compression: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x5e, 0xa1, 0x10, version[0], version[1], compression, 0, 0];
    out.extend((16 + payload.len() as u64).to_le_bytes());
    out.extend_from_slice(payload);
    out
}
