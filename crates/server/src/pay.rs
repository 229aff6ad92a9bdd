//! `quittance pay URL`: pays any x402 v2 endpoint, speaking the imgnAI dialect
//! (numeric timestamps, `accepted` without `extra`, `payload.payer`).
//!
//! It always sends a `payment-identifier`, so that only who ran it can have the
//! answer replayed, and sends the same payment again while the outcome is unknown.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quittance_evm::EvmPayer;
use quittance_facilitator::Clock;
use quittance_facilitator::config::read_secret;
use quittance_protocol::{
    Amount, EvmExactPayload, Family, Network, NumberText, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired, PaymentRequirements, Secret, X402_VERSION,
    decode_header, encode_header,
};
use quittance_solana::{PayerOptions, SolanaPayer};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::{CommandError, print};

/// Longest answer body that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One RPC call while building a Solana payment.
const RPC_TIMEOUT_MS: u64 = 10_000;

/// Public mainnet endpoint, used when `--solana-rpc` is not given.
const SOLANA_RPC_DEFAULT: &str = "https://api.mainnet-beta.solana.com";

/// What to buy and how to pay.
#[derive(Args)]
pub(crate) struct PayArgs {
    /// URL of the endpoint.
    url: String,
    /// HTTP method.
    #[arg(long, short = 'X', default_value = "POST")]
    method: String,
    /// Request body; `@FILE` reads a file.
    #[arg(long, short = 'd')]
    data: Option<String>,
    /// Additional header `Name: value`; may be repeated.
    #[arg(long, short = 'H')]
    header: Vec<String>,
    /// `base`, `solana` or a CAIP-2 identifier; default: the first offer a key is given for.
    #[arg(long)]
    network: Option<String>,
    /// Base payer key as a secret reference (env:NAME or file:PATH).
    #[arg(long)]
    evm_key: Option<String>,
    /// Solana payer key as a secret reference (env:NAME or file:PATH).
    #[arg(long)]
    solana_key: Option<String>,
    /// Solana JSON-RPC endpoint.
    #[arg(long, env = "QUITTANCE_SOLANA_RPC", default_value = SOLANA_RPC_DEFAULT)]
    solana_rpc: String,
    /// Refuse to pay more than this many USDC.
    #[arg(long, default_value = "1.00")]
    max_usdc: String,
    /// How long to keep asking while the outcome is unknown.
    #[arg(long, default_value_t = 120)]
    wait_seconds: u64,
    /// Write the answer's body to this file instead of into the receipt.
    #[arg(long, short = 'o')]
    output: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: PayArgs) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(buy(args))
}

async fn buy(args: PayArgs) -> Result<ExitCode, CommandError> {
    let client = Client::builder().timeout(Duration::from_secs(args.wait_seconds.max(30))).build()?;
    let request = Request::from_args(&args)?;
    let unpaid = request.send(&client, None).await?;
    if unpaid.status() != StatusCode::PAYMENT_REQUIRED {
        let status = unpaid.status();
        let body = body_of(unpaid).await?;
        return finish(&args, status, None, &Map::new(), &body);
    }
    let required = offers(unpaid).await?;
    let offer = choose(&required, &args)?;
    let bill = check_price(offer, &args)?;
    let payload = sign(offer, &args).await?;
    let header = encode_header(&payload)?;
    let paid = request.send_until_known(&client, &header, args.wait_seconds).await?;
    let status = paid.status();
    let receipt = receipt_of(&paid);
    let reason = paid
        .headers()
        .get(PAYMENT_REQUIRED)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| decode_header::<PaymentRequired>(text).ok().and_then(|required| required.error));
    let body = body_of(paid).await?;
    let mut bill = bill;
    if let Some(reason) = reason {
        bill.insert("refused".to_owned(), json!(reason));
    }
    finish(&args, status, receipt, &bill, &body)
}

