//! Signing for the chosen offer.

use quittance_evm::EvmPayer;
use quittance_protocol::{
    Family, Network, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequirements, UnixSeconds, X402_VERSION,
    encode_header, v1,
};
use quittance_solana::{PayerOptions, SolanaPayer};
use serde_json::{Map, Value, json};

use crate::required::Required;
use crate::{Keys, PayError};

/// One RPC call while building a Solana payment.
const RPC_TIMEOUT_MS: u64 = 10_000;
/// How long a blockhash can be used at most, seconds: 150 blocks, slow ones.
const BLOCKHASH_SECONDS: u64 = 180;

/// A payment as it is sent, again and again the same.
pub(crate) struct Signed {
    pub(crate) header_name: String,
    pub(crate) header: String,
    pub(crate) payer: String,
    /// Whoever has the payment may land it until then.
    pub(crate) valid_until: UnixSeconds,
}

/// The offer is echoed whole: official servers compare it, `extra` included, with
/// what they offered. So are resource and extensions, beside an identifier of our own.
pub(crate) async fn sign(
    required: &Required,
    offer: &PaymentRequirements,
    keys: &Keys,
    (now, seconds_max): (UnixSeconds, u64),
) -> Result<Signed, PayError> {
    let network: Network =
        offer.network.parse().map_err(|_| PayError::NotX402("the offer's network is none".to_owned()))?;
    let missing = || PayError::NoOffer("no key given".to_owned());
    let (payer, valid_until, payload) = match network.family() {
        Family::Eip155(_) => {
            let payer = keys.evm.as_ref().ok_or_else(missing)?;
            let seconds = offer.max_timeout_seconds.min(seconds_max);
            let valid_until = now.saturating_add(seconds);
            (payer.address(), valid_until, evm(payer, offer, now, seconds)?)
        }
        Family::Solana => {
            let (payer, rpc_url) = keys.solana.as_ref().ok_or_else(missing)?;
            let valid_until = now.saturating_add(BLOCKHASH_SECONDS);
            (payer.address(), valid_until, solana(payer, offer, rpc_url).await?)
        }
    };
    let (header_name, header) = match required.version {
        v1::VERSION => {
            let network = v1::name_of(&offer.network).unwrap_or_default();
            let payment = json!({ "x402Version": v1::VERSION, "scheme": offer.scheme, "network": network, "payload": payload });
            (v1::X_PAYMENT, encode_header(&payment)?)
        }
        _ => (PAYMENT_SIGNATURE, encode_header(&second(required, offer, payload))?),
    };
    Ok(Signed { header_name: header_name.to_owned(), header, payer, valid_until })
}

fn second(required: &Required, offer: &PaymentRequirements, payload: Value) -> PaymentPayload {
    let mut extensions = required.extensions.clone();
    let identifier = format!("pay_{}", random_hex());
    extensions
        .insert("payment-identifier".to_owned(), json!({ "info": { "required": false, "id": identifier } }));
    PaymentPayload {
        x402_version: X402_VERSION,
        resource: required.resource.clone(),
        accepted: offer.clone(),
        payload,
        extensions,
        other: Map::new(),
    }
}

#[allow(clippy::disallowed_methods, reason = "a payer's own nonce")]
fn evm(
    payer: &EvmPayer,
    offer: &PaymentRequirements,
    now: UnixSeconds,
    seconds: u64,
) -> Result<Value, PayError> {
    let shorter = PaymentRequirements { max_timeout_seconds: seconds, ..offer.clone() };
    to_value(&payer.sign_authorization(&shorter, now, rand::random())?)
}

async fn solana(payer: &SolanaPayer, offer: &PaymentRequirements, rpc_url: &str) -> Result<Value, PayError> {
    let options = PayerOptions { create_token_account: None, memo: Some(random_hex()) };
    to_value(&payer.pay(offer, rpc_url, RPC_TIMEOUT_MS, &options).await?)
}

fn to_value(payload: &impl serde::Serialize) -> Result<Value, PayError> {
    serde_json::to_value(payload).map_err(|error| PayError::NotX402(error.to_string()))
}

/// Thirty-two digits that nobody guesses.
#[allow(clippy::disallowed_methods, reason = "a payer's own identifier")]
pub fn random_hex() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
