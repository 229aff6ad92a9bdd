//! From a file and the environment to a [`Config`].

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};

use super::report::{not_toml, told};
use super::{Config, ConfigError};

/// What the environment's names start with.
pub(super) const ENV_PREFIX: &str = "QUITTANCE__";

/// Keys (beside all `…_usdc`, `…_usd` and `…_native`) whose text looks like a number.
const TEXT_KEYS: &[&str] = &[
    "markup",
    "base_fee_headroom",
    "fall_per_minute",
    "payer_history_part",
    "deviation_max",
    "asset_version",
];

impl Config {
    /// Reads `path` and the environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        if !path.is_file() {
            return Err(ConfigError::Invalid(format!(
                "{} is not a file; pass --config FILE",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::Invalid(format!("{} cannot be read: {}", path.display(), error.kind()))
        })?;
        // Read by itself first: the merging reader would quote the line.
        if let Err(error) = toml::from_str::<toml::Table>(&text) {
            return Err(ConfigError::Read(not_toml(&text, &error)));
        }
        let mut figment =
            Figment::new().merge(Toml::string(&text)).merge(Env::prefixed(ENV_PREFIX).split("__"));
        for override_ in text_overrides(std::env::vars()) {
            figment = figment.merge(override_);
        }
        let config: Self = figment.extract().map_err(|error| ConfigError::Read(told(error)))?;
        config.check()?;
        Ok(config)
    }
}

/// Decimals that the environment gives for keys that hold text. The environment
/// has no types: `2500.00` would be read as a float, and refused or worse.
pub(super) fn text_overrides(vars: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let path = |name: &str| Some(name.strip_prefix(ENV_PREFIX)?.to_ascii_lowercase().replace("__", "."));
    vars.filter_map(|(name, value)| Some((path(&name)?, value)))
        .filter(|(path, _)| {
            let key = path.rsplit('.').next().unwrap_or_default();
            key.ends_with("_usdc")
                || key.ends_with("_usd")
                || key.ends_with("_native")
                || TEXT_KEYS.contains(&key)
        })
        .map(|(path, value)| (path, value.trim().trim_matches('"').to_owned()))
        .collect()
}