/// The request, sent byte for byte the same each time.
struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn from_args(args: &PayArgs) -> Result<Self, CommandError> {
        let body = match &args.data {
            None => Vec::new(),
            Some(data) => match data.strip_prefix('@') {
                Some(path) => std::fs::read(path).map_err(|error| format!("{path}: {error}"))?,
                None => data.clone().into_bytes(),
            },
        };
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for header in &args.header {
            let (name, value) = header.split_once(':').ok_or("write headers as 'Name: value'")?;
            headers.insert(HeaderName::try_from(name.trim())?, HeaderValue::from_str(value.trim())?);
        }
        Ok(Self { method: args.method.parse()?, url: args.url.clone(), headers, body })
    }

    async fn send(&self, client: &Client, payment: Option<&str>) -> Result<Response, CommandError> {
        let mut request = client
            .request(self.method.clone(), &self.url)
            .headers(self.headers.clone())
            .body(self.body.clone());
        if let Some(payment) = payment {
            request = request.header(PAYMENT_SIGNATURE, payment);
        }
        Ok(request.send().await?)
    }

    /// Sends the same payment until somebody knows how it ended. A connection
    /// that breaks says nothing about the payment, so it is sent again too.
    async fn send_until_known(
        &self,
        client: &Client,
        payment: &str,
        wait_seconds: u64,
    ) -> Result<Response, CommandError> {
        let until = tokio::time::Instant::now() + Duration::from_secs(wait_seconds);
        loop {
            let answer = self.send(client, Some(payment)).await;
            let pause = match &answer {
                Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => retry_after(response),
                Ok(_) => return answer,
                Err(error) => {
                    tracing::warn!(%error, "no answer; sending the same payment again");
                    Duration::from_secs(2)
                }
            };
            if tokio::time::Instant::now() + pause >= until {
                return answer;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_u64);
    Duration::from_secs(seconds.clamp(1, 30))
}

/// The header first; a body of the same shape is accepted too.
async fn offers(response: Response) -> Result<PaymentRequired, CommandError> {
    let header = response.headers().get(PAYMENT_REQUIRED).and_then(|value| value.to_str().ok());
    if let Some(text) = header {
        return Ok(decode_header(text)?);
    }
    let body = body_of(response).await?;
    let required: PaymentRequired = serde_json::from_slice(&body)
        .map_err(|_| "the 402 carries no PAYMENT-REQUIRED header: not an x402 v2 endpoint")?;
    Ok(required)
}

/// The first offer that matches the wanted network and for which a key is given.
fn choose<'a>(
    required: &'a PaymentRequired,
    args: &PayArgs,
) -> Result<&'a PaymentRequirements, CommandError> {
    let wanted = args.network.as_deref();
    let found = required.accepts.iter().find(|offer| {
        let Ok(network) = offer.network.parse::<Network>() else { return false };
        let has_key = match network.family() {
            Family::Eip155(_) => args.evm_key.is_some(),
            Family::Solana => args.solana_key.is_some(),
        };
        let named = match wanted {
            None => has_key,
            Some("base") => matches!(network.family(), Family::Eip155(_)),
            Some("solana") => network.family() == Family::Solana,
            Some(id) => network.as_str() == id,
        };
        named && offer.scheme == "exact"
    });
    found.ok_or_else(|| {
        let offered: Vec<&str> = required.accepts.iter().map(|offer| offer.network.as_str()).collect();
        format!("no offer can be paid with the given keys; offered: {}", offered.join(", ")).into()
    })
}

/// Refuses before anything is signed.
fn check_price(offer: &PaymentRequirements, args: &PayArgs) -> Result<Map<String, Value>, CommandError> {
    let amount = offer.amount().ok_or("the offer's amount is not a number of atomic units")?;
    let limit = parse_usdc(&args.max_usdc).ok_or("--max-usdc must be a decimal such as 1.00")?;
    if amount > limit {
        return Err(
            format!("the price is {} USDC, above --max-usdc {}", amount.to_usdc(), limit.to_usdc()).into()
        );
    }
    let breakdown = offer.extra.get("breakdown");
    let part = |name: &str| breakdown.and_then(|value| value.get(name)).cloned().unwrap_or(Value::Null);
    let mut bill = Map::new();
    bill.insert("network".to_owned(), json!(offer.network));
    bill.insert("pay_to".to_owned(), json!(offer.pay_to));
    bill.insert("amount".to_owned(), json!(amount));
    bill.insert("service_usdc".to_owned(), part("service_usdc"));
    bill.insert("gas_usdc".to_owned(), part("gas_usdc"));
    Ok(bill)
}

