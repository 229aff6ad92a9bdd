use super::*;

fn tokens(text: &str) -> (u64, bool) {
    let mut texts = Texts::default();
    texts.push(text);
    texts.tokens()
}

#[test]
fn the_tokenizer_is_the_real_one() {
    assert_eq!(tokens("hello world"), (2, true));
    assert_eq!(tokens("Reply with exactly: text x402 ok").0, 8);
    assert_eq!(tokens(""), (0, true));
    // Text that looks like a special token is text.
    assert!(tokens("<|endoftext|>").0 > 1);
}

#[test]
fn long_text_is_bounded_by_its_bytes() {
    let long = "word ".repeat(TOKENIZED_BYTES_MAX / 5 + 1);
    assert_eq!(tokens(&long), (long.len() as u64, false));
    let short = "word ".repeat(1_000);
    let (count, counted) = tokens(&short);
    assert!(counted && count <= short.len() as u64);
}

#[test]
fn unbroken_runs_are_cut_and_nothing_is_lost() {
    for text in ["a".repeat(10_000), " ".repeat(10_000), "é".repeat(3_000), format!("x{}y", "\n".repeat(999))]
    {
        let parts: Vec<&str> = Parts(&text).collect();
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().all(|part| part.len() <= UNBROKEN_RUN_BYTES_MAX + 1));
        assert!(tokens(&text).1);
    }
    assert_eq!(Parts("two words").collect::<Vec<_>>(), ["two words"]);
}
