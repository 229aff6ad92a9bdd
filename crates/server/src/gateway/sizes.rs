//! What upstreams said of bodies that are too long for them (413), so that nobody pays for the next one.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use quittance_quote::Refusal;
use serde_json::json;
use tokio::time::Instant;

/// A shorter body is never refused here: whoever finds one that an upstream calls too long for what
/// it says, not for its length, would stop others' sales.
const BYTES_MIN: usize = 64 * 1024;

/// For how long a word of an upstream's counts: its limit may have been raised.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// The shortest body that each endpoint was refused, by its place among all.
#[derive(Default)]
pub(super) struct Sizes {
    refused: RwLock<BTreeMap<usize, Refused>>,
}

#[derive(Clone, Copy)]
struct Refused {
    bytes: usize,
    until: Instant,
}

impl Sizes {
    /// An upstream refused a body of this length for its length.
    pub(super) fn refused(&self, endpoint: usize, bytes: usize, now: Instant) {
        if bytes < BYTES_MIN {
            return;
        }
        let mut refused = self.refused.write().unwrap_or_else(PoisonError::into_inner);
        let until = now.checked_add(GOOD_FOR).unwrap_or(now);
        let known = refused.entry(endpoint).or_insert(Refused { bytes, until });
        if bytes <= known.bytes || known.until <= now {
            *known = Refused { bytes, until };
        }
    }

    /// Whether a body of this length may be sold.
    pub(super) fn check(&self, endpoint: usize, bytes: usize, now: Instant) -> Result<(), Box<Refusal>> {
        if bytes < BYTES_MIN {
            return Ok(());
        }
        let refused = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        let known = refused.get(&endpoint).filter(|known| known.until > now && bytes >= known.bytes);
        known.map_or(Ok(()), |known| Err(Box::new(refusal(known.bytes))))
    }
}

fn refusal(bytes: usize) -> Refusal {
    const CODE: &str = "body_too_large";
    let message =
        format!("the service behind this endpoint took no body of {bytes} bytes; send a shorter one");
    let body = json!({ "error": CODE, "message": message });
    Refusal { status: 413, code: CODE.to_owned(), field: None, message, choices: Vec::new(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_pays_for_a_body_as_long_as_one_that_was_refused() {
        let (sizes, now) = (Sizes::default(), Instant::now());
        sizes.refused(3, 200_000, now);
        assert!(sizes.check(3, 199_999, now).is_ok());
        let refusal = sizes.check(3, 200_000, now).unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (413, "body_too_large"));
        assert!(refusal.message.contains("200000 bytes"));
        assert!(sizes.check(4, 900_000, now).is_ok(), "another endpoint");
        sizes.refused(3, 300_000, now);
        assert!(sizes.check(3, 250_000, now).is_err(), "the shorter one counts");
        sizes.refused(3, 100_000, now);
        assert!(sizes.check(3, 100_000, now).is_err());
        assert!(sizes.check(3, 100_000, now + GOOD_FOR).is_ok(), "it may have been raised");
        sizes.refused(3, 300_000, now + GOOD_FOR);
        assert!(sizes.check(3, 299_999, now + GOOD_FOR).is_ok());
    }

    #[tokio::test]
    async fn what_is_refused_for_its_words_stops_no_sale() {
        let (sizes, now) = (Sizes::default(), Instant::now());
        sizes.refused(0, 20, now);
        assert!(sizes.check(0, 20, now).is_ok() && sizes.check(0, 1 << 20, now).is_ok());
    }
}
