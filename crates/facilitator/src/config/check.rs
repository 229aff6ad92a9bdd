//! What types cannot express and sections demand of each other.

use super::{Config, ConfigError};

impl Config {
    /// Checks what types cannot express.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// All that [`Self::check`] finds, in its order.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut found = Vec::new();
        if self.networks.is_empty() {
            found.push(ConfigError::Invalid("no [networks.NAME] section: nothing could be paid".to_owned()));
        }
        found.extend(self.ranges().iter().filter_map(|range| range.check().err()));
        found.extend(self.server.check().err());
        found.extend(self.gateway.check().err());
        found.extend(self.check_receipts().err());
        found.extend(self.ledger.check().err());
        let mut seen = std::collections::BTreeSet::new();
        for (name, network) in &self.networks {
            if !seen.insert(network.network.as_str()) {
                found.push(invalid(name, "the same network stands in two sections"));
            }
            found.extend(network.problems(name, self.facilitator.is_some()));
        }
        found.extend(self.elsewhere_problems());
        // Who settles nothing spends no coin.
        let spent = self.networks.values().filter(|_| self.facilitator.is_none());
        let coins: Vec<_> = spent.map(|network| network.coin()).collect();
        found.extend(self.rates.check(&coins).err());
        found.extend(self.quote.check().err());
        found
    }
}

/// What is wrong with `[networks.name]`.
pub(super) fn invalid(name: &str, problem: &str) -> ConfigError {
    ConfigError::Invalid(format!("networks.{name}: {problem}"))
}
