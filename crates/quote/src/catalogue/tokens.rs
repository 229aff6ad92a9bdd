//! Counting prompt tokens with a bounded amount of work.

use std::sync::OnceLock;

use tiktoken_rs::CoreBPE;

/// Most bytes of text that are tokenized; above it every byte counts as a
/// token, an upper bound that every byte-level vocabulary keeps.
pub const TOKENIZED_BYTES_MAX: usize = 64 * 1024;

/// Longest run without a change between blank and non-blank that reaches the
/// tokenizer in one piece: its merge is quadratic in a word's length, and its
/// pattern backtracks over blanks. Longer runs are cut, which can only add tokens.
pub const UNBROKEN_RUN_BYTES_MAX: usize = 256;

/// Loaded at the first text request; the vocabulary is embedded in the program.
static TOKENIZER: OnceLock<Option<CoreBPE>> = OnceLock::new();

/// The tokenizer; without it prompts are bounded by their bytes.
pub(super) fn load() -> Option<&'static CoreBPE> {
    TOKENIZER.get_or_init(|| tiktoken_rs::o200k_base().ok()).as_ref()
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
        let bound = self.bytes();
        if self.bytes > TOKENIZED_BYTES_MAX {
            return (bound, false);
        }
        let Some(tokenizer) = load() else {
            return (bound, false);
        };
        let count = |text: &str| u64::try_from(tokenizer.encode_ordinary(text).len()).unwrap_or(u64::MAX);
        let mut tokens = 0u64;
        for piece in &self.pieces {
            for part in Parts(piece) {
                tokens = tokens.saturating_add(count(part));
            }
        }
        (tokens, true)
    }
}

/// Cuts a text wherever a run is longer than [`UNBROKEN_RUN_BYTES_MAX`].
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let mut run_start = 0;
        let mut run_blank = None;
        for (at, char) in self.0.char_indices() {
            let blank = char.is_whitespace();
            if run_blank != Some(blank) {
                (run_start, run_blank) = (at, Some(blank));
            } else if at - run_start + char.len_utf8() > UNBROKEN_RUN_BYTES_MAX {
                let (part, rest) = self.0.split_at(at);
                self.0 = rest;
                return Some(part);
            }
        }
        Some(std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests;
