//! A payment before it is bytes: what an attacker, or a customer, makes up.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::PaymentPayload;
use serde_json::{Value, json};
use solana_sdk::hash::Hash;
use solana_sdk::instruction::Instruction;
use solana_sdk::message::compiled_instruction::CompiledInstruction;
use solana_sdk::message::v1::TransactionConfig;
use solana_sdk::message::{AddressLookupTableAccount, MessageHeader, VersionedMessage, legacy, v0, v1};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;

use super::actors::place;
use super::world::World;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Legacy,
    V0,
    V1,
}

/// What is done to a message that is written already; indexes are taken modulo what is there.
#[derive(Clone, Debug)]
pub(crate) enum Tweak {
    Header { signers: i8, readonly_signed: i8, readonly_unsigned: i8 },
    Key { at: usize, to: Pubkey },
    DoubleKey,
    SwapKeys(usize, usize),
    Program { at: usize, to: u8 },
    Account { at: usize, place: usize, to: u8 },
    DropKey,
}

/// What is done to the bytes.
#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    Flip {
        at: usize,
        bit: u8,
    },
    Cut(usize),
    Append(Vec<u8>),
    Set {
        at: usize,
        byte: u8,
    },
    /// Before it is signed: the count of keys in two bytes.
    LongLength,
    /// Before it is signed: more behind the message.
    Tail(Vec<u8>),
    Slot([u8; 64]),
}

/// What the payment says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) scheme: String,
    pub(crate) network: String,
    pub(crate) asset: String,
    pub(crate) pay_to: String,
    pub(crate) amount: String,
    pub(crate) maximum: Option<String>,
    pub(crate) fee_payer: Option<String>,
    pub(crate) memo: Option<String>,
    pub(crate) payer: Option<String>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) version: Version,
    pub(crate) fee_payer: Pubkey,
    pub(crate) instructions: Vec<Instruction>,
    /// What version 1 says in its header.
    pub(crate) budget: TransactionConfig,
    /// Named through a lookup table.
    pub(crate) looked_up: Vec<Pubkey>,
    pub(crate) blockhash: Hash,
    /// Whether the payer's signature is somebody else's.
    pub(crate) forged: bool,
    /// Whether the offer charged the rent of a missing account.
    pub(crate) rent_charged: bool,
    pub(crate) terms: Terms,
    pub(crate) tweaks: Vec<Tweak>,
    pub(crate) spoils: Vec<Spoil>,
    /// What was done, in words.
    pub(crate) story: Vec<String>,
}

impl Draft {
    /// The bytes, signed by everybody whose key an attacker may have.
    pub(crate) fn raw(&self, world: &World) -> Option<Vec<u8>> {
        let mut message = self.message(world)?;
        for tweak in &self.tweaks {
            apply(&mut message, tweak);
        }
        let mut bytes = message.serialize();
        for spoil in &self.spoils {
            self.spoil_signed(&mut bytes, spoil);
        }
        let signers = usize::from(message.header().num_required_signatures);
        let count = u8::try_from(signers).ok().filter(|count| *count < 0x80)?;
        let mut signatures = Vec::new();
        for slot in 0..signers {
            let key = message.static_account_keys().get(slot);
            let signer = world.actors.strangers().into_iter().find(|one| Some(&one.pubkey()) == key);
            let signer = if self.forged { Some(&world.actors.third) } else { signer };
            match signer.filter(|_| slot > 0) {
                Some(signer) => signatures.extend_from_slice(signer.sign_message(&bytes).as_ref()),
                None => signatures.extend([0; 64]),
            }
        }
        let mut raw = match self.version {
            Version::V1 => [bytes, signatures].concat(),
            Version::Legacy | Version::V0 => [vec![count], signatures, bytes].concat(),
        };
        for spoil in &self.spoils {
            self.spoil(&mut raw, spoil);
        }
        Some(raw)
    }

    fn message(&self, world: &World) -> Option<VersionedMessage> {
        match self.version {
            Version::Legacy => {
                let payer = Some(&self.fee_payer);
                let message = legacy::Message::new_with_blockhash(&self.instructions, payer, &self.blockhash);
                Some(VersionedMessage::Legacy(message))
            }
            Version::V1 => {
                let (payer, blockhash) = (&self.fee_payer, self.blockhash);
                let compiled =
                    v1::Message::try_compile_with_config(payer, &self.instructions, blockhash, self.budget);
                compiled.ok().map(VersionedMessage::V1)
            }
            Version::V0 => {
                // Those that are not to be named through it stand there under other names.
                let shown = |at: (usize, Pubkey)| match self.looked_up.contains(&at.1) {
                    true => at.1,
                    false => place(&format!("elsewhere {}", at.0)),
                };
                let addresses = world.actors.pool().into_iter().enumerate().map(shown).collect();
                let table = AddressLookupTableAccount { key: world.actors.table, addresses };
                let tables = if self.looked_up.is_empty() { vec![] } else { vec![table] };
                let (payer, blockhash) = (&self.fee_payer, self.blockhash);
                let compiled = v0::Message::try_compile(payer, &self.instructions, &tables, blockhash);
                compiled.ok().map(VersionedMessage::V0)
            }
        }
    }

