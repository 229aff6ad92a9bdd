//! Secrets by reference.

use quittance_protocol::Secret;

use super::{ConfigError, keystore};

/// Begins a reference to an encrypted key file.
const KEYSTORE: &str = "keystore:";

/// What a reference begins with.
pub(super) const SCHEMES: [&str; 3] = ["env:", "file:", KEYSTORE];

/// Stands between an encrypted key file and the reference to its password.
const PASSWORD: &str = "?password=";

/// Longest name of an environment variable that is repeated in a message.
const NAME_CHARS_MAX: usize = 64;

/// `text` itself, or the secret that `env:NAME` or `file:PATH` refers to.
pub(crate) fn resolve(key: &str, text: &str) -> Result<String, ConfigError> {
    if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(text.to_owned());
    }
    let secret = read(key, text)?;
    secret
        .expose_str()
        .map(str::to_owned)
        .ok_or_else(|| ConfigError::Invalid(format!("{key} refers to something that is not text")))
}

/// Whether a text is `env:NAME`, `file:PATH` or `keystore:PATH?password=` and one of the two: a name of
/// capital letters, digits and `_`, which no secret that is pasted behind `env:` looks like.
pub fn is_reference(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix(KEYSTORE) {
        return rest.split_once(PASSWORD).is_some_and(|(path, password)| {
            !path.is_empty() && !password.starts_with(KEYSTORE) && is_reference(password)
        });
    }
    let letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    match (text.strip_prefix("env:"), text.strip_prefix("file:")) {
        (Some(name), _) => !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(letter),
        (None, path) => path.is_some_and(|path| !path.is_empty()),
    }
}

/// The file that holds what a reference keeps secret, if one does: of an encrypted key file that is
/// its password's.
pub(super) fn file_of(reference: &str) -> Option<&str> {
    let plain = match reference.strip_prefix(KEYSTORE) {
        Some(rest) => rest.split_once(PASSWORD)?.1,
        None => reference,
    };
    plain.strip_prefix("file:")
}

/// Reads what `env:NAME` or `file:PATH` refers to, or opens the key file that
/// `keystore:PATH?password=REFERENCE` does (Web3 Secret Storage, as geth and Foundry write it): its
/// key is given as `0x` and hex digits.
///
/// The secret itself in the configuration is refused: it would end up in
/// backups and version control.
pub fn read_secret(reference: &str) -> Result<Secret, ConfigError> {
    read("secret", reference)
}

/// The same; `key` says where the reference stands.
pub(crate) fn read(key: &str, reference: &str) -> Result<Secret, ConfigError> {
    let fail = |problem: String| ConfigError::Secret { key: key.to_owned(), problem };
    if let Some(name) = reference.strip_prefix("env:") {
        let value = std::env::var(name).map_err(|_| {
            fail(match shown(name) {
                Some(name) => format!("the environment variable {name} is not set, or is not text"),
                None => "the environment variable that it names is not set; after env: stands a name, \
                         never the secret itself"
                    .to_owned(),
            })
        })?;
        return Ok(Secret::new(value.trim().as_bytes().to_vec()));
    }
    if let Some(path) = reference.strip_prefix("file:") {
        // The path is not repeated: it may be the secret, pasted by mistake.
        let value = std::fs::read_to_string(path).map_err(|error| {
            fail(format!(
                "the file that it names cannot be read ({}); after file: stands a path, never the secret itself",
                error.kind()
            ))
        })?;
        return Ok(Secret::new(value.trim().as_bytes().to_vec()));
    }
    if let Some(rest) = reference.strip_prefix(KEYSTORE) {
        let Some((path, password)) = rest.split_once(PASSWORD).filter(|_| is_reference(reference)) else {
            return Err(fail("write keystore:PATH?password=file:PATH or ?password=env:NAME".to_owned()));
        };
        let password = read(key, password)?;
        return keystore::open(path, &password).map_err(|error| fail(error.to_string()));
    }
    Err(fail(
        "write env:NAME, file:PATH or keystore:PATH?password=file:PATH, never the secret itself".to_owned(),
    ))
}

/// A name that is spelled like one. Anything else may be the secret, pasted
/// behind `env:` by mistake.
fn shown(name: &str) -> Option<&str> {
    let letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    (name.len() <= NAME_CHARS_MAX && name.bytes().all(letter) && digits <= 4).then_some(name)
}
