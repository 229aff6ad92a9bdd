//! When the recipient of payments on Solana gets a token account.

use serde::Deserialize;

/// When the recipient's token account on Solana comes into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenAccount {
    /// We create it once, so that official clients, which never do, can pay.
    #[default]
    AtStart,
    /// The first payer's transaction creates it and is charged the rent.
    InPayment,
}
