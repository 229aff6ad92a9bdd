//! The last calls of a gateway, for who develops against it: what was asked, offered, signed and
//! answered. Bounded, in memory, and without a whole signature or what tells a buyer from a stranger.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use quittance_protocol::{PaymentKey, plain_words};
use serde_json::Value;

/// Paying calls that are kept.
const PAYING_MAX: usize = 50;

/// The others, apart: who only asks pushes out nobody who pays.
const ASKING_MAX: usize = 25;

/// Lines that are kept of one payment or one answer: with these bounds all calls together stay below
/// two megabytes.
pub(crate) const LINES_MAX: usize = 24;

/// Longest path that is kept.
const PATH_CHARS_MAX: usize = 120;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) number: u64,
    pub(super) began_ms: i64,
    pub(super) method: String,
    /// Without its query: keys stand in some.
    pub(super) path: String,
    pub(super) payment: Option<Shown>,
    pub(super) end: End,
}

/// A payment that came with a call.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Of x402.
    pub(crate) version: u64,
    /// What was signed, field by field.
    pub(crate) lines: Vec<String>,
    /// Under which it is in the ledger, if it is.
    pub(crate) key: Option<PaymentKey>,
    /// Whether its payer did sign it.
    pub(crate) is_signed: bool,
}

/// How it ended, as far as it has.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Open,
    /// Its client hung up, or the gateway stopped, before there was an answer.
    Dropped {
        at_ms: i64,
    },
    Answered(Box<Answered>),
}

/// An answer's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    pub(crate) at_ms: i64,
    pub(crate) status: u16,
    /// Why it is no success, as a code and in words.
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    /// What is offered, a line each.
    pub(crate) offers: Vec<String>,
    /// The receipt, a line each.
    pub(crate) receipt: Vec<String>,
    /// Where the payment stands.
    pub(crate) state: Option<String>,
}

/// The last of them. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Calls {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    paying: VecDeque<Call>,
    asking: VecDeque<Call>,
}

impl Calls {
    /// A call came; its number.
    pub(crate) fn begin(&self, now_ms: i64, method: &str, path: &str, payment: Option<Shown>) -> u64 {
        let mut kept = self.kept();
        kept.last = kept.last.saturating_add(1);
        let number = kept.last;
        let path = plain_words(path).chars().take(PATH_CHARS_MAX).collect();
        let payment = payment.map(|mut shown| {
            shown.lines.truncate(LINES_MAX);
            shown
        });
        let (ring, most) = match payment {
            Some(_) => (&mut kept.paying, PAYING_MAX),
            None => (&mut kept.asking, ASKING_MAX),
        };
        if ring.len() >= most {
            ring.pop_front();
        }
        let (method, end) = (plain_words(method), End::Open);
        ring.push_back(Call { number, began_ms: now_ms, method, path, payment, end });
        number
    }

    /// It ended so; nothing where it is kept no more.
    pub(crate) fn end(&self, number: u64, mut end: End) {
        if let End::Answered(answered) = &mut end {
            answered.offers.truncate(LINES_MAX);
            answered.receipt.truncate(LINES_MAX);
        }
        let mut kept = self.kept();
        let Kept { paying, asking, .. } = &mut *kept;
        if let Some(call) = paying.iter_mut().chain(asking).find(|call| call.number == number) {
            call.end = end;
        }
    }

    /// All of them, the newest first.
    pub(super) fn all(&self) -> Vec<Call> {
        let kept = self.kept();
        let mut all: Vec<_> = kept.paying.iter().chain(&kept.asking).cloned().collect();
        all.sort_by_key(|call| std::cmp::Reverse(call.number));
        all
    }

    pub(super) fn one(&self, number: u64) -> Option<Call> {
        let kept = self.kept();
        kept.paying.iter().chain(&kept.asking).find(|call| call.number == number).cloned()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line a field, one level deep; each text of one line, and bounded.
pub(crate) fn lines(value: &Value) -> Vec<String> {
    let text = |value: &Value| plain_words(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let mut lines = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                lines.extend(inner.iter().map(|(field, value)| {
                    format!("{}.{} = {}", plain_words(name), plain_words(field), text(value))
                }));
            }
            other => lines.push(format!("{} = {}", plain_words(name), text(other))),
        }
        if lines.len() >= LINES_MAX {
            break;
        }
    }
    lines.truncate(LINES_MAX);
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown() -> Option<Shown> {
        Some(Shown { version: 2, lines: vec!["x".repeat(9); 1_000], key: None, is_signed: true })
    }

    #[test]
    fn who_only_asks_pushes_out_nobody_who_pays_and_all_is_bounded() {
        let calls = Calls::default();
        let paid = calls.begin(1, "POST", "/paid", shown());
        for at in 0..10_000 {
            calls.begin(at, "GET", &"/x".repeat(10_000), None);
        }
        let all = calls.all();
        assert_eq!(all.len(), 1 + ASKING_MAX);
        assert!(all.iter().all(|call| call.path.chars().count() <= PATH_CHARS_MAX));
        assert_eq!(calls.one(paid).unwrap().payment.unwrap().lines.len(), LINES_MAX);
        for at in 0..1_000 {
            calls.begin(at, "POST", "/paid", shown());
        }
        assert_eq!(calls.all().len(), PAYING_MAX + ASKING_MAX);
        assert!(calls.one(paid).is_none());
        calls.end(paid, End::Dropped { at_ms: 7 });
    }

    #[test]
    fn a_call_is_found_by_its_number_and_gets_its_end() {
        let calls = Calls::default();
        let (first, second) = (calls.begin(1, "GET", "/a", None), calls.begin(2, "POST", "/b", shown()));
        let offers = vec!["y".to_owned(); 1_000];
        calls.end(first, End::Answered(Box::new(Answered { status: 402, offers, ..Answered::default() })));
        let End::Answered(answered) = calls.one(first).unwrap().end else { panic!("no answer") };
        assert_eq!((answered.status, answered.offers.len()), (402, LINES_MAX));
        assert!(matches!(calls.one(second).unwrap().end, End::Open));
        assert_eq!(calls.all().iter().map(|call| call.number).collect::<Vec<_>>(), [second, first]);
    }

    #[test]
    fn a_stranger_cannot_make_many_or_long_lines() {
        let inner: serde_json::Map<_, _> =
            (0..999).map(|n| (format!("f{n}"), json!("z".repeat(9_999)))).collect();
        let lines = lines(&json!({ "a": "b\nc", "payload": inner }));
        assert_eq!((lines.len(), lines[0].as_str()), (LINES_MAX, "a = b c"));
        assert!(lines.iter().all(|line| line.chars().count() < 600));
    }
}
