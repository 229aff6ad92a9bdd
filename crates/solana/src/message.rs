//! The wire form of a transaction, read strictly and in full.
//!
//! The reader is our own because it must be total: every byte a stranger sends
//! ends as a value or as a typed error, and every index is in range before any
//! check looks at it. Source: Solana documentation, "Transaction format".

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use solana_sdk::pubkey::Pubkey;

use crate::defect::{Defect, holds, is_planted};
use crate::error::{MalformedTransaction, SolanaError};

mod v1;

pub(crate) use v1::HeaderBudget;

/// Largest transaction of the older versions that a node takes: the IPv6 minimum MTU less headers.
pub const TRANSACTION_BYTES_MAX: usize = 1232;
/// Largest transaction of version 1 (SIMD-0385).
pub const TRANSACTION_V1_BYTES_MAX: usize = 4096;
/// Bytes of one ed25519 signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Longest base64 text of [`TRANSACTION_V1_BYTES_MAX`] bytes.
const BASE64_BYTES_MAX: usize = TRANSACTION_V1_BYTES_MAX.div_ceil(3) * 4;

const KEY_BYTES: usize = 32;
const VERSION_FLAG: u8 = 0x80;
/// The version that is read only where a network takes it.
pub(crate) const VERSION_1: u8 = 1;

/// One instruction; every index is below the number of account keys.
#[derive(Debug)]
pub(crate) struct WireInstruction<'a> {
    pub(crate) program: usize,
    pub(crate) accounts: &'a [u8],
    pub(crate) data: &'a [u8],
}

/// A decoded transaction without address lookups.
#[derive(Debug)]
pub(crate) struct WireTransaction<'a> {
    pub(crate) signatures: Vec<[u8; SIGNATURE_BYTES]>,
    /// The bytes every signer signs.
    pub(crate) message: &'a [u8],
    pub(crate) keys: Vec<Pubkey>,
    pub(crate) recent_blockhash: [u8; KEY_BYTES],
    pub(crate) instructions: Vec<WireInstruction<'a>>,
    pub(crate) required_signatures: usize,
    readonly_signed: usize,
    readonly_unsigned: usize,
    places: Places,
    /// What a transaction of version 1 says of its budget.
    pub(crate) budget: Option<HeaderBudget>,
}

/// Where signatures and message stand in a transaction's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    signatures: usize,
    message: (usize, usize),
}

impl Places {
    /// The bytes of one signature slot.
    pub(crate) fn signature(self, slot: usize) -> Range<usize> {
        let start = self.signatures.saturating_add(slot.saturating_mul(SIGNATURE_BYTES));
        start..start.saturating_add(SIGNATURE_BYTES)
    }

    /// The bytes that every signer signs.
    pub(crate) fn message(self) -> Range<usize> {
        self.message.0..self.message.1
    }
}

impl<'a> WireTransaction<'a> {
    /// Reads transactions of every version that there is; whether one of version 1 is taken is
    /// for whoever asks.
    pub(crate) fn decode(raw: &'a [u8]) -> Result<Self, MalformedTransaction> {
        let transaction = match version_of(raw) {
            None => Self::read(raw)?,
            Some(VERSION_1) => Self::read_v1(raw)?,
            Some(version) => return Err(MalformedTransaction::Version { version }),
        };
        transaction.check_header()?;
        transaction.check_indexes()?;
        Ok(transaction)
    }

    /// Legacy, and version 0.
    fn read(raw: &'a [u8]) -> Result<Self, MalformedTransaction> {
        if raw.len() > TRANSACTION_BYTES_MAX {
            return Err(MalformedTransaction::TooLarge { bytes: raw.len() });
        }
        let mut reader = Reader { rest: raw };
        let signatures = read_signatures(&mut reader)?;
        let message = reader.rest;
        let versioned = read_version(&mut reader)?;
        let required_signatures = usize::from(reader.byte()?);
        let readonly_signed = usize::from(reader.byte()?);
        let readonly_unsigned = usize::from(reader.byte()?);
        let keys = read_keys(&mut reader)?;
        let recent_blockhash = reader.array()?;
        let instructions = read_instructions(&mut reader)?;
        let lookups = if versioned { reader.length()? } else { 0 };
        if is_planted(Defect::LookupTables) {
            reader.rest = &[];
        } else if lookups != 0 {
            return Err(MalformedTransaction::LookupTable);
        }
        if !holds(reader.rest.is_empty(), Defect::TrailingBytes) {
            return Err(MalformedTransaction::TrailingBytes);
        }
        Ok(Self {
            signatures,
            message,
            keys,
            recent_blockhash,
            instructions,
            required_signatures,
            readonly_signed,
            readonly_unsigned,
            places: Places { signatures: 1, message: (raw.len().saturating_sub(message.len()), raw.len()) },
            budget: None,
        })
    }

    /// Where signatures and message stand.
    pub(crate) fn places(&self) -> Places {
        self.places
    }

    /// Whether any program that gets the account may change it: said once for the whole message.
    pub(crate) fn is_writable(&self, index: u8) -> bool {
        let index = usize::from(index);
        let (end, readonly) = if index < self.required_signatures {
            (self.required_signatures, self.readonly_signed)
        } else {
            (self.keys.len(), self.readonly_unsigned)
        };
        index.checked_add(readonly).is_some_and(|place| place < end)
    }

