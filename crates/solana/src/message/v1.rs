//! Version 1 (SIMD-0385): the budget stands in the header, the signatures at the end, and there
//! are no lookup tables.

use solana_sdk::pubkey::Pubkey;

use super::{
    KEY_BYTES, Places, Reader, SIGNATURE_BYTES, TRANSACTION_V1_BYTES_MAX, WireInstruction, WireTransaction,
};
use crate::defect::{Defect, holds};
use crate::error::MalformedTransaction;

/// Account keys of a message.
const KEYS_MAX: usize = 64;
/// Instructions of a message; the whitelist has room for fewer.
const INSTRUCTIONS_MAX: usize = 64;

const PRIORITY_FEE: u32 = 0b11;
const UNIT_LIMIT: u32 = 0b100;
const DATA_SIZE: u32 = 0b1000;
const HEAP: u32 = 0b1_0000;

/// What a header says of the budget. What it does not say is zero for the runtime, but for the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderBudget {
    /// In all, in lamports.
    pub(crate) priority_fee_lamports: Option<u64>,
    pub(crate) unit_limit: Option<u32>,
    /// Bytes of accounts that may be loaded.
    pub(crate) data_bytes: Option<u32>,
    pub(crate) heap_bytes: Option<u32>,
}

impl<'a> WireTransaction<'a> {
    pub(super) fn read_v1(raw: &'a [u8]) -> Result<Self, MalformedTransaction> {
        if raw.len() > TRANSACTION_V1_BYTES_MAX {
            return Err(MalformedTransaction::TooLargeV1 { bytes: raw.len() });
        }
        let mut reader = Reader { rest: raw };
        reader.byte()?; // the version
        let [required, readonly_signed, readonly_unsigned] = reader.array::<3>()?.map(usize::from);
        let mask = u32::from_le_bytes(reader.array()?);
        let recent_blockhash = reader.array()?;
        let instructions = usize::from(reader.byte()?);
        let keys = usize::from(reader.byte()?);
        if keys > KEYS_MAX || instructions > INSTRUCTIONS_MAX {
            return Err(MalformedTransaction::Header);
        }
        reader.expect_items(keys, KEY_BYTES)?;
        let read_key = |reader: &mut Reader<'_>| reader.array().map(Pubkey::new_from_array);
        let keys = (0..keys).map(|_| read_key(&mut reader)).collect::<Result<_, _>>()?;
        let budget = read_budget(&mut reader, mask)?;
        let instructions = read_instructions(&mut reader, instructions)?;
        let end = raw.len().saturating_sub(reader.rest.len());
        reader.expect_items(required, SIGNATURE_BYTES)?;
        let signatures = (0..required).map(|_| reader.array()).collect::<Result<_, _>>()?;
        if !holds(reader.rest.is_empty(), Defect::TrailingBytes) {
            return Err(MalformedTransaction::TrailingBytes);
        }
        Ok(Self {
            signatures,
            message: raw.get(..end).unwrap_or_default(),
            keys,
            recent_blockhash,
            instructions,
            required_signatures: required,
            readonly_signed,
            readonly_unsigned,
            places: Places { signatures: end, message: (0, end) },
            budget: Some(budget),
        })
    }
}

/// A bit that nobody knows changes how the rest is read; half a priority fee is none.
fn read_budget(reader: &mut Reader<'_>, mask: u32) -> Result<HeaderBudget, MalformedTransaction> {
    let is_known = mask & !(PRIORITY_FEE | UNIT_LIMIT | DATA_SIZE | HEAP) == 0;
    if !is_known || ![0, PRIORITY_FEE].contains(&(mask & PRIORITY_FEE)) {
        return Err(MalformedTransaction::Budget);
    }
    let priority_fee_lamports = match mask & PRIORITY_FEE {
        0 => None,
        _ => Some(u64::from_le_bytes(reader.array()?)),
    };
    let mut next = |bit: u32| match mask & bit {
        0 => Ok(None),
        _ => reader.array().map(|bytes| Some(u32::from_le_bytes(bytes))),
    };
    let (unit_limit, data_bytes, heap_bytes) = (next(UNIT_LIMIT)?, next(DATA_SIZE)?, next(HEAP)?);
    Ok(HeaderBudget { priority_fee_lamports, unit_limit, data_bytes, heap_bytes })
}

/// First what each consists of, then what it consists of.
fn read_instructions<'a>(
    reader: &mut Reader<'a>,
    count: usize,
) -> Result<Vec<WireInstruction<'a>>, MalformedTransaction> {
    const HEAD_BYTES: usize = 4;
    reader.expect_items(count, HEAD_BYTES)?;
    let heads: Vec<[u8; HEAD_BYTES]> = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
    heads
        .into_iter()
        .map(|[program, accounts, low, high]| {
            let accounts = reader.take(usize::from(accounts))?;
            let data = reader.take(usize::from(u16::from_le_bytes([low, high])))?;
            Ok(WireInstruction { program: usize::from(program), accounts, data })
        })
        .collect()
}
