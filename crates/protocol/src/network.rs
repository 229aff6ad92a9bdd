//! CAIP-2 network identifiers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest CAIP-2 identifier: 8 of namespace, a colon, 32 of reference.
const CAIP2_BYTES_MAX: usize = 41;

/// A network in CAIP-2 form, e.g. `eip155:8453`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(String, Family);

/// The kinds of chain a payment can be made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// An EVM chain, with its chain id.
    Eip155(u64),
    /// A Solana cluster.
    Solana,
}

/// Why a string is not a network we know how to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not `namespace:reference` in the character set of CAIP-2.
    #[error("a network is a CAIP-2 identifier such as eip155:8453")]
    NotCaip2,
    /// Well formed, but neither `eip155` nor `solana`.
    #[error("network namespace {0} is not supported; use eip155 or solana")]
    UnknownNamespace(String),
    /// `eip155` with a reference that is no chain id.
    #[error("{0} is not an EVM chain id")]
    BadChainId(String),
}

impl Network {
    /// Base mainnet.
    pub const BASE: &'static str = "eip155:8453";
    /// Base Sepolia.
    pub const BASE_SEPOLIA: &'static str = "eip155:84532";
    /// Solana mainnet.
    pub const SOLANA: &'static str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    /// Solana devnet.
    pub const SOLANA_DEVNET: &'static str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";

    /// The identifier as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which kind of chain this is.
    pub fn family(&self) -> Family {
        self.1
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, reference) = text.split_once(':').ok_or(NetworkError::NotCaip2)?;
        let plain =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if text.len() > CAIP2_BYTES_MAX || !plain(namespace) || !plain(reference) {
            return Err(NetworkError::NotCaip2);
        }
        // A namespace that is let in says here whose it is: none is another family's by default.
        let family = match namespace {
            "eip155" => {
                let chain_id =
                    reference.parse().ok().filter(|id: &u64| *id > 0 && id.to_string() == reference);
                Family::Eip155(chain_id.ok_or_else(|| NetworkError::BadChainId(reference.to_owned()))?)
            }
            "solana" => Family::Solana,
            other => return Err(NetworkError::UnknownNamespace(other.to_owned())),
        };
        Ok(Self(text.to_owned(), family))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caip2_only() {
        for (text, ok) in [
            ("eip155:8453", true),
            (Network::SOLANA, true),
            ("eip155:08453", false),
            ("eip155:0", false),
            ("eip155:-1", false),
            ("eip155:", false),
            ("base", false),
            ("bip122:000000000019d6689c085ae165831e93", false),
            ("solana:a b", false),
            ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp5eykt4UsFv8P8NJd", false),
        ] {
            assert_eq!(text.parse::<Network>().is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn families() {
        let base: Network = Network::BASE.parse().unwrap();
        let solana: Network = Network::SOLANA.parse().unwrap();
        assert_eq!(base.family(), Family::Eip155(8453));
        assert_eq!(solana.family(), Family::Solana);
        // Well formed, and of a family that nobody here knows: never taken for another one.
        let other = "cosmos:cosmoshub-4".parse::<Network>();
        assert_eq!(other, Err(NetworkError::UnknownNamespace("cosmos".to_owned())));
    }
}
