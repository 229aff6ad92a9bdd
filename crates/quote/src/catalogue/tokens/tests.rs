use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn all(pieces: &[&str]) -> Count {
    let mut texts = Texts::default();
    pieces.iter().for_each(|piece| texts.push(piece));
    texts.count()
}

/// Tokens of a text that is short enough, and whether it was.
fn tokens(text: &str) -> (u64, bool) {
    let count = all(&[text]);
    assert_eq!(count.tokenized_bytes + count.bounded_bytes, text.len() as u64);
    (count.tokens, count.bounded_bytes == 0)
}

/// `text` again and again, cut to `bytes` at a character's border.
fn fill(text: &str, bytes: usize) -> String {
    let mut filled = text.repeat(bytes / text.len() + 1);
    while filled.len() > bytes {
        filled.pop();
    }
    filled
}

/// The counts are those of OpenAI's own tokenizer for this vocabulary.
#[test]
fn the_tokenizer_is_the_real_one() {
    for (text, count) in [
        ("", 0),
        ("hello world", 2),
        ("Reply with exactly: text x402 ok", 8),
        (&fill("The quick brown fox jumps over the lazy dog. ", 1_024), 227),
        (&fill("'s't're'", 1_024), 512),
        (&fill("  x", 1_023), 682),
        (&fill("Aa", 1_024), 512),
        (&fill("e\u{301}", 1_023), 682),
        (&fill("'", 1_024), 256),
    ] {
        assert_eq!(tokens(text), (count, true), "{text}");
    }
    // Text that looks like a special token is text.
    assert!(tokens("<|endoftext|>").0 > 1);
}

/// One byte more than is tokenized costs a few tokens, not five times the whole price.
#[test]
fn there_is_no_cliff_where_counting_ends() {
    let whole = fill("word ", TOKENIZED_BYTES_MAX);
    assert_eq!(tokens(&whole), (13_108, true));
    let longer = format!("{whole}x and so on");
    let count = all(&[&longer]);
    assert_eq!(count, Count { tokens: 13_107, tokenized_bytes: 65_534, bounded_bytes: 13 });
    // The limit is for all texts of a request together, in whatever order they come.
    assert_eq!(all(&[&longer, "a", "b c"]), all(&["b c", "a", &longer]));
    assert!(all(&[&longer, "a"]).bounded_bytes >= count.bounded_bytes);
}

/// Where a text has no border, nothing of it is tokenized: the tokens of the first half
/// of a word say nothing about the whole.
#[test]
fn half_a_word_is_never_counted() {
    let word = fill("ab", TOKENIZED_BYTES_MAX + 1);
    assert_eq!(all(&[&word]), Count { bounded_bytes: word.len() as u64, ..Count::default() });
    let spaces = fill(" ", TOKENIZED_BYTES_MAX + 1);
    assert_eq!(all(&[&spaces]).tokens, 0);
    for (text, at) in
        [("one two three", 3), ("one two", 3), ("one  two", 3), ("\u{e9} one", 0), ("one\n two", 3)]
    {
        let cut = cut(text, 5);
        assert!(text.is_char_boundary(cut));
        assert_eq!(cut, if text == "one\n two" || text == "\u{e9} one" { 0 } else { at }, "{text}");
    }
}

/// Bounded work for whatever a stranger sends: a merge that is quadratic in a
/// word's length, or a pattern that backtracks over blanks, would take minutes.
#[test]
#[allow(clippy::disallowed_methods, reason = "only to fail instead of running for minutes")]
fn hostile_texts_are_counted_in_linear_work() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |first: u32, last: u32| {
        let mut text = String::new();
        while text.len() < TOKENIZED_BYTES_MAX - 4 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let code = first + u32::try_from(random >> 40).unwrap() % (last - first);
            text.extend(char::from_u32(code));
        }
        text
    };
    let mut texts =
        vec![noise(97, 122), noise(33, 126), noise(0x4e00, 0x9fff), noise(0x300, 0x36f), noise(1, 0xd7ff)];
    for unit in
        ["a", " ", "\n", "\r\n", " \n\t", "/", "=", "'", "!?", "Aa", "0", "\u{1f468}\u{200d}", "é", "  x"]
    {
        texts.push(fill(unit, TOKENIZED_BYTES_MAX));
    }
    let start = Instant::now();
    for text in &texts {
        let (count, counted) = tokens(text);
        assert!(counted && count <= text.len() as u64);
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?} for {} texts", start.elapsed(), texts.len());
}

/// Words, long runs of one character, and anything at all.
fn any_text() -> impl Strategy<Value = String> {
    let run = (any::<char>(), 1_usize..400).prop_map(|(char, count)| char.to_string().repeat(count));
    prop::collection::vec(
        prop_oneof![run, ".{0,80}", "[a-zA-Z' ]{0,60}", "\\PC{0,40}", "[ \t\r\n]{0,60}"],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_byte_bound_is_never_below_the_count(text in any_text()) {
        let (count, counted) = tokens(&text);
        prop_assert!(counted);
        prop_assert!(count <= text.len() as u64, "{} tokens in {} bytes", count, text.len());
        prop_assert_eq!(count == 0, text.is_empty());
    }

    /// What a price may not do is fall when the prompt grows.
    #[test]
    fn two_texts_count_as_much_as_each_alone(one in any_text(), two in any_text()) {
        prop_assert_eq!(all(&[&one, &two]).tokens, tokens(&one).0 + tokens(&two).0);
    }

    /// A longer text is never priced under what its tokens come to.
    #[test]
    fn a_text_that_is_cut_never_counts_below_the_whole(one in any_text(), two in any_text(), limit in 0_usize..200) {
        let mut texts = Texts::default();
        texts.push(&one);
        texts.push(&two);
        let (whole, part) = (texts.count(), texts.count_within(limit));
        prop_assert!(part.tokenized_bytes <= limit as u64 || part == whole);
        prop_assert!(part.tokens + part.bounded_bytes >= whole.tokens, "{:?} and {:?}", part, whole);
    }
}
