//! Secrets by reference.

use quittance_protocol::Secret;

use super::ConfigError;

/// `text` itself, or the secret that `env:NAME` or `file:PATH` refers to.
pub(crate) fn resolve(key: &str, text: &str) -> Result<String, ConfigError> {
    if !text.starts_with("env:") && !text.starts_with("file:") {
        return Ok(text.to_owned());
    }
    let secret = read_secret(text)?;
    secret
        .expose_str()
        .map(str::to_owned)
        .ok_or_else(|| ConfigError::Invalid(format!("{key} refers to something that is not text")))
}

/// Reads what `env:NAME` or `file:PATH` refers to.
///
/// The secret itself in the configuration is refused: it would end up in
/// backups and version control.
pub fn read_secret(reference: &str) -> Result<Secret, ConfigError> {
    let fail =
        |problem: &str| ConfigError::Secret { reference: shown(reference), problem: problem.to_owned() };
    if let Some(name) = reference.strip_prefix("env:") {
        let value = std::env::var(name).map_err(|_| fail("the environment variable is not set"))?;
        return Ok(Secret::new(value.trim().as_bytes().to_vec()));
    }
    if let Some(path) = reference.strip_prefix("file:") {
        let value = std::fs::read_to_string(path).map_err(|e| fail(&format!("cannot read the file: {e}")))?;
        return Ok(Secret::new(value.trim().as_bytes().to_vec()));
    }
    Err(fail("write env:NAME or file:PATH, never the secret itself"))
}

/// A malformed reference may be the secret itself, pasted by mistake.
fn shown(reference: &str) -> String {
    if reference.starts_with("env:") || reference.starts_with("file:") {
        reference.to_owned()
    } else {
        "(hidden)".to_owned()
    }
}
