//! Version 1's names of networks, and the identifiers of version 2.

use crate::Network;

/// Source: `Network` of npm `x402` 1.2, with the chain ids of the same package.
const NAMES: [(&str, &str); 17] = [
    ("base", Network::BASE),
    ("base-sepolia", Network::BASE_SEPOLIA),
    ("solana", Network::SOLANA),
    ("solana-devnet", Network::SOLANA_DEVNET),
    ("abstract", "eip155:2741"),
    ("abstract-testnet", "eip155:11124"),
    ("avalanche", "eip155:43114"),
    ("avalanche-fuji", "eip155:43113"),
    ("educhain", "eip155:41923"),
    ("iotex", "eip155:4689"),
    ("peaq", "eip155:3338"),
    ("polygon", "eip155:137"),
    ("polygon-amoy", "eip155:80002"),
    ("sei", "eip155:1329"),
    ("sei-testnet", "eip155:1328"),
    ("skale-base-sepolia", "eip155:324705682"),
    ("story", "eip155:1514"),
];

/// What version 1 calls a network, if it knows it.
pub fn name_of(network: &str) -> Option<&'static str> {
    NAMES.iter().find(|(_, id)| *id == network).map(|(name, _)| *name)
}

/// The CAIP-2 identifier of what version 1 calls `name`.
pub fn network_of(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_identifiers_are_one_to_one() {
        for (name, id) in NAMES {
            assert!(id.parse::<Network>().is_ok(), "{id}");
            assert_eq!((name_of(id), network_of(name)), (Some(name), Some(id)));
        }
        for stranger in ["Base", "base ", "", "eip155:8453", Network::SOLANA] {
            assert_eq!(network_of(stranger), None, "{stranger}");
        }
        assert_eq!(name_of("eip155:31337"), None);
    }
}
