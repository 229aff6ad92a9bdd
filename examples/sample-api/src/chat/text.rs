//! A reply made from the messages alone: the same chat always gets the same words.

use super::Message;
use crate::media::Dice;

/// Words of the question that a reply takes up.
const TOPICS_MAX: usize = 5;
/// Longest word that is taken up.
const TOPIC_CHARS_MAX: usize = 24;
/// Bytes of one token, as this host counts them.
const TOKEN_BYTES: usize = 4;
/// What asks for an answer word for word.
const ECHO_WORDS: &str = "reply with exactly:";

const OPENINGS: [&str; 6] = [
    "Here is what matters about",
    "A short answer on",
    "Three things stand out about",
    "The useful way to look at",
    "Put plainly, this is about",
    "Start with the heart of",
];
const MIDDLES: [&str; 8] = [
    "keep it small enough to check",
    "decide first and build second",
    "write down what must never happen",
    "measure before and after",
    "name each part for what it does",
    "leave room for the next step",
    "let one person own the outcome",
    "test it the way it will be used",
];
const CLOSINGS: [&str; 4] = [
    "That is enough to begin.",
    "The rest follows from there.",
    "Ask again for more detail.",
    "Everything else can wait.",
];

/// A reply, cut into the pieces in which it is streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pieces: Vec<String>,
    tokens: u64,
    whole: bool,
}

impl Reply {
    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    /// The text in order, word by word.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// How many tokens it has.
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// `stop`, or `length` when the cap cut it off.
    pub const fn finish_reason(&self) -> &'static str {
        if self.whole { "stop" } else { "length" }
    }
}

/// How many tokens a text has here: one for every four bytes begun.
pub fn tokens(text: &str) -> u64 {
    u64::try_from(text.len().div_ceil(TOKEN_BYTES)).unwrap_or(u64::MAX)
}

/// The reply to `messages`, of at most `tokens_max` tokens.
pub fn reply(messages: &[Message], model: &str, tokens_max: u64) -> Reply {
    let asked = messages.iter().rev().find(|m| m.role == "user").map_or("", |m| m.text.as_str());
    let text = echo(asked).unwrap_or_else(|| compose(messages, asked, model));
    let (mut pieces, mut spent, mut whole) = (Vec::new(), 0_u64, true);
    for piece in text.split_inclusive(' ') {
        let cost = tokens(piece);
        if spent.saturating_add(cost) > tokens_max {
            whole = false;
            break;
        }
        spent = spent.saturating_add(cost);
        pieces.push(piece.to_owned());
    }
    Reply { pieces, tokens: spent, whole }
}

/// What was asked for word for word.
fn echo(asked: &str) -> Option<String> {
    let place = asked.to_ascii_lowercase().find(ECHO_WORDS)?;
    let wanted = asked.get(place + ECHO_WORDS.len()..)?.trim();
    (!wanted.is_empty()).then(|| wanted.to_owned())
}

fn compose(messages: &[Message], asked: &str, model: &str) -> String {
    let mut seed = vec![model];
    seed.extend(messages.iter().flat_map(|m| [m.role.as_str(), m.text.as_str()]));
    let mut dice = Dice::seeded(&seed);
    let topics = topics(asked);
    let subject = if topics.is_empty() { "your question".to_owned() } else { topics.join(", ") };
    let opening = dice.pick(&OPENINGS).copied().unwrap_or_default();
    let mut middles = MIDDLES.to_vec();
    let mut next = || {
        let place = dice.below(u32::try_from(middles.len()).unwrap_or(0)) as usize;
        middles.swap_remove(place)
    };
    let (first, second, third) = (next(), next(), next());
    let closing = dice.pick(&CLOSINGS).copied().unwrap_or_default();
    format!("{opening} {subject}: {first}, {second}, and {third}. {closing}")
}

/// The longest words of the question, in the order in which they stand in it.
fn topics(asked: &str) -> Vec<String> {
    let mut words: Vec<&str> = Vec::new();
    for word in asked.split(|c: char| !c.is_alphanumeric()) {
        if word.chars().count() > 3 && word.chars().count() <= TOPIC_CHARS_MAX && !words.contains(&word) {
            words.push(word);
        }
        // Enough to choose from; a long prompt must not cost a quadratic search.
        if words.len() >= 64 {
            break;
        }
    }
    let mut by_length = words.clone();
    by_length.sort_by_key(|word| std::cmp::Reverse(word.len()));
    by_length.truncate(TOPICS_MAX);
    words.into_iter().filter(|word| by_length.contains(word)).map(str::to_lowercase).collect()
}
