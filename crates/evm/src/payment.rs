//! A checked payment, and what is watched about it.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::{Eip712Domain, SolCall, SolStruct};
use quittance_protocol::{Amount, Deadline, PaymentKey, UnixSeconds};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::abi::{IToken, TransferWithAuthorization};
use crate::signature::PayerSignature;

/// An EIP-3009 payment that passed the local checks.
///
/// Comes out of [`crate::EvmChain::check_local`]; it serialises so that the ledger can resume it,
/// and what is read back is trusted as the ledger's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvmPayment {
    pub(crate) chain_id: u64,
    pub(crate) token: Address,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: u64,
    pub(crate) valid_after: UnixSeconds,
    pub(crate) valid_before: UnixSeconds,
    pub(crate) nonce: B256,
    pub(crate) signature: PayerSignature,
}

/// Who vouches for a payer's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// It recovers to the payer's address.
    Ecdsa,
    /// Only the payer's contract can say (ERC-1271); the token asks it in the simulation.
    Contract,
}

impl EvmPayment {
    /// What makes two copies the same payment (I1).
    pub fn key(&self) -> PaymentKey {
        PaymentKey::evm(self.chain_id, &self.token.0.0, &self.from.0.0, &self.nonce.0)
    }

    /// The payer's address with EIP-55 case.
    pub fn payer(&self) -> String {
        self.from.to_string()
    }

    /// The recipient's address with EIP-55 case.
    pub fn pay_to(&self) -> String {
        self.to.to_string()
    }

    /// Atomic units of the token.
    pub fn amount(&self) -> Amount {
        Amount::new(self.value)
    }

    /// `validAfter`, in chain time, exclusive.
    pub fn valid_after(&self) -> UnixSeconds {
        self.valid_after
    }

    /// `validBefore`, in chain time, exclusive.
    pub fn deadline(&self) -> Deadline {
        Deadline::UnixSeconds(self.valid_before)
    }

    /// Hash of the canonical signature: the same for every encoding of it.
    pub fn signature_digest(&self) -> [u8; 32] {
        self.signature.digest()
    }

    /// Who vouches for the signature.
    pub fn signature_kind(&self) -> SignatureKind {
        match self.signature {
            PayerSignature::Ecdsa(_) => SignatureKind::Ecdsa,
            PayerSignature::Contract(_) => SignatureKind::Contract,
        }
    }

    /// What the payer sent, with the signature in its one form: what another facilitator is asked
    /// to settle.
    pub(crate) fn payload(&self) -> Value {
        let signature = match &self.signature {
            PayerSignature::Ecdsa(ecdsa) => ecdsa.to_hex(),
            PayerSignature::Contract(bytes) => bytes.to_string(),
        };
        json!({
            "signature": signature,
            "authorization": {
                "from": self.from.to_string(),
                "to": self.to.to_string(),
                "value": self.value.to_string(),
                "validAfter": self.valid_after.to_string(),
                "validBefore": self.valid_before.to_string(),
                "nonce": self.nonce.to_string(),
            },
        })
    }

    /// Call data of the transfer: the `(v, r, s)` form for a key, the bytes form for a contract.
    pub(crate) fn transfer_call(&self) -> Vec<u8> {
        let (value, after, before) =
            (U256::from(self.value), U256::from(self.valid_after), U256::from(self.valid_before));
        match &self.signature {
            PayerSignature::Ecdsa(ecdsa) => IToken::transferWithAuthorization_0Call {
                from: self.from,
                to: self.to,
                value,
                validAfter: after,
                validBefore: before,
                nonce: self.nonce,
                v: ecdsa.v(),
                r: ecdsa.r,
                s: ecdsa.s,
            }
            .abi_encode(),
            PayerSignature::Contract(bytes) => IToken::transferWithAuthorization_1Call {
                from: self.from,
                to: self.to,
                value,
                validAfter: after,
                validBefore: before,
                nonce: self.nonce,
                signature: bytes.clone(),
            }
            .abi_encode(),
        }
    }
}

/// The EIP-712 digest of an authorization (EIP-3009, `TransferWithAuthorization`).
pub(crate) fn authorization_digest(separator: B256, message: &TransferWithAuthorization) -> B256 {
    let mut input = [0_u8; 66];
    input[..2].copy_from_slice(&[0x19, 0x01]);
    input[2..34].copy_from_slice(separator.as_slice());
    input[34..].copy_from_slice(message.eip712_hash_struct().as_slice());
    keccak256(input)
}

/// The token's EIP-712 domain.
pub(crate) fn domain(name: &str, version: &str, chain_id: u64, token: Address) -> Eip712Domain {
    Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        Some(U256::from(chain_id)),
        Some(token),
        None,
    )
}

/// What a scan needs to know about one unfinished payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvmWatch {
    /// The payment.
    pub payment: EvmPayment,
    /// Hashes of every transaction of ours that carries it, 0x hex.
    #[serde(default)]
    pub attempts: Vec<String>,
    /// A transaction that somebody else says carries it, 0x hex: it is looked for with each block
    /// for a while. Nothing is believed of it but what the chain shows.
    #[serde(default)]
    pub named: Option<String>,
    /// The wallet nonce those transactions share.
    #[serde(default)]
    pub attempt_nonce: Option<u64>,
    /// Whose nonce that is, 0x hex; that of the wallet that signs now where nothing is said.
    #[serde(default)]
    pub attempt_wallet: Option<String>,
    /// The block whose state showed the authorization unused ([`crate::ChainView::block`]); only a
    /// later landing counts (I4), except one by an attempt of ours, which was signed after the claim
    /// and which a reorganisation may have moved down. A search goes back at most
    /// [`crate::SEARCH_SECONDS_MAX`] of blocks.
    pub from_block: u64,
}
