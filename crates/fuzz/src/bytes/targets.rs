//! The readers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_chain::Decode;
use quittance_evm::EvmDecode;
use quittance_protocol::{
    Amount, Dialect, HEADER_BYTES_MAX, HEADER_JSON_DEPTH_MAX, Json, Network, PaymentPayload, decode_header,
    parse_json_strict, v1,
};
use quittance_solana::{SolanaDecode, TRANSACTION_V1_BYTES_MAX};
use serde_json::Value;

use super::seeds;
use crate::runtime::Worlds;

/// The longest body that is tried; servers take a bounded one before they read it.
const BODY_BYTES_MAX: usize = 32 * 1024;

macro_rules! targets {
    ($($name:ident $text:literal $factor:literal $what:literal;)*) => {
        /// A reader of what strangers send.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Target { $(#[doc = $what] $name,)* }

        impl Target {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Bytes that it may allocate for each byte of its input.
            pub fn factor(self) -> usize {
                match self { $(Self::$name => $factor,)* }
            }
        }
    };
}

targets! {
    Json "json" 160 "JSON, read strictly";
    Header "header" 160 "A payment header of version 2: base64 of JSON of a payment";
    HeaderV1 "header-v1" 160 "A payment header of version 1";
    Body "body" 200 "What a foreign server asks of `/verify` and `/settle`, in both versions";
    Words "words" 64 "Networks, amounts, identifiers";
    Evm "evm" 200 "A payload of an EVM network: identified, and read back from the ledger";
    Solana "solana" 200 "A payload of Solana";
    Transaction "transaction" 32 "Bytes of a Solana transaction, of every version";
}

/// A target with what it needs.
pub struct Reading {
    target: Target,
    worlds: Option<Worlds>,
    evm: EvmDecode,
    solana: SolanaDecode,
}

fn network(name: &str) -> Network {
    name.parse().expect("a network")
}

impl Reading {
    pub(super) fn new(target: Target) -> Self {
        let worlds = matches!(target, Target::Transaction | Target::Solana).then(Worlds::first);
        let evm = EvmDecode::new(network(Network::BASE));
        let solana = SolanaDecode::new(network(Network::SOLANA));
        Self { target, worlds, evm, solana }
    }

    pub(super) fn longest(&self) -> usize {
        match self.target {
            Target::Header | Target::HeaderV1 => HEADER_BYTES_MAX + 8,
            Target::Transaction => TRANSACTION_V1_BYTES_MAX + 64,
            _ => BODY_BYTES_MAX,
        }
    }

    pub(super) fn seeds(&self) -> Vec<Vec<u8>> {
        let text = |all: Vec<Value>| all.iter().map(|one| one.to_string().into_bytes()).collect();
        match self.target {
            Target::Json => {
                let payments: Vec<Vec<u8>> = text([seeds::payments(), seeds::bodies()].concat());
                [payments, seeds::wide()].concat()
            }
            Target::Header | Target::HeaderV1 | Target::Evm | Target::Solana => text(seeds::payments()),
            Target::Body => text(seeds::bodies()),
            Target::Words => ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "11500", "0.0141"]
                .map(|word| word.as_bytes().to_vec())
                .into(),
            Target::Transaction => seeds::transactions(),
        }
    }

    /// Reads it, and says how that ended: inputs with the same end teach nothing new.
    pub(super) fn read(&self, input: &[u8]) -> String {
        match self.target {
            Target::Json => match Json::parse_strict(input, HEADER_JSON_DEPTH_MAX) {
                Ok(json) => format!("ok {}", json.into_value().to_string().len().min(8)),
                Err(error) => plain(&error),
            },
            // The base64 is that of the program's own alphabet but for a few bytes in a hundred inputs.
            Target::Header => said(&decode_header::<PaymentPayload>(&header(input))),
            Target::HeaderV1 => said(&decode_header::<v1::PaymentPayload>(&header(input))),
            Target::Body => match parse_json_strict(input, HEADER_JSON_DEPTH_MAX) {
                Err(error) => plain(&error),
                Ok(body) => match Dialect::read(body) {
                    Ok((asked, _)) => format!("ok {}", plain(&asked.payment_requirements.scheme)),
                    Err(error) => plain(&format!("{error:?}")),
                },
            },
            Target::Words => words(input),
            Target::Evm => self.evm(input),
            Target::Solana => self.solana(input),
            Target::Transaction => self.transaction(input),
        }
    }

    fn payload(input: &[u8]) -> Result<PaymentPayload, String> {
        let value = parse_json_strict(input, HEADER_JSON_DEPTH_MAX).map_err(|error| plain(&error))?;
        serde_json::from_value(value).map_err(|error| plain(&error.to_string()))
    }

    fn evm(&self, input: &[u8]) -> String {
        let payload = match Self::payload(input) {
            Ok(payload) => payload,
            Err(error) => return error,
        };
        let identity = self.evm.identify(&payload);
        let amount = self.evm.amount(&payload.payload);
        let revived = self.evm.revive(&payload.payload).err();
        format!("{} {} {}", identity.is_some(), amount.is_some(), plain(&format!("{revived:?}")))
    }

    fn solana(&self, input: &[u8]) -> String {
        let payload = match Self::payload(input) {
            Ok(payload) => payload,
            Err(error) => return error,
        };
        let identity = self.solana.identify(&payload);
        let amount = self.solana.amount(&payload.payload);
        let revived = self.solana.revive(&payload.payload).err();
        let checked = self.worlds.as_ref().map(|worlds| worlds.check(&payload));
        format!(
            "{} {} {} {}",
            identity.is_some(),
            amount.is_some(),
            plain(&format!("{revived:?}")),
            plain(&format!("{:?}", checked.and_then(Result::err))),
        )
    }

    fn transaction(&self, input: &[u8]) -> String {
        let Some(worlds) = &self.worlds else { return String::new() };
        let mut payload = worlds.payload();
        payload.payload["transaction"] = Value::from(STANDARD.encode(input));
        let identity = self.solana.identify(&payload);
        let amount = self.solana.amount(&payload.payload);
        let checked = worlds.check(&payload).err();
        format!("{} {} {}", identity.is_some(), amount.is_some(), plain(&format!("{checked:?}")))
    }
}

/// As base64, but for what begins with a mark: that is text already.
fn header(input: &[u8]) -> String {
    match input.split_first() {
        Some((0xff, text)) => String::from_utf8_lossy(text).into_owned(),
        _ => STANDARD.encode(input),
    }
}

fn words(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "not text".to_owned() };
    let (network, amount) = (text.parse::<Network>(), text.parse::<Amount>());
    let known = (v1::name_of(text), v1::network_of(text));
    let digest = quittance_protocol::IdentifierHash::of(text);
    plain(&format!("{:?} {:?} {known:?} {}", network.err(), amount.err(), digest.as_bytes().len()))
}

fn said<T, E: std::fmt::Debug>(read: &Result<T, E>) -> String {
    match read {
        Ok(_) => "ok".to_owned(),
        Err(error) => plain(&format!("{error:?}")),
    }
}

/// Without the numbers and names that differ from input to input.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut is_quoted = false;
    for one in text.chars() {
        if one == '`' || one == '"' {
            is_quoted = !is_quoted;
        } else if !is_quoted && !one.is_ascii_digit() {
            plain.push(one);
        }
        if plain.len() > 160 {
            break;
        }
    }
    plain
}
