//! By what copies of a payment share places and checks.

use quittance_protocol::PaymentKey;

/// What a payment's copies share places and checks by. A signature that may be made up
/// has them for itself.
pub(crate) fn share_key(key: &PaymentKey, digest: &[u8; 32], is_signed: bool) -> PaymentKey {
    if is_signed { *key } else { mixed(key, digest) }
}

/// A place of its own for a signature that is not the payer's: whoever made it up
/// must not sit in the places of the payment itself.
pub(crate) fn mixed(key: &PaymentKey, digest: &[u8; 32]) -> PaymentKey {
    let mut bytes = *key.as_bytes();
    for (byte, other) in bytes.iter_mut().zip(digest) {
        *byte ^= other;
    }
    PaymentKey::from_bytes(bytes)
}