    /// The counts must describe the keys, or the runtime refuses to sanitize.
    fn check_header(&self) -> Result<(), MalformedTransaction> {
        let described = self.required_signatures.saturating_add(self.readonly_unsigned);
        let sound = self.required_signatures > 0
            && self.readonly_signed < self.required_signatures
            && described <= self.keys.len()
            && self.signatures.len() == self.required_signatures;
        if holds(sound, Defect::AnyHeader) { Ok(()) } else { Err(MalformedTransaction::Header) }
    }

    fn check_indexes(&self) -> Result<(), MalformedTransaction> {
        for (position, key) in self.keys.iter().enumerate() {
            // A doubled key would let one account pass for two roles.
            let is_doubled = self.keys.iter().take(position).any(|earlier| earlier == key);
            if !holds(!is_doubled, Defect::DoubledKeys) {
                return Err(MalformedTransaction::DuplicateKey);
            }
        }
        for instruction in &self.instructions {
            // Account 0 pays the fee and is never a program.
            let is_there = instruction.program != 0 && instruction.program < self.keys.len();
            if !holds(is_there, Defect::AnyIndex) {
                return Err(MalformedTransaction::IndexOutOfRange);
            }
            let mut accounts = instruction.accounts.iter();
            let are_there = accounts.all(|index| usize::from(*index) < self.keys.len());
            if !holds(are_there, Defect::AnyIndex) && !is_planted(Defect::LookupTables) {
                return Err(MalformedTransaction::IndexOutOfRange);
            }
        }
        Ok(())
    }
}

/// The version of a transaction of version 1 or later: it is the first byte of all, and the
/// signatures stand at the end. Read as their count it is more than a transaction holds.
pub(crate) fn version_of(raw: &[u8]) -> Option<u8> {
    raw.first().filter(|first| **first & VERSION_FLAG != 0).map(|first| first & !VERSION_FLAG)
}

fn read_signatures(reader: &mut Reader<'_>) -> Result<Vec<[u8; SIGNATURE_BYTES]>, MalformedTransaction> {
    let count = reader.length()?;
    reader.expect_items(count, SIGNATURE_BYTES)?;
    (0..count).map(|_| reader.array()).collect()
}

/// `true` for version 0, `false` for a legacy message.
fn read_version(reader: &mut Reader<'_>) -> Result<bool, MalformedTransaction> {
    match reader.rest.first() {
        None => Err(MalformedTransaction::Truncated),
        Some(first) if first & VERSION_FLAG == 0 => Ok(false),
        Some(&VERSION_FLAG) => {
            reader.byte()?;
            Ok(true)
        }
        Some(first) => Err(MalformedTransaction::Version { version: first & !VERSION_FLAG }),
    }
}

fn read_keys(reader: &mut Reader<'_>) -> Result<Vec<Pubkey>, MalformedTransaction> {
    let count = reader.length()?;
    reader.expect_items(count, KEY_BYTES)?;
    (0..count).map(|_| reader.array().map(Pubkey::new_from_array)).collect()
}

fn read_instructions<'a>(reader: &mut Reader<'a>) -> Result<Vec<WireInstruction<'a>>, MalformedTransaction> {
    let count = reader.length()?;
    reader.expect_items(count, 3)?;
    (0..count)
        .map(|_| {
            let program = usize::from(reader.byte()?);
            let accounts = reader.length()?;
            let accounts = reader.take(accounts)?;
            let data = reader.length()?;
            let data = reader.take(data)?;
            Ok(WireInstruction { program, accounts, data })
        })
        .collect()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], MalformedTransaction> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(MalformedTransaction::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, MalformedTransaction> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedTransaction> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(MalformedTransaction::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// Refuses a count that the remaining bytes cannot hold, before allocating for it.
    fn expect_items(&self, count: usize, bytes_each: usize) -> Result<(), MalformedTransaction> {
        let needed = count.checked_mul(bytes_each).ok_or(MalformedTransaction::Truncated)?;
        if needed > self.rest.len() { Err(MalformedTransaction::Truncated) } else { Ok(()) }
    }

    /// A "short vec" length: up to three bytes of seven bits, shortest form
    /// only, so that one transaction has one encoding.
    fn length(&mut self) -> Result<usize, MalformedTransaction> {
        let mut value = 0_u32;
        for (position, shift) in [0_u32, 7, 14].into_iter().enumerate() {
            let byte = self.byte()?;
            if !holds(byte != 0 || position == 0, Defect::LongLengths) {
                return Err(MalformedTransaction::Length);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u16::try_from(value).map(usize::from).map_err(|_| MalformedTransaction::Length);
            }
        }
        Err(MalformedTransaction::Length)
    }
}

/// Padded standard base64 only: another alphabet would be a second spelling.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, SolanaError> {
    if text.len() > BASE64_BYTES_MAX {
        let bytes = text.len() / 4 * 3;
        let head = text.get(..4).and_then(|head| STANDARD.decode(head).ok());
        // What is too long for us may be a transaction of a version that is longer.
        return Err(match head.and_then(|raw| version_of(&raw)) {
            None => MalformedTransaction::TooLarge { bytes },
            Some(VERSION_1) => MalformedTransaction::TooLargeV1 { bytes },
            Some(version) => MalformedTransaction::Version { version },
        }
        .into());
    }
    STANDARD.decode(text).map_err(|_| MalformedTransaction::Base64.into())
}

pub(crate) fn program<'t>(
    transaction: &'t WireTransaction<'_>,
    instruction: &WireInstruction<'_>,
) -> Option<&'t Pubkey> {
    transaction.keys.get(instruction.program)
}

pub(crate) fn key<'t>(transaction: &'t WireTransaction<'_>, index: u8) -> Option<&'t Pubkey> {
    transaction.keys.get(usize::from(index))
}

#[cfg(test)]
mod tests;
