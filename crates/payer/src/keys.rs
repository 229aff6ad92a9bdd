use quittance_evm::EvmPayer;
use quittance_protocol::{Family, Network, Secret};
use quittance_solana::SolanaPayer;

use crate::PayError;

/// Public mainnet endpoint, for whoever names none.
pub const SOLANA_RPC_DEFAULT: &str = "https://api.mainnet-beta.solana.com";

/// What signs. Never printed.
#[derive(Default)]
pub struct Keys {
    pub(crate) evm: Option<EvmPayer>,
    pub(crate) solana: Option<(SolanaPayer, String)>,
}

impl Keys {
    /// With a key for EVM networks: `0x` and 64 hex digits.
    pub fn evm(self, key: &Secret) -> Result<Self, PayError> {
        Ok(Self { evm: Some(EvmPayer::new(key)?), ..self })
    }

    /// With a key for Solana (base58 of 64 bytes, or a JSON array of 64 numbers), and the
    /// JSON-RPC endpoint that is asked for mint, accounts and blockhash.
    pub fn solana(self, key: &Secret, rpc_url: &str) -> Result<Self, PayError> {
        Ok(Self { solana: Some((SolanaPayer::new(key)?, rpc_url.to_owned())), ..self })
    }

    /// The address that pays on networks of this family, if there is a key.
    pub fn address(&self, network: &Network) -> Option<String> {
        match network.family() {
            Family::Eip155(_) => self.evm.as_ref().map(EvmPayer::address),
            Family::Solana => self.solana.as_ref().map(|(payer, _)| payer.address()),
        }
    }

    /// All addresses that pay.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let evm = self.evm.as_ref().map(EvmPayer::address);
        evm.into_iter().chain(self.solana.as_ref().map(|(payer, _)| payer.address())).collect()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.addresses()).finish()
    }
}
