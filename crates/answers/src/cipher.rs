//! Answers in frames, each sealed (STREAM over ChaCha20-Poly1305): a frame that
//! was cut off, moved or exchanged does not open.

use std::fmt;

use chacha20poly1305::aead::KeyInit as _;
use chacha20poly1305::aead::stream::{NewStream as _, Nonce, StreamBE32, StreamPrimitive as _};
use chacha20poly1305::{ChaCha20Poly1305, Key};
use zeroize::Zeroize as _;

/// Bytes of an answer that are sealed together; what a reader holds at the least.
pub const FRAME_BYTES: usize = 64 * 1024;

/// Frames in one object of the store.
pub(crate) const SEGMENT_FRAMES: usize = 16;

/// Bytes of an answer in one object of the store; a run's memory is counted in these.
pub const SEGMENT_BYTES: usize = FRAME_BYTES * SEGMENT_FRAMES;

/// What sealing adds to a frame.
const TAG_BYTES: usize = 16;

/// A sealed frame.
pub(crate) const SEALED_BYTES: usize = FRAME_BYTES + TAG_BYTES;

/// The key of one answer, and of no other. Neither prints nor serialises.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerKey([u8; 32]);

impl AnswerKey {
    /// Fresh randomness for each answer, or what the ledger holds of one.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the ledger, and for nothing else.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerKey(…)")
    }
}

impl Drop for AnswerKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Does not open, or cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of the answer does not open")]
pub(crate) struct BadFrame;

/// Seals and opens the frames of one answer.
pub(crate) struct Cipher(StreamBE32<ChaCha20Poly1305>);

impl Cipher {
    pub(crate) fn new(key: &AnswerKey) -> Self {
        // The key is used for one answer only, so the nonce is the frame's number.
        let aead = ChaCha20Poly1305::new(Key::from_slice(&key.0));
        Self(StreamBE32::from_aead(aead, &Nonce::<ChaCha20Poly1305, StreamBE32<_>>::default()))
    }

    /// Appends the sealed frames of `plain` to `out`; the first one is number
    /// `first`, and the last one is the answer's last if `last`.
    pub(crate) fn seal(
        &self,
        first: u32,
        plain: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        let mut frames = plain.chunks(FRAME_BYTES).peekable();
        let mut number = first;
        while let Some(frame) = frames.next() {
            let ends = last && frames.peek().is_none();
            out.extend_from_slice(&self.0.encrypt(number, ends, frame).map_err(|_| BadFrame)?);
            number = number.checked_add(1).ok_or(BadFrame)?;
        }
        Ok(())
    }

    /// Opens one frame.
    pub(crate) fn open(&self, number: u32, sealed: &[u8], last: bool) -> Result<Vec<u8>, BadFrame> {
        self.0.decrypt(number, last, sealed).map_err(|_| BadFrame)
    }
}
