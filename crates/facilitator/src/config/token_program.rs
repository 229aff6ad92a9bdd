//! Which program a Solana network's token is of.

use serde::Deserialize;

/// The program that the token's mint belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenProgram {
    /// SPL Token.
    #[default]
    Token,
    /// Token-2022, in a mint whose extensions leave payments exact.
    #[serde(rename = "token_2022")]
    Token2022,
}
