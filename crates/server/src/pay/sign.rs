//! Signing for the chosen offer.

use quittance_evm::EvmPayer;
use quittance_facilitator::Clock;
use quittance_facilitator::config::read_secret;
use quittance_protocol::{Family, Network, PaymentPayload, PaymentRequirements, Secret, X402_VERSION};
use quittance_solana::{PayerOptions, SolanaPayer};
use serde_json::{Map, Value, json};

use super::PayArgs;
use super::offers::Required;
use crate::CommandError;

/// One RPC call while building a Solana payment.
const RPC_TIMEOUT_MS: u64 = 10_000;

/// The offer is echoed whole: official servers compare it, `extra` included, with
/// what they offered. So are resource and extensions, beside an identifier of our own.
pub(super) async fn sign(
    required: &Required,
    offer: &PaymentRequirements,
    args: &PayArgs,
) -> Result<PaymentPayload, CommandError> {
    let mut extensions = required.extensions.clone();
    let identifier = format!("pay_{}", random_hex());
    extensions
        .insert("payment-identifier".to_owned(), json!({ "info": { "required": false, "id": identifier } }));
    Ok(PaymentPayload {
        x402_version: X402_VERSION,
        resource: required.resource.clone(),
        accepted: offer.clone(),
        payload: payload(offer, args).await?,
        extensions,
        other: Map::new(),
    })
}

#[allow(clippy::disallowed_methods, reason = "a payer's own nonce")]
async fn payload(offer: &PaymentRequirements, args: &PayArgs) -> Result<Value, CommandError> {
    let network: Network = offer.network.parse()?;
    match network.family() {
        Family::Eip155(_) => {
            let key = secret(args.evm_key.as_deref(), "--evm-key")?;
            let signed =
                EvmPayer::new(&key)?.sign_authorization(offer, Clock::system().now(), rand::random())?;
            Ok(serde_json::to_value(signed)?)
        }
        Family::Solana => {
            let key = secret(args.solana_key.as_deref(), "--solana-key")?;
            let options = PayerOptions { create_token_account: None, memo: Some(random_hex()) };
            let paid = SolanaPayer::new(&key)?.pay(offer, &args.solana_rpc, RPC_TIMEOUT_MS, &options).await?;
            Ok(serde_json::to_value(paid)?)
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a payer's own identifier")]
fn random_hex() -> String {
    rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret(reference: Option<&str>, flag: &str) -> Result<Secret, CommandError> {
    let reference = reference.ok_or_else(|| format!("this offer needs {flag} env:NAME or file:PATH"))?;
    Ok(read_secret(reference)?)
}