fn parse_usdc(text: &str) -> Option<Amount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    format!("{whole}{fraction:0<6}").parse().ok().map(Amount::new)
}

#[allow(clippy::disallowed_methods, reason = "a payer's own nonce")]
async fn sign(offer: &PaymentRequirements, args: &PayArgs) -> Result<PaymentPayload, CommandError> {
    let network: Network = offer.network.parse()?;
    let payload = match network.family() {
        Family::Eip155(_) => {
            let key = secret(args.evm_key.as_deref(), "--evm-key")?;
            let signed =
                EvmPayer::new(&key)?.sign_authorization(offer, Clock::system().now(), rand::random())?;
            serde_json::to_value(with_numbers(signed))?
        }
        Family::Solana => {
            let key = secret(args.solana_key.as_deref(), "--solana-key")?;
            let memo = random_hex();
            let options = PayerOptions { create_token_account: None, memo: Some(memo) };
            let paid = SolanaPayer::new(&key)?.pay(offer, &args.solana_rpc, RPC_TIMEOUT_MS, &options).await?;
            serde_json::to_value(paid)?
        }
    };
    let mut accepted = offer.clone();
    accepted.extra = Map::new();
    let mut extensions = Map::new();
    let identifier = format!("pay_{}", random_hex());
    extensions
        .insert("payment-identifier".to_owned(), json!({ "info": { "required": false, "id": identifier } }));
    Ok(PaymentPayload {
        x402_version: X402_VERSION,
        resource: None,
        accepted,
        payload,
        extensions,
        other: Map::new(),
    })
}

/// imgnAI's documents show timestamps as JSON numbers.
fn with_numbers(mut signed: EvmExactPayload) -> EvmExactPayload {
    for field in [&mut signed.authorization.valid_after, &mut signed.authorization.valid_before] {
        if let Some(number) = field.to_u64() {
            *field = NumberText::Number(number);
        }
    }
    signed
}

#[allow(clippy::disallowed_methods, reason = "a payer's own identifier")]
fn random_hex() -> String {
    rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret(reference: Option<&str>, flag: &str) -> Result<Secret, CommandError> {
    let reference = reference.ok_or_else(|| format!("this offer needs {flag} env:NAME or file:PATH"))?;
    Ok(read_secret(reference)?)
}

fn receipt_of(response: &Response) -> Option<Value> {
    // Any facilitator's receipt is shown, also one with codes we do not know.
    let text = response.headers().get(PAYMENT_RESPONSE)?.to_str().ok()?;
    decode_header::<Value>(text).ok()
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, CommandError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err("the answer is longer than is read".into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn finish(
    args: &PayArgs,
    status: StatusCode,
    receipt: Option<Value>,
    bill: &Map<String, Value>,
    body: &[u8],
) -> Result<ExitCode, CommandError> {
    if let Some(path) = &args.output {
        std::fs::write(path, body).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let text = String::from_utf8_lossy(body);
    if args.json {
        let shown = match (&args.output, serde_json::from_slice::<Value>(body)) {
            (Some(path), _) => json!(path.display().to_string()),
            (None, Ok(value)) => value,
            (None, Err(_)) => json!(text),
        };
        let document = json!({
            "status": status.as_u16(), "payment": bill, "receipt": receipt, "body": shown,
        });
        print(&document.to_string())?;
    } else {
        if let Some(receipt) = &receipt {
            let field = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
            print(&format!("network      {}", field("network")))?;
            print(&format!("transaction  {}", field("transaction")))?;
            print(&format!("payer        {}", field("payer")))?;
            let amount = bill.get("amount").and_then(Value::as_str).and_then(|a| a.parse::<Amount>().ok());
            print(&format!("paid         {} USDC", amount.map_or("-".to_owned(), Amount::to_usdc)))?;
        }
        print(&format!("status       {status}"))?;
        if args.output.is_none() {
            print(&text)?;
        }
    }
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact_decimals() {
        assert_eq!(parse_usdc("1.00"), Some(Amount::new(1_000_000)));
        assert_eq!(parse_usdc("0.000001"), Some(Amount::new(1)));
        for bad in ["", "-1", "1e6", "1.0000001", ".5"] {
            assert_eq!(parse_usdc(bad), None, "{bad}");
        }
    }
}