    fn spoil_signed(&self, message: &mut Vec<u8>, spoil: &Spoil) {
        let count_at = if self.version == Version::Legacy { 3 } else { 4 };
        match spoil {
            Spoil::LongLength if self.version != Version::V1 => {
                if let Some(count) = message.get_mut(count_at).filter(|count| **count < 0x80) {
                    *count |= 0x80;
                    message.insert(count_at + 1, 0);
                }
            }
            Spoil::Tail(bytes) => message.extend(bytes),
            _ => {}
        }
    }

    fn spoil(&self, raw: &mut Vec<u8>, spoil: &Spoil) {
        match spoil {
            Spoil::Flip { at, bit } => {
                let at = at.checked_rem(raw.len()).unwrap_or(0);
                if let Some(byte) = raw.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Spoil::Cut(bytes) => raw.truncate(raw.len().saturating_sub(*bytes)),
            Spoil::Append(bytes) => raw.extend(bytes),
            Spoil::Set { at, byte } => {
                if let Some(there) = raw.get_mut(*at) {
                    *there = *byte;
                }
            }
            Spoil::LongLength | Spoil::Tail(_) => {}
            Spoil::Slot(signature) => {
                let at = match self.version {
                    Version::V1 => raw.len().saturating_sub(2 * signature.len()),
                    Version::Legacy | Version::V0 => 1,
                };
                if let Some(slot) = raw.get_mut(at..at + signature.len()) {
                    slot.copy_from_slice(signature);
                }
            }
        }
    }

    /// As it comes over the wire.
    pub(crate) fn payload(&self, raw: &[u8]) -> PaymentPayload {
        let terms = &self.terms;
        let mut extra = serde_json::Map::new();
        extra.extend(terms.fee_payer.clone().map(|key| ("feePayer".to_owned(), Value::from(key))));
        extra.extend(terms.memo.clone().map(|memo| ("memo".to_owned(), Value::from(memo))));
        let mut accepted = json!({
            "scheme": terms.scheme, "network": terms.network, "asset": terms.asset,
            "payTo": terms.pay_to, "amount": terms.amount, "maxTimeoutSeconds": 120, "extra": extra,
        });
        if let Some(maximum) = &terms.maximum {
            accepted["maxAmountRequired"] = json!(maximum);
        }
        let mut payload = json!({"transaction": STANDARD.encode(raw)});
        if let Some(payer) = &terms.payer {
            payload["payer"] = json!(payer);
        }
        let whole = json!({"x402Version": 2, "accepted": accepted, "payload": payload});
        serde_json::from_value(whole).expect("a payload's own shape")
    }
}

fn parts(
    message: &mut VersionedMessage,
) -> (&mut MessageHeader, &mut Vec<Pubkey>, &mut Vec<CompiledInstruction>) {
    match message {
        VersionedMessage::Legacy(one) => (&mut one.header, &mut one.account_keys, &mut one.instructions),
        VersionedMessage::V0(one) => (&mut one.header, &mut one.account_keys, &mut one.instructions),
        VersionedMessage::V1(one) => (&mut one.header, &mut one.account_keys, &mut one.instructions),
    }
}

fn apply(message: &mut VersionedMessage, tweak: &Tweak) {
    let (header, keys, instructions) = parts(message);
    let count = keys.len();
    let within = |at: usize| at.checked_rem(count).unwrap_or(0);
    match tweak {
        Tweak::Header { signers, readonly_signed, readonly_unsigned } => {
            let add = |to: &mut u8, by: i8| *to = to.saturating_add_signed(by);
            add(&mut header.num_required_signatures, *signers);
            add(&mut header.num_readonly_signed_accounts, *readonly_signed);
            add(&mut header.num_readonly_unsigned_accounts, *readonly_unsigned);
        }
        Tweak::Key { at, to } => keys[within(*at)] = *to,
        Tweak::DoubleKey => keys.extend(keys.get(count.saturating_sub(1)).copied()),
        Tweak::SwapKeys(one, other) => keys.swap(within(*one), within(*other)),
        Tweak::DropKey => {
            keys.pop();
        }
        Tweak::Program { at, to } => {
            let at = at.checked_rem(instructions.len()).unwrap_or(0);
            if let Some(instruction) = instructions.get_mut(at) {
                instruction.program_id_index = *to;
            }
        }
        Tweak::Account { at, place, to } => {
            let at = at.checked_rem(instructions.len()).unwrap_or(0);
            if let Some(instruction) = instructions.get_mut(at) {
                let place = place.checked_rem(instruction.accounts.len()).unwrap_or(0);
                if let Some(account) = instruction.accounts.get_mut(place) {
                    *account = *to;
                }
            }
        }
    }
}
