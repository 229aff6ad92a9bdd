//! Counting prompt tokens with a bounded amount of work.

use bpe_openai::Tokenizer;

/// Most bytes of text that are tokenized; above it every byte counts as a
/// token, an upper bound that every byte-level vocabulary keeps.
///
/// An unpaid request makes us count, so this bounds what a stranger's request
/// costs. The counter's work grows with the bytes, whatever they are: the test
/// `hostile_texts_are_counted_in_linear_work` tries the worst that is known.
pub const TOKENIZED_BYTES_MAX: usize = 64 * 1024;

/// The o200k_base vocabulary, unpacked at the first use from the program itself.
pub(super) fn load() -> &'static Tokenizer {
    bpe_openai::o200k_base()
}

/// Text of one request.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    pieces: Vec<&'a str>,
    bytes: usize,
}

impl<'a> Texts<'a> {
    pub(super) fn push(&mut self, text: &'a str) {
        self.bytes = self.bytes.saturating_add(text.len());
        self.pieces.push(text);
    }

    /// Bytes of all pieces: no byte-level vocabulary makes more tokens of them.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }

    /// Tokens of all pieces, and whether they were counted (and not bounded).
    pub(super) fn tokens(&self) -> (u64, bool) {
        if self.bytes > TOKENIZED_BYTES_MAX {
            return (self.bytes(), false);
        }
        let tokenizer = load();
        let tokens: usize = self.pieces.iter().map(|piece| tokenizer.count(piece)).sum();
        (u64::try_from(tokens).unwrap_or(u64::MAX), true)
    }
}

#[cfg(test)]
mod tests;
