//! Keys from configuration.

use quittance_protocol::Secret;
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::{Keypair, Signer};
use zeroize::Zeroizing;

use crate::SolanaError;

const KEYPAIR_BYTES: usize = 64;

/// Reads base58 of 64 bytes or a JSON array of 64 numbers; both halves must agree.
pub(crate) fn keypair(secret: &Secret) -> Result<Keypair, SolanaError> {
    let text = secret.expose_str().ok_or(SolanaError::BadKey)?.trim();
    let mut bytes = Zeroizing::new(Vec::<u8>::new());
    if text.starts_with('[') {
        *bytes = serde_json::from_str(text).map_err(|_| SolanaError::BadKey)?;
    } else {
        *bytes = bs58::decode(text).into_vec().map_err(|_| SolanaError::BadKey)?;
    }
    if bytes.len() != KEYPAIR_BYTES {
        return Err(SolanaError::BadKey);
    }
    Keypair::try_from(bytes.as_slice()).map_err(|_| SolanaError::BadKey)
}

/// The address of a wallet's key, base58. No I/O.
pub fn wallet_address(secret: &Secret) -> Result<String, SolanaError> {
    Ok(keypair(secret)?.pubkey().to_string())
}

/// Whether a text is an address, base58 of 32 bytes.
pub fn is_address(text: &str) -> bool {
    text.parse::<Pubkey>().is_ok()
}

/// Reads a base58 address; `field` names it in the error.
pub(crate) fn address(field: &'static str, text: &str) -> Result<Pubkey, SolanaError> {
    text.parse().map_err(|_| SolanaError::BadAddress { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_key_are_read_and_others_refused() {
        let pair = Keypair::new_from_array([7; 32]);
        let base58 = Secret::new(pair.to_base58_string());
        let json = Secret::new(serde_json::to_string(&pair.to_bytes().to_vec()).unwrap());
        assert_eq!(keypair(&base58).unwrap().pubkey(), pair.pubkey());
        assert_eq!(keypair(&json).unwrap().pubkey(), pair.pubkey());
        let mut halves_disagree = pair.to_bytes();
        halves_disagree[63] ^= 1;
        for bad in [
            String::new(),
            "[1,2,3]".to_owned(),
            bs58::encode([7; 32]).into_string(),
            bs58::encode(halves_disagree).into_string(),
            "0OIl".to_owned(),
            serde_json::to_string(&vec![256_u32; 64]).unwrap(),
        ] {
            assert_eq!(keypair(&Secret::new(bad.clone())).err(), Some(SolanaError::BadKey), "{bad}");
        }
    }
}
