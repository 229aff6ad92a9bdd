//! From rows to values.

use quittance_protocol::{Deadline, Fingerprint, IdentifierHash, PaymentId, PaymentKey, RequestId};

use crate::conn::Row;
use crate::error::LedgerError;
use crate::types::{DeliveryState, FeePolicy, Finality, MerchantFee, Origin, Payment, PaymentState};

fn corrupt<T>(value: Option<T>, field: &'static str) -> Result<T, LedgerError> {
    value.ok_or(LedgerError::Corrupt { field })
}

#[allow(clippy::too_many_lines, reason = "a list of fields")]
pub(crate) fn payment(row: &Row) -> Result<Payment, LedgerError> {
    let origin = match (row.text("origin")?.as_str(), row.text_opt("merchant")?) {
        ("gate", None) => Origin::Gate,
        ("merchant", Some(merchant)) => Origin::Merchant(merchant),
        _ => return Err(LedgerError::Corrupt { field: "origin" }),
    };
    let deadline_value = row.unsigned("deadline_value")?;
    let deadline = match row.text("deadline_unit")?.as_str() {
        "unix_seconds" => Deadline::UnixSeconds(deadline_value),
        "block_height" => Deadline::BlockHeight(deadline_value),
        _ => return Err(LedgerError::Corrupt { field: "deadline_unit" }),
    };
    let identifier = row.blob_opt("identifier")?.map(<[u8; 32]>::try_from).transpose();
    let landing = row.text_opt("landing")?.map(|text| serde_json::from_str(&text)).transpose();
    let refusal = match row.text_opt("refusal_code")? {
        Some(code) => Some((
            corrupt(code.parse().ok(), "refusal_code")?,
            row.text_opt("refusal_reason")?.unwrap_or_default(),
        )),
        None => None,
    };
    Ok(Payment {
        id: PaymentId::from_stored(row.text("id")?),
        request_id: RequestId::from_stored(row.text("request_id")?),
        key: PaymentKey::from_bytes(row.hash("payment_key")?),
        network: row.network()?,
        origin,
        fingerprint: Fingerprint::from_bytes(row.hash("fingerprint")?),
        signature_digest: row.hash("signature_digest")?,
        identifier: corrupt(identifier.ok(), "identifier")?.map(IdentifierHash::from_bytes),
        payer: row.text("payer")?,
        pay_to: row.text("pay_to")?,
        asset: row.text("asset")?,
        amount: row.amount("amount")?,
        service: row.amount("service")?,
        gas: row.amount("gas")?,
        fee: fee(row)?,
        tariff: row.int_opt("tariff")?,
        deadline,
        watch_from: row.unsigned("watch_from")?,
        payload: row.json("payload")?,
        resource: row.text("resource")?,
        state: corrupt(PaymentState::from_stored(&row.text("state")?), "state")?,
        delivery: delivery(row)?,
        runs: runs(row)?,
        runs_interrupted: count(row, "runs_interrupted")?,
        runs_crashed: count(row, "runs_crashed")?,
        transaction: row.text_opt("tx")?,
        landing: corrupt(landing.ok(), "landing")?,
        refusal,
        finality: finality(row)?,
        finality_at_ms: row.int_opt("finality_at_ms")?,
        owner: row.text("owner")?,
        owner_epoch: row.int("owner_epoch")?,
        delivery_owner: row.text_opt("delivery_owner")?,
        delivery_since_ms: row.int_opt("delivery_since_ms")?,
        credited_at_ms: row.int_opt("credited_at_ms")?,
        created_at_ms: row.int("created_at_ms")?,
        recorded_at_ms: row.int_opt("recorded_at_ms")?,
        settled_at_ms: row.int_opt("settled_at_ms")?,
        verdict_at_ms: row.int_opt("verdict_at_ms")?,
        first_answer_at_ms: row.int_opt("first_answer_at_ms")?,
        merchant_answer_at_ms: row.int_opt("merchant_answer_at_ms")?,
        pending_answer_at_ms: row.int_opt("pending_answer_at_ms")?,
        pruned_at_ms: row.int_opt("pruned_at_ms")?,
    })
}

fn fee(row: &Row) -> Result<Option<MerchantFee>, LedgerError> {
    let Some(policy) = row.text_opt("fee_policy")? else { return Ok(None) };
    let policy = corrupt(FeePolicy::from_stored(&policy), "fee_policy")?;
    Ok(Some(MerchantFee { policy, carried: row.amount("fee_carried")? }))
}

/// `owed` and `delivered_in_part` have columns of their own: the words that `delivery` may hold are fixed
/// in every database that was ever made.
fn delivery(row: &Row) -> Result<DeliveryState, LedgerError> {
    if row.flag("owed")? {
        return Ok(DeliveryState::Owed);
    }
    let stored = corrupt(DeliveryState::from_stored(&row.text("delivery")?), "delivery")?;
    Ok(if row.flag("delivered_in_part")? { DeliveryState::DeliveredInPart } else { stored })
}

fn finality(row: &Row) -> Result<Option<Finality>, LedgerError> {
    match row.text_opt("finality")? {
        Some(text) => corrupt(Finality::from_stored(&text), "finality").map(Some),
        None => Ok(None),
    }
}

pub(crate) fn runs(row: &Row) -> Result<u32, LedgerError> {
    count(row, "runs")
}

fn count(row: &Row, field: &'static str) -> Result<u32, LedgerError> {
    u32::try_from(row.int(field)?).map_err(|_| LedgerError::Corrupt { field })
}

pub(crate) fn payments(rows: &[Row]) -> Result<Vec<Payment>, LedgerError> {
    rows.iter().map(payment).collect()
}
