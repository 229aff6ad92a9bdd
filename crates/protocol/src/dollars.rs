//! Tokens that are known to be worth a dollar.
//!
//! Prices are dollars. A token of another currency would sell a dollar's work for
//! whatever one of its units is worth, and a cap in dollars says nothing about it.

use crate::{Family, Network};

/// By network and address. Source: the issuer's list of contract addresses and
/// mints of USDC (Circle, "USDC contract addresses").
const DOLLARS: [(&str, &str); 4] = [
    (Network::BASE, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
    (Network::BASE_SEPOLIA, "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
    (Network::SOLANA, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    (Network::SOLANA_DEVNET, "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"),
];

/// Whether the asset is in the table: EVM hex in either case, base58 exactly.
pub fn is_known_dollar(network: &Network, asset: &str) -> bool {
    let same = |known: &str| match network.family() {
        Family::Eip155(_) => known.eq_ignore_ascii_case(asset),
        Family::Solana => known == asset,
    };
    DOLLARS.iter().any(|(on, known)| *on == network.as_str() && same(known))
}
