//! The client's side: signing an authorization for an offer.

use alloy::primitives::{B256, U256};
use quittance_protocol::{
    EvmAuthorization, EvmExactPayload, Family, Network, NumberText, PaymentRequirements, Secret, UnixSeconds,
};

use crate::abi::TransferWithAuthorization;
use crate::error::EvmError;
use crate::keys::SigningKey;
use crate::payment::{authorization_digest, domain};
use crate::text;

/// How far back `validAfter` lies, so that a server whose clock is behind accepts the payment;
/// the reference client's value.
const VALID_AFTER_SLACK_SECONDS: u64 = 600;

/// A payer with a secret key.
#[derive(Clone, Debug)]
pub struct EvmPayer {
    key: SigningKey,
}

impl EvmPayer {
    /// A payer from `0x` and 64 hex digits.
    pub fn new(secret: &Secret) -> Result<Self, EvmError> {
        Ok(Self { key: SigningKey::parse(secret)? })
    }

    /// The payer's address with EIP-55 case.
    pub fn address(&self) -> String {
        self.key.address().to_string()
    }

    /// Signs an EIP-3009 authorization for exactly the offered amount, valid until
    /// `now + maxTimeoutSeconds`. `nonce` must be 32 fresh random bytes.
    ///
    /// The EIP-712 domain is `extra.name` and `extra.version`, or `USD Coin` and `2`.
    pub fn sign_authorization(
        &self,
        requirements: &PaymentRequirements,
        now: UnixSeconds,
        nonce: [u8; 32],
    ) -> Result<EvmExactPayload, EvmError> {
        if requirements.scheme != "exact" {
            return Err(EvmError::Scheme);
        }
        let network: Network = requirements.network.parse().map_err(|_| EvmError::Network)?;
        let Family::Eip155(chain_id) = network.family() else { return Err(EvmError::Network) };
        let token = text::address(&requirements.asset).ok_or(EvmError::Asset)?;
        let to = text::address(&requirements.pay_to).ok_or(EvmError::Recipient)?;
        let value = requirements.amount().ok_or(EvmError::Value)?;
        let extra =
            |field, default| requirements.extra.get(field).and_then(|v| v.as_str()).unwrap_or(default);
        let domain = domain(extra("name", "USD Coin"), extra("version", "2"), chain_id, token);
        let valid_after = now.saturating_sub(VALID_AFTER_SLACK_SECONDS);
        let valid_before = now
            .checked_add(requirements.max_timeout_seconds)
            .ok_or(EvmError::TooFarAhead { max_seconds: u64::MAX })?;
        let message = TransferWithAuthorization {
            from: self.key.address(),
            to,
            value: U256::from(value.atomic()),
            validAfter: U256::from(valid_after),
            validBefore: U256::from(valid_before),
            nonce: nonce.into(),
        };
        let signature = self.key.sign(authorization_digest(domain.separator(), &message));
        Ok(EvmExactPayload {
            authorization: EvmAuthorization {
                from: self.address(),
                to: to.to_string(),
                value: NumberText::Text(value.to_string()),
                valid_after: NumberText::Text(valid_after.to_string()),
                valid_before: NumberText::Text(valid_before.to_string()),
                nonce: format!("{:#x}", B256::from(nonce)),
                other: Default::default(),
            },
            signature: signature.to_hex(),
            other: Default::default(),
        })
    }
}
