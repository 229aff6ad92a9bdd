//! Secret keys: parsing, addresses, signing.

use std::fmt;

use alloy::primitives::{Address, B256};
use quittance_protocol::Secret;
use secp256k1::{Message, PublicKey, SecretKey};
use zeroize::Zeroize;

use crate::error::EvmError;
use crate::signature::{EcdsaSignature, SECP, address_of};

/// A signing key with its address. Prints only the address.
#[derive(Clone)]
pub(crate) struct SigningKey {
    key: SecretKey,
    address: Address,
}

impl SigningKey {
    /// Reads `0x` and 64 hex digits; white space around them (a file's last newline) is allowed.
    pub(crate) fn parse(secret: &Secret) -> Result<Self, EvmError> {
        let text = secret.expose_str().ok_or(EvmError::WalletKey)?.trim();
        let mut bytes = crate::text::fixed_bytes::<32>(text).ok_or(EvmError::WalletKey)?;
        let key = SecretKey::from_byte_array(bytes);
        bytes.zeroize();
        let key = key.map_err(|_| EvmError::WalletKey)?;
        let address = address_of(&PublicKey::from_secret_key(&SECP, &key));
        Ok(Self { key, address })
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest; RFC 6979, low s.
    pub(crate) fn sign(&self, digest: B256) -> EcdsaSignature {
        let signature = SECP.sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.key);
        let (id, compact) = signature.serialize_compact();
        let (r, s) = compact.split_at(32);
        EcdsaSignature {
            r: B256::from_slice(r),
            s: B256::from_slice(s),
            y_odd: matches!(id, secp256k1::ecdsa::RecoveryId::One | secp256k1::ecdsa::RecoveryId::Three),
        }
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.address)
    }
}
