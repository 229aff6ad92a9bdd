//! Counting prompt tokens with a bounded amount of work.

use bpe_openai::Tokenizer;

/// Most bytes of text that are tokenized; of what is above it every byte counts
/// as a token, an upper bound that every byte-level vocabulary keeps.
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

    /// What the texts come to, the same in whatever order they were pushed.
    pub(super) fn count(&self) -> Count {
        self.count_within(TOKENIZED_BYTES_MAX)
    }

    fn count_within(&self, bytes_max: usize) -> Count {
        let mut count = Count::default();
        if self.bytes <= bytes_max {
            self.pieces.iter().for_each(|piece| count.tokenize(piece));
            return count;
        }
        // The shortest first, so that a price does not depend on the order of a body's keys.
        let mut pieces = self.pieces.clone();
        pieces.sort_unstable_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        let mut left = bytes_max;
        for piece in pieces {
            let (counted, bounded) = piece.split_at(cut(piece, left));
            left -= counted.len();
            count.tokenize(counted);
            count.bound(bounded);
        }
        count
    }
}

/// What texts come to in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Tokens of what was tokenized.
    pub(super) tokens: u64,
    /// Bytes of what was tokenized: no byte-level vocabulary makes more tokens of it.
    pub(super) tokenized_bytes: u64,
    /// Bytes of the rest, of which each counts as a token.
    pub(super) bounded_bytes: u64,
}

impl Count {
    fn tokenize(&mut self, text: &str) {
        self.tokens = self.tokens.saturating_add(number(load().count(text)));
        self.tokenized_bytes = self.tokenized_bytes.saturating_add(number(text.len()));
    }

    fn bound(&mut self, text: &str) {
        self.bounded_bytes = self.bounded_bytes.saturating_add(number(text.len()));
    }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Where a text is cut so that its first part has at most `bytes_max` bytes: before a
/// space behind something else. The vocabulary's pattern lets no token reach across that,
/// so both parts have together as many tokens as the whole. Without such a place nothing
/// is tokenized: the tokens of half a word bound nothing.
fn cut(text: &str, bytes_max: usize) -> usize {
    if text.len() <= bytes_max {
        return text.len();
    }
    let head = text.as_bytes().get(..=bytes_max).unwrap_or_default();
    let border =
        |pair: &[u8]| matches!(pair, [before, b' '] if !before.is_ascii_whitespace() && before.is_ascii());
    head.windows(2).rposition(border).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests;
