//! Signature encodings. One ECDSA signature has one canonical form here, however it was written.

use std::sync::LazyLock;

use alloy::primitives::{Address, B256, Bytes, U256, hex, keccak256, uint};
use quittance_chain::GoodSignatures;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{All, Message, PublicKey, Secp256k1};
use serde::{Deserialize, Serialize};

use crate::config::CONTRACT_SIGNATURE_BYTES_MAX;
use crate::error::EvmError;
use crate::text;

pub(crate) static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// Of keys; a contract's word may change and is never in it.
static GOOD: GoodSignatures = GoodSignatures::new();

/// Order of the group.
const N: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
/// Half of it; EIP-2 and Circle's ECRecover refuse an `s` above.
const HALF_N: U256 = uint!(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0_U256);
/// ERC-6492 marks a wrapped signature with this suffix.
const ERC6492_MAGIC: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

/// `r`, `s` and the parity of the point; `s` in the lower half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EcdsaSignature {
    pub(crate) r: B256,
    pub(crate) s: B256,
    pub(crate) y_odd: bool,
}

impl EcdsaSignature {
    /// 27 or 28, as the token wants it.
    pub(crate) fn v(&self) -> u8 {
        if self.y_odd { 28 } else { 27 }
    }

    /// 65 bytes of 0x hex with `v` as 27 or 28.
    pub(crate) fn to_hex(self) -> String {
        format!("{:#x}{:x}{:02x}", self.r, self.s, self.v())
    }

    /// The address whose key made this signature of `digest`.
    pub(crate) fn recover(&self, digest: B256) -> Option<Address> {
        let mut compact = [0_u8; 64];
        let (r, s) = compact.split_at_mut(32);
        r.copy_from_slice(self.r.as_slice());
        s.copy_from_slice(self.s.as_slice());
        let id = if self.y_odd { RecoveryId::One } else { RecoveryId::Zero };
        let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
        let key = SECP.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
        Some(address_of(&key))
    }
}

impl EcdsaSignature {
    /// Whether the key of this address made this signature of `digest`.
    pub(crate) fn is_of(&self, signer: Address, digest: B256) -> bool {
        let parity = [u8::from(self.y_odd)];
        let parts: [&[u8]; 5] =
            [signer.as_slice(), digest.as_slice(), self.r.as_slice(), self.s.as_slice(), &parity];
        GOOD.is_good(keccak256(parts.concat()).0, || self.recover(digest) == Some(signer))
    }
}

/// A signature as it will be put before the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PayerSignature {
    /// Recovers to the payer.
    Ecdsa(EcdsaSignature),
    /// Only the payer's contract can say (ERC-1271).
    Contract(Bytes),
}

impl PayerSignature {
    /// Equal for all encodings of one signature.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut input = Vec::with_capacity(CONTRACT_SIGNATURE_BYTES_MAX);
        match self {
            Self::Ecdsa(ecdsa) => {
                input.push(1);
                input.extend_from_slice(ecdsa.r.as_slice());
                input.extend_from_slice(ecdsa.s.as_slice());
                input.push(ecdsa.v());
            }
            Self::Contract(bytes) => {
                input.push(2);
                input.extend_from_slice(bytes);
            }
        }
        keccak256(&input).0
    }
}

/// A signature read from the wire: what it is as ECDSA, if it can be one, and its bytes.
#[derive(Debug)]
pub(crate) struct ReadSignature {
    pub(crate) ecdsa: Option<EcdsaSignature>,
    pub(crate) bytes: Bytes,
}

/// Reads the hex of a signature: 65 bytes with `v` 27, 28, 0 or 1, the 64 bytes of EIP-2098, or
/// anything else a contract might understand.
pub(crate) fn read(text: &str) -> Result<ReadSignature, EvmError> {
    let digits = text.strip_prefix("0x").ok_or(EvmError::SignatureForm)?;
    // Bounded before decoding: nobody gets to make us copy a megabyte of hex.
    if digits.is_empty() || digits.len() > CONTRACT_SIGNATURE_BYTES_MAX.saturating_mul(2) {
        // A wrapper that is too long is still told what it is.
        if digits.ends_with(&hex::encode(ERC6492_MAGIC)) {
            return Err(EvmError::SignatureErc6492);
        }
        return Err(EvmError::SignatureForm);
    }
    let bytes = hex::decode(digits).map_err(|_| EvmError::SignatureForm)?;
    if bytes.ends_with(&ERC6492_MAGIC) {
        return Err(EvmError::SignatureErc6492);
    }
    let ecdsa = match bytes.as_slice() {
        [rs @ .., 27 | 0] if rs.len() == 64 => scalars(rs, false)?,
        [rs @ .., 28 | 1] if rs.len() == 64 => scalars(rs, true)?,
        compact if compact.len() == 64 => read_compact(compact)?,
        _ => None,
    };
    Ok(ReadSignature { ecdsa, bytes: bytes.into() })
}

/// The accepted twin of a signature that [`read`] refuses for its high `s`, as signers make it that
/// do not know EIP-2. Shows whose key made it; never put before the token.
pub(crate) fn read_twin(text: &str) -> Option<EcdsaSignature> {
    let bytes: [u8; 65] = text::fixed_bytes(text)?;
    let (rs, y_odd) = match &bytes {
        [rs @ .., 27 | 0] => (rs, false),
        [rs @ .., 28 | 1] => (rs, true),
        _ => return None,
    };
    let s = U256::from_be_slice(rs.get(32..)?);
    let lower = N.checked_sub(s).filter(|_| s > HALF_N)?;
    let rs = [rs.get(..32)?, lower.to_be_bytes::<32>().as_slice()].concat();
    scalars(&rs, !y_odd).ok()?
}

/// EIP-2098: the top bit of `s` is the parity.
fn read_compact(bytes: &[u8]) -> Result<Option<EcdsaSignature>, EvmError> {
    let mut rs = [0_u8; 64];
    rs.copy_from_slice(bytes);
    let y_odd = rs[32] & 0x80 != 0;
    rs[32] &= 0x7f;
    scalars(&rs, y_odd)
}

/// Both scalars in range, or it is no ECDSA signature; a high `s` is the malleated twin of an
/// accepted one and never passes, not even as a contract's signature.
fn scalars(rs: &[u8], y_odd: bool) -> Result<Option<EcdsaSignature>, EvmError> {
    let (r, s) = (B256::from_slice(&rs[..32]), B256::from_slice(&rs[32..]));
    let (r_number, s_number) = (U256::from_be_bytes(r.0), U256::from_be_bytes(s.0));
    if r_number.is_zero() || s_number.is_zero() || r_number >= N || s_number >= N {
        return Ok(None);
    }
    if s_number > HALF_N {
        return Err(EvmError::SignatureHighS);
    }
    Ok(Some(EcdsaSignature { r, s, y_odd }))
}

/// Last 20 bytes of the Keccak hash of the uncompressed point.
pub(crate) fn address_of(key: &PublicKey) -> Address {
    let point = key.serialize_uncompressed();
    Address::from_slice(&keccak256(&point[1..])[12..])
}
