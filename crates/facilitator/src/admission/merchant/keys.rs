//! API keys of merchants: `qk_<public half>_<secret half>`. The public half names the key, the
//! ledger has SHA-256 of the secret one, which is random and long: a slower hash would only
//! make wrong keys dear to refuse.

use quittance_ledger::MerchantKey;
use quittance_protocol::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Random;

/// How every key begins.
pub const API_KEY_PREFIX: &str = "qk_";

/// Longest text that is looked at as a key.
const KEY_BYTES_MAX: usize = 256;

/// A fresh key: what its holder is told, once, and what the ledger keeps.
pub fn new_api_key(random: &Random, now_ms: i64) -> (Secret, MerchantKey) {
    let id = hex::encode(random.draw());
    let secret = hex::encode([random.draw(), random.draw()].concat());
    let key = MerchantKey { id: id.clone(), hash: hash(&secret), created_at_ms: now_ms, ends_at_ms: None };
    (Secret::new(format!("{API_KEY_PREFIX}{id}_{secret}")), key)
}

/// Whether a text begins as a key does.
pub(super) fn is_shaped(text: &str) -> bool {
    text.starts_with(API_KEY_PREFIX)
}

/// What somebody shows as a key. Of whatever shape, the same work follows.
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    hash: [u8; 32],
}

impl<'a> Shown<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let known = Some(text).filter(|text| text.len() <= KEY_BYTES_MAX);
        let halves =
            known.and_then(|text| text.strip_prefix(API_KEY_PREFIX)).and_then(|rest| rest.split_once('_'));
        let (id, secret) = halves.unwrap_or_default();
        Self { id, hash: hash(secret) }
    }

    /// In a time that says nothing of the key.
    pub(super) fn is(&self, known: &[u8; 32]) -> bool {
        self.hash.ct_eq(known).into()
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_and_shown_nowhere() {
        let (secret, key) = new_api_key(&Random::system(), 7);
        let text = secret.expose_str().unwrap();
        let shown = Shown::of(text);
        assert_eq!(shown.id, key.id);
        assert!(shown.is(&key.hash));
        assert!(!format!("{secret:?} {key:?}").contains(&text[text.len() - 16..]));
        assert_ne!(new_api_key(&Random::system(), 7).1, key);
        let last = text.chars().last().unwrap();
        let other = format!("{}{}", &text[..text.len() - 1], if last == '0' { '1' } else { '0' });
        for wrong in [other.as_str(), "", "qk_", "qk__", &text[3..], &format!("{text} "), &"x".repeat(9_999)]
        {
            assert!(!Shown::of(wrong).is(&key.hash), "{wrong}");
        }
    }
}
