//! Errors of reading, told without what was read.
//!
//! A value may be a key, a password, or a URL that holds one, also where it does
//! not belong: pasted into the wrong key, or alone on a line. So messages name
//! the place and what is wanted there, and never quote.

use figment::error::Kind;

/// Longest name of a key that is repeated; a longer one is no key of ours.
const KEY_CHARS_MAX: usize = 40;

/// Every problem of a merged configuration in one line.
pub(super) fn told(error: figment::Error) -> String {
    let all: Vec<String> = error.into_iter().map(|one| tell(&one)).collect();
    all.join("; ")
}

pub(super) fn tell(error: &figment::Error) -> String {
    let path: Vec<String> = error.path.iter().map(|part| name(part)).collect();
    let place = path.join(".");
    let key = path.last().map(String::as_str).unwrap_or_default();
    let at = if place.is_empty() { String::new() } else { format!("{place}: ") };
    match &error.kind {
        Kind::MissingField(field) => format!("{at}{} is missing", name(field)),
        Kind::UnknownField(field, known) => {
            format!("{at}unknown key {}; known are: {}", name(field), known.join(", "))
        }
        Kind::DuplicateField(field) => format!("{at}{field} stands twice"),
        Kind::UnknownVariant(_, known) => format!("{at}must be one of: {}", known.join(", ")),
        Kind::InvalidType(found, wanted) => format!("{at}is {}, should be {wanted}", kind(found)),
        Kind::InvalidValue(found, wanted) => {
            format!("{at}is {} that cannot be used, should be {wanted}", kind(found))
        }
        Kind::InvalidLength(_, wanted) => format!("{at}has the wrong length, should be {wanted}"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => format!("{at}is out of range"),
        Kind::Message(_) | Kind::Unsupported(_) | Kind::UnsupportedKey(_, _) => {
            format!("{at}cannot be used, {}", wanted(key))
        }
    }
}

/// What a key whose own reader refused it should hold.
fn wanted(key: &str) -> &'static str {
    match key {
        "pair" => "write a coin's ticker and the dollar such as \"eth_usd\"",
        "network" => "write a CAIP-2 identifier such as \"eip155:8453\"",
        _ => "write an exact decimal such as \"1.25\", or what deploy/quittance.toml shows for this key",
    }
}

/// A TOML type; never the value.
fn kind(found: &figment::error::Actual) -> &'static str {
    use figment::error::Actual as A;
    match found {
        A::Bool(_) => "true or false",
        A::Unsigned(_) | A::Signed(_) => "a number",
        A::Float(_) => "a number with a fraction",
        A::Char(_) | A::Str(_) => "a text",
        A::Seq => "a list",
        A::Map => "a section",
        _ => "something else",
    }
}

/// A key, unless somebody pasted something else in its place.
fn name(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    let is_a_key = key.len() <= KEY_CHARS_MAX && key.bytes().all(plain) && digits <= 4;
    if is_a_key { key.to_owned() } else { "(hidden)".to_owned() }
}

/// Where a text stops being TOML.
pub(super) fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count());
    let line = line.map_or_else(String::new, |before| format!(" in line {}", before.saturating_add(1)));
    format!("the file is not TOML{line}; texts stand in quotes, a section in [brackets], a key once")
}
