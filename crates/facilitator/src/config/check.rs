//! What types cannot express and sections demand of each other.

use super::{Config, ConfigError};

impl Config {
    /// Checks what types cannot express.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.networks.is_empty() {
            return Err(ConfigError::Invalid("no [networks.NAME] section: nothing could be paid".to_owned()));
        }
        self.check_ranges()?;
        self.server.check()?;
        self.gateway.check()?;
        self.check_receipts()?;
        self.ledger.check()?;
        let mut seen = std::collections::BTreeSet::new();
        for (name, network) in &self.networks {
            if !seen.insert(network.network.as_str()) {
                return Err(invalid(name, "the same network stands in two sections"));
            }
            network.check(name)?;
        }
        let coins: Vec<_> = self.networks.values().map(|network| network.coin()).collect();
        self.rates.check(&coins)?;
        self.quote.check()?;
        Ok(())
    }
}

/// What is wrong with `[networks.name]`.
pub(super) fn invalid(name: &str, problem: &str) -> ConfigError {
    ConfigError::Invalid(format!("networks.{name}: {problem}"))
}
