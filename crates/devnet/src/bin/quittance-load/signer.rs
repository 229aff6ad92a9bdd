//! Signs payments on either network.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quittance_evm::EvmPayer;
use quittance_protocol::{
    Family, Network, PaymentPayload, PaymentRequirements, Secret, SvmExactPayload, USDC_DECIMALS,
    X402_VERSION,
};
use quittance_solana::{PaymentParts, build_payment};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::http::{Connection, Target};
use crate::plan::SignPlan;
use crate::tally::now_seconds;

/// Enough for a transfer and a memo.
const UNIT_LIMIT: u32 = 40_000;
const UNIT_PRICE_MICRO_LAMPORTS: u64 = 1;

enum Keys {
    Base(Vec<EvmPayer>),
    Solana(Vec<Secret>),
}

/// Many payers, used in turn.
pub(crate) struct Signer {
    keys: Keys,
    /// Solana's newest blockhash.
    blockhash: Mutex<String>,
}

impl Signer {
    pub(crate) fn new(network: &str, payers: &[String]) -> Result<Arc<Self>, Failure> {
        let secrets = payers.iter().map(|key| Secret::new(key.as_bytes().to_vec()));
        let keys = match network.parse::<Network>()?.family() {
            Family::Eip155(_) => {
                Keys::Base(secrets.map(|key| EvmPayer::new(&key)).collect::<Result<_, _>>()?)
            }
            Family::Solana => Keys::Solana(secrets.collect()),
        };
        Ok(Arc::new(Self { keys, blockhash: Mutex::default() }))
    }

    /// Reads Solana's blockhash, so that signing needs no call.
    pub(crate) async fn refresh(&self, rpc: &mut Connection) -> Result<(), Failure> {
        if matches!(self.keys, Keys::Base(_)) {
            return Ok(());
        }
        let answer = rpc.call("getLatestBlockhash", json!([{"commitment": "confirmed"}])).await?;
        let newest = answer.pointer("/value/blockhash").and_then(|v| v.as_str()).ok_or("no blockhash")?;
        newest.clone_into(&mut self.blockhash.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Keeps the blockhash fresh for as long as the task lives.
    pub(crate) async fn keep_fresh(self: Arc<Self>, rpc: Target) {
        let mut connection = Connection::new(&rpc, false);
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            if let Err(error) = self.refresh(&mut connection).await {
                eprintln!("load: blockhash: {error}");
            }
        }
    }

    /// The `number`-th payment for an offer; never the same twice.
    pub(crate) fn sign(&self, offer: &PaymentRequirements, number: usize) -> Result<PaymentPayload, Failure> {
        let payload = match &self.keys {
            Keys::Base(payers) => {
                let payer = pick(payers, number)?;
                json!(payer.sign_authorization(offer, now_seconds(), rand::random())?)
            }
            Keys::Solana(payers) => json!(self.transaction(pick(payers, number)?, offer)?),
        };
        Ok(PaymentPayload {
            x402_version: X402_VERSION,
            resource: None,
            accepted: offer.clone(),
            payload,
            extensions: Map::new(),
            other: Map::new(),
        })
    }

    fn transaction(&self, payer: &Secret, offer: &PaymentRequirements) -> Result<SvmExactPayload, Failure> {
        let fee_payer = offer.extra.get("feePayer").and_then(|v| v.as_str()).unwrap_or(&offer.pay_to);
        let memo: String = rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect();
        let blockhash = self.blockhash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let raw = build_payment(
            payer,
            &PaymentParts {
                fee_payer,
                pay_to: &offer.pay_to,
                mint: &offer.asset,
                token_program: quittance_solana::TokenProgram::Token,
                decimals: u8::try_from(USDC_DECIMALS)?,
                amount: offer.amount().ok_or("the amount is not a number")?.atomic(),
                recent_blockhash: &blockhash,
                compute_unit_limit: Some(UNIT_LIMIT),
                compute_unit_price_micro_lamports: Some(UNIT_PRICE_MICRO_LAMPORTS),
                create_token_account: false,
                memo: Some(&memo),
            },
        )?;
        Ok(SvmExactPayload { transaction: STANDARD.encode(raw), payer: None, other: Map::new() })
    }
}

/// Payments, correctly signed: of the plan's payers, or of wallets that were never paid.
pub(crate) fn penniless(plan: &SignPlan) -> Result<Value, Failure> {
    let drawn = || {
        let key: [u8; 32] = rand::random();
        format!("0x{}", key.map(|byte| format!("{byte:02x}")).concat())
    };
    let payers: Vec<String> = match plan.payers.is_empty() {
        true => std::iter::repeat_with(drawn).take(plan.wallets).collect(),
        false => plan.payers.clone(),
    };
    let signer = Signer::new(plan.offer.network.as_str(), &payers)?;
    (0..plan.count).map(|number| Ok(serde_json::to_value(signer.sign(&plan.offer, number)?)?)).collect()
}

fn pick<T>(payers: &[T], number: usize) -> Result<&T, Failure> {
    let place = number.checked_rem(payers.len()).ok_or("no payers")?;
    Ok(payers.get(place).ok_or("no payers")?)
}
