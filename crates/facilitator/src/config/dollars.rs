//! Prices are dollars, so every asset that is not known as one needs the operator's word
//! (`dollar = true`).

use quittance_protocol::{Network, is_known_dollar};

use super::ConfigError;
use super::check::invalid;

/// `vouched`: the operator says that one token is worth one dollar.
pub(super) fn check_dollar(
    name: &str,
    (network, asset): (&Network, &str),
    vouched: bool,
) -> Result<(), ConfigError> {
    if vouched || is_known_dollar(network, asset) {
        return Ok(());
    }
    Err(invalid(
        name,
        "asset is not known as a dollar token of this network, and prices are US dollars; check both, \
         and set dollar = true if one token is worth one dollar",
    ))
}
