//! Customers with an account: API keys in place of payments.

use std::path::Path;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use quittance_gate::AccountSecurity;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Most keys in one file.
pub const API_KEYS_MAX: usize = 1_024;
/// Longest key or secret a caller may send.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// The accounts that may call without paying.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<Account>);

#[derive(Clone)]
struct Account {
    name: String,
    key_hash: [u8; 32],
    secret_hash: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    key: String,
    secret_sha256: String,
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not readable.
    #[error("{0}: {1}")]
    Read(String, std::io::Error),
    /// Not TOML of the documented shape. The text is not shown: it holds hashes of secrets.
    #[error("write [[keys]] tables with name, key and secret_sha256 ({0})")]
    Shape(String),
    /// An entry that could never be used, or a second one for the same key.
    #[error("key {name:?}: {problem}")]
    Entry {
        /// The entry's name.
        name: String,
        /// What to do.
        problem: &'static str,
    },
    /// More than [`API_KEYS_MAX`] entries.
    #[error("more than {API_KEYS_MAX} keys")]
    TooMany,
}

impl ApiKeys {
    /// Reads a TOML file of `[[keys]]` tables: `name`, `key`, `secret_sha256` (hex).
    ///
    /// # Errors
    /// [`KeysError`], always with what to do.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let text =
            std::fs::read_to_string(path).map_err(|e| KeysError::Read(path.display().to_string(), e))?;
        Self::parse(&text)
    }

    /// The same from text.
    ///
    /// # Errors
    /// [`KeysError`], always with what to do.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let file: KeysFile = toml::from_str(text).map_err(|e| KeysError::Shape(e.message().to_owned()))?;
        if file.keys.len() > API_KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let mut accounts: Vec<Account> = Vec::with_capacity(file.keys.len());
        for entry in file.keys {
            let problem = |problem| KeysError::Entry { name: entry.name.clone(), problem };
            if entry.key.is_empty() || entry.key.len() > CREDENTIAL_BYTES_MAX {
                return Err(problem("a key has 1 to 256 bytes"));
            }
            if entry.key.contains(':') {
                return Err(problem("a key must not contain a colon; it separates key and secret"));
            }
            let mut secret_hash = [0; 32];
            hex::decode_to_slice(&entry.secret_sha256, &mut secret_hash)
                .map_err(|_| problem("secret_sha256 is the SHA-256 of the secret as 64 hex digits"))?;
            let key_hash: [u8; 32] = Sha256::digest(entry.key.as_bytes()).into();
            if accounts.iter().any(|known| known.key_hash == key_hash) {
                return Err(problem("this key is listed twice"));
            }
            accounts.push(Account { name: entry.name.clone(), key_hash, secret_hash });
        }
        Ok(Self(accounts))
    }

    /// How [`Self::authenticate`] is asked, for `/openapi.json`.
    pub fn openapi() -> [AccountSecurity; 2] {
        let header = |name: &str| json!({ "type": "apiKey", "in": "header", "name": name });
        let bearer = json!({ "type": "http", "scheme": "bearer", "description": "key:secret" });
        [
            AccountSecurity::from([
                ("apiKey".to_owned(), header("X-API-Key")),
                ("apiSecret".to_owned(), header("X-API-Secret")),
            ]),
            AccountSecurity::from([("bearer".to_owned(), bearer)]),
        ]
    }

    /// The account these headers prove, if any.
    ///
    /// Hashes of key and secret are compared in constant time, against every
    /// account: neither time nor answer tells how much of a guess was right.
    pub fn authenticate(&self, headers: &HeaderMap) -> Option<&str> {
        let (key, secret) = credentials(headers)?;
        if key.len() > CREDENTIAL_BYTES_MAX || secret.len() > CREDENTIAL_BYTES_MAX {
            return None;
        }
        let key_hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let secret_hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut found = None;
        for account in &self.0 {
            let same = account.key_hash.ct_eq(&key_hash) & account.secret_hash.ct_eq(&secret_hash);
            if bool::from(same) {
                found = Some(account.name.as_str());
            }
        }
        found
    }

    /// Whether anybody has an account.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `X-API-Key` with `X-API-Secret`, or `Authorization: Bearer key:secret`.
fn credentials(headers: &HeaderMap) -> Option<(&str, &str)> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        // Two values of one header: proxies and hosts may read different ones.
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    };
    if let (Some(key), Some(secret)) = (one("x-api-key"), one("x-api-secret")) {
        return Some((key, secret));
    }
    let (scheme, token) = one(AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().split_once(':')).flatten()
}

#[cfg(test)]
mod tests;
