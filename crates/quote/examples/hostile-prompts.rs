//! What pricing a chat costs, for ordinary prompts and for the worst that are known.
//!
//! `cargo run --release -p quittance-quote --example hostile-prompts`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement for people")]

use std::error::Error;
use std::time::{Duration, Instant};

use quittance_quote::{Catalogue, PriceRequest, TOKENIZED_BYTES_MAX};
use serde_json::json;

const ROUNDS: u32 = 9;

fn fill(unit: &str, bytes: usize) -> String {
    let mut text = unit.repeat(bytes / unit.len().max(1) + 1);
    while text.len() > bytes {
        text.pop();
    }
    text
}

fn noise(first: u32, last: u32, bytes: usize) -> String {
    let (mut text, mut random) = (String::new(), 1_u64);
    while text.len() + 4 < bytes {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let code = u64::from(first) + (random >> 33) % u64::from(last - first);
        text.extend(u32::try_from(code).ok().and_then(char::from_u32));
    }
    text
}

fn main() -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::from_toml(include_str!("../../../catalogs/imgnai.toml"))?;
    catalogue.warm_up();
    let whole = TOKENIZED_BYTES_MAX - 1_024;
    let prompts = [
        ("1 kB of words", fill("The quick brown fox jumps over the lazy dog. ", 1_000)),
        ("63 KiB of words", fill("The quick brown fox jumps over the lazy dog. ", whole)),
        ("63 KiB of one letter", fill("a", whole)),
        ("63 KiB of blanks", format!("x{}", fill(" ", whole))),
        ("63 KiB of slashes", fill("/", whole)),
        ("63 KiB of random letters", noise(97, 123, whole)),
        ("63 KiB of random ASCII", noise(33, 127, whole)),
        ("63 KiB of random ideographs", noise(0x4e00, 0x9fff, whole)),
        ("1 MiB of random letters, bounded", noise(97, 123, 1 << 20)),
    ];
    println!("microseconds for one price, best of {ROUNDS}");
    for (name, prompt) in prompts {
        let body = json!({ "model": "claude-haiku-4-5", "max_tokens": 64, "prompt": prompt }).to_string();
        let request = PriceRequest {
            method: "POST",
            path: "/v1/chat/completions",
            query: "",
            content_type: Some("application/json"),
            body: body.as_bytes(),
        };
        let mut best = Duration::MAX;
        let mut tokens = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let price = catalogue.price(&request).map_err(|refusal| refusal.message)?;
            best = best.min(start.elapsed());
            tokens = price.reserve.map_or(0, |reserve| reserve.prompt_tokens);
        }
        println!("{:>8}  {tokens:>7} tokens  {name}", best.as_micros());
    }
    Ok(())
}
