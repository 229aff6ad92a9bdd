//! Identities: of a payment, of the request it buys, of the answer.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::SellerTerms;

macro_rules! hash32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes that were computed before (read back from the ledger).
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(&self.0[..6]))
            }
        }
    };
}

hash32!(
    /// What makes two copies the same payment (invariant I1).
    ///
    /// Base: SHA-256 over chain id, token, payer and EIP-3009 nonce. Solana:
    /// SHA-256 over the network and the *message* bytes; base64 text and
    /// signature slots are malleable and take no part.
    PaymentKey
);
hash32!(
    /// What a payment is bound to: method, path, query and body of the request.
    Fingerprint
);
hash32!(
    /// SHA-256 of a `payment-identifier`; the identifier itself is a bearer
    /// credential for the stored answer and is never written down.
    IdentifierHash
);

impl PaymentKey {
    /// The key of an EIP-3009 authorization.
    pub fn evm(chain_id: u64, token: &[u8; 20], from: &[u8; 20], nonce: &[u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/eip3009/1");
        hash.update(chain_id.to_be_bytes());
        hash.update(token);
        hash.update(from);
        hash.update(nonce);
        Self(hash.finalize().into())
    }

    /// The key of a Solana transaction message.
    pub fn solana(network: &str, message: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/solana/1");
        hash_field(&mut hash, network.as_bytes());
        hash_field(&mut hash, message);
        Self(hash.finalize().into())
    }
}

/// The SHA-256 of a body that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct BodyDigest(Sha256);

impl BodyDigest {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of all pieces.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl Fingerprint {
    /// The fingerprint of one HTTP request. `query` is the raw query string
    /// without `?`, empty when there is none.
    pub fn of_request(method: &str, path: &str, query: &str, body: &[u8]) -> Self {
        Self::of_request_with(method, path, query, Sha256::digest(body).into())
    }

    /// The same from the SHA-256 of a body that nobody has whole.
    pub fn of_request_with(method: &str, path: &str, query: &str, body_sha256: [u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/request/1");
        hash_field(&mut hash, method.as_bytes());
        hash_field(&mut hash, path.as_bytes());
        hash_field(&mut hash, query.as_bytes());
        hash.update(body_sha256);
        Self(hash.finalize().into())
    }

    /// The fingerprint of a foreign server's `/settle`: the merchant's name and
    /// the terms it asked for stand in for the request we never see.
    pub fn of_merchant(merchant: &str, terms: &SellerTerms<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/merchant/2");
        hash_field(&mut hash, merchant.as_bytes());
        for field in terms.fields() {
            hash.update([u8::from(field.is_some())]);
            hash_field(&mut hash, field.unwrap_or_default().as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// What stands in its place in claims of releases that bound none of the terms.
    pub fn of_merchant_and_key(merchant: &str, key: &PaymentKey) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/merchant/1");
        hash_field(&mut hash, merchant.as_bytes());
        hash_field(&mut hash, key.as_bytes());
        Self(hash.finalize().into())
    }
}

/// How an identifier begins that an offer suggested and the client only echoed.
pub const OFFERED_IDENTIFIER: &str = "offer_";

/// Set in the first byte of such an identifier's hash.
const OFFERED: u8 = 0x80;

impl IdentifierHash {
    /// Hashes a `payment-identifier` as it came on the wire.
    pub fn of(identifier: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/payment-identifier/1");
        hash.update(identifier.as_bytes());
        let mut bytes: [u8; 32] = hash.finalize().into();
        let [first, ..] = &mut bytes;
        *first &= !OFFERED;
        if identifier.starts_with(OFFERED_IDENTIFIER) {
            *first |= OFFERED;
        }
        Self(bytes)
    }

    /// Hashes an `Idempotency-Key` as it came in the header. It is the client's
    /// own word for a purchase, and no credential for its answer.
    pub fn of_idempotency_key(key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quittance/idempotency-key/1");
        hash.update(key.as_bytes());
        let mut bytes: [u8; 32] = hash.finalize().into();
        let [first, ..] = &mut bytes;
        *first &= !OFFERED;
        Self(bytes)
    }

    /// Whether an offer suggested it. It is as secret as the client's own word,
    /// but names the offer: who pays one offer twice sends it twice.
    pub const fn is_offered(&self) -> bool {
        self.0[0] & OFFERED != 0
    }
}

/// Length first, so that no two field lists share one encoding.
fn hash_field(hash: &mut Sha256, field: &[u8]) {
    hash.update((field.len() as u64).to_be_bytes());
    hash.update(field);
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Makes an id from 16 random bytes; the caller owns the randomness.
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(format!(concat!($prefix, "{}"), hex::encode(random)))
            }

            /// Wraps an id read back from the ledger.
            pub fn from_stored(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

random_id!(
    /// Our name for a payment, in logs, metrics exemplars and the ledger.
    PaymentId, "pay_"
);
random_id!(
    /// The host's name for the work a payment bought: 128 random bits, because
    /// it is the only credential for polling the result.
    RequestId, "req_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_boundaries_count() {
        assert_ne!(
            Fingerprint::of_request("POST", "/a", "b", b""),
            Fingerprint::of_request("POST", "/ab", "", b"")
        );
        assert_ne!(PaymentKey::solana("solana:a", b"bc"), PaymentKey::solana("solana:ab", b"c"));
    }

    #[test]
    fn a_body_in_pieces_is_the_same_body() {
        let mut digest = BodyDigest::default();
        for piece in [&b"some"[..], b"", b" body"] {
            digest.update(piece);
        }
        let whole = Fingerprint::of_request("POST", "/a", "q", b"some body");
        assert_eq!(Fingerprint::of_request_with("POST", "/a", "q", digest.finish()), whole);
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let base = PaymentKey::evm(8453, &[1; 20], &[2; 20], &[3; 32]);
        assert_ne!(base, PaymentKey::evm(84532, &[1; 20], &[2; 20], &[3; 32]));
        assert_ne!(base, PaymentKey::evm(8453, &[9; 20], &[2; 20], &[3; 32]));
        assert_ne!(base, PaymentKey::evm(8453, &[1; 20], &[9; 20], &[3; 32]));
        assert_ne!(base, PaymentKey::evm(8453, &[1; 20], &[2; 20], &[9; 32]));
    }
}
