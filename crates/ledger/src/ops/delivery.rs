//! Deliveries: what a settled gate payment buys.

use quittance_protocol::PaymentId;
use serde_json::json;

use super::rows::{self, delivery_error};
use super::{objects, usages};
use crate::codec;
use crate::conn::{Row, Tx, params, plain, reason, unsigned};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::types::{
    AnswerMeta, DeliveryStart, DeliveryState, Origin, Payment, PaymentState, RunEnd, RunLimits, StoredAnswer,
    Usage,
};

/// Whether a payment may buy one more run: [`Payment::has_runs_left`], of the
/// parameters that hold `failed_max` and `crashed_max`.
macro_rules! runs_left {
    ($failed_max:literal, $crashed_max:literal) => {
        concat!("(runs - runs_interrupted < ", $failed_max, " AND runs_crashed < ", $crashed_max, ")")
    };
}
pub(crate) use runs_left;

impl Ledger {
    /// Grants a handler run to one caller: none or credited to running.
    ///
    /// Only for settled gate payments, within these limits.
    pub async fn start_delivery(
        &self,
        payment: &PaymentId,
        limits: RunLimits,
        now_ms: i64,
    ) -> Result<DeliveryStart, LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let row = tx
                    .change_one(
                        concat!(
                            "UPDATE payments SET delivery = 'running', runs = runs + 1, delivery_owner = $2, \
                             delivery_epoch = $3, delivery_since_ms = $4 WHERE id = $1 AND state = 'settled' \
                             AND origin = 'gate' AND delivery IN ('none', 'credited') AND NOT owed AND ",
                            runs_left!("$5", "$6"),
                            " RETURNING runs"
                        ),
                        params![
                            id.as_str(),
                            &*me.instance,
                            me.epoch,
                            now_ms,
                            i64::from(limits.failed_max),
                            i64::from(limits.crashed_max)
                        ],
                    )
                    .await?;
                let Some(row) = row else { return not_started(tx, &me, &id, now_ms).await };
                let run = codec::runs(&row)?;
                journal(tx, &me, now_ms, Some(&id), "running", json!({"run": run})).await?;
                Ok(DeliveryStart::Run { run })
            })
        })
        .await
    }

    /// Stores the handler's final answer: running to delivered. A body of more
    /// than `answer_body_bytes_max` that lies in no object is not kept: such an
    /// answer is truncated, and delivered in part until [`Self::mark_answer_sent`].
    pub async fn finish_delivery(
        &self,
        payment: &PaymentId,
        run: u32,
        answer: &StoredAnswer,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        let body_bytes = unsigned(answer.body_bytes(), "body")?;
        let truncated = answer.truncated || answer.body.len() > self.options().answer_body_bytes_max;
        let body = if truncated { Vec::new() } else { answer.body.clone() };
        let object = answer.object.clone().filter(|_| !truncated);
        let to = if truncated { DeliveryState::DeliveredInPart } else { DeliveryState::Delivered };
        let headers = encode_headers(&answer.headers)?;
        let (status, refundable) = (answer.status, answer.refundable);
        let usage = answer.usage.as_ref().map(usages::storable).transpose()?;
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                end_run(tx, &me, &id, run, to).await?;
                if let Some(object) = &object {
                    objects::keep(tx, &id, run, object).await?;
                }
                tx.later(
                    "INSERT INTO answers (payment, status, headers, body, body_bytes, truncated, refundable, \
                     at_ms, object) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    params![
                        id.as_str(),
                        i64::from(status),
                        headers,
                        body,
                        body_bytes,
                        truncated,
                        refundable,
                        now_ms,
                        object.as_ref().map(|object| object.name.clone())
                    ],
                )
                .await?;
                let mut detail = json!({"run": run, "status": status, "body_bytes": body_bytes,
                    "truncated": truncated, "refundable": refundable || truncated});
                if let Some(object) = &object {
                    detail["object"] = json!(object.name);
                }
                if let Some(usage) = usage {
                    usages::insert(tx, &id, &usage, now_ms).await?;
                    detail["usage"] = json!(usage);
                }
                journal(tx, &me, now_ms, Some(&id), to.as_str(), detail).await
            })
        })
        .await
    }

    /// The handler failed: running to credited. The payment may buy another run.
    pub async fn credit_delivery(
        &self,
        payment: &PaymentId,
        run: u32,
        end: RunEnd,
        why: &str,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (me, id, why) = (self.me(), payment.clone(), reason(why));
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                end_run(tx, &me, &id, run, DeliveryState::Credited).await?;
                let interrupted = i64::from(end != RunEnd::Failed);
                let crashed = i64::from(end == RunEnd::Crashed);
                tx.later(
                    "UPDATE payments SET credited_at_ms = $2, runs_interrupted = runs_interrupted + $3, \
                     runs_crashed = runs_crashed + $4 WHERE id = $1",
                    params![id.as_str(), now_ms, interrupted, crashed],
                )
                .await?;
                journal(tx, &me, now_ms, Some(&id), "credited", credited(run, &why, end)).await
            })
        })
        .await
    }

    /// The answer reached a client completely; the first time starts the replay
    /// window and sticks, and what was delivered in part is delivered. An error
    /// if there is no answer yet.
    pub async fn mark_answer_sent(&self, payment: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE payments SET first_answer_at_ms = $2, delivered_in_part = $3 \
                         WHERE id = $1 AND delivery = 'delivered' AND first_answer_at_ms IS NULL",
                        params![id.as_str(), now_ms, false],
                    )
                    .await?;
                if changed == 1 {
                    return journal(tx, &me, now_ms, Some(&id), "answer_sent", json!({})).await;
                }
                let payment = rows::get(tx, &id).await?;
                match payment.first_answer_at_ms {
                    Some(_) => Ok(()),
                    None => Err(delivery_error(payment, DeliveryState::Delivered)),
                }
            })
        })
        .await
    }

    /// The stored answer, while it is kept.
    pub async fn answer(&self, payment: &PaymentId) -> Result<Option<StoredAnswer>, LedgerError> {
        let id = payment.clone();
        self.read(move |tx| {
            Box::pin(async move {
                let row = tx
                    .one(
                        "SELECT a.*, p.delivered_in_part AS in_part, o.key AS object_key, \
                         o.bytes AS object_bytes FROM answers a JOIN payments p ON p.id = a.payment \
                         LEFT JOIN answer_objects o ON o.name = a.object \
                         WHERE a.payment = $1 AND a.body IS NOT NULL",
                        params![id.as_str()],
                    )
                    .await?;
                let Some(row) = row else { return Ok(None) };
                let usage = usages::get(tx, &id).await?;
                decode_answer(&row, usage).map(Some)
            })
        })
        .await
    }

    /// Somebody was told that the outcome is pending; the newest time is kept.
    pub async fn note_pending_answer(&self, payment: &PaymentId, now_ms: i64) -> Result<(), LedgerError> {
        let (me, id) = (self.me(), payment.clone());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let before = rows::lock(tx, &id).await?.pending_answer_at_ms;
                tx.later(
                    "UPDATE payments SET pending_answer_at_ms = $2 WHERE id = $1",
                    params![id.as_str(), now_ms.max(before.unwrap_or(now_ms))],
                )
                .await?;
                match before {
                    // A client that polls must not fill the journal.
                    Some(_) => Ok(()),
                    None => journal(tx, &me, now_ms, Some(&id), "pending_answered", json!({})).await,
                }
            })
        })
        .await
    }
}

/// The journal's line about a credit that buys no run any more.
pub(crate) const EXHAUSTED: &str = "credit_exhausted";

/// Why a run ended that was found under way without its process, or its lease.
pub(crate) const CUT_OFF: &str = "the process that ran the handler ended";

/// The journal's line about a run that left no answer.
pub(crate) fn credited(run: u32, why: &str, end: RunEnd) -> serde_json::Value {
    json!({"run": run, "reason": why, "counts": end == RunEnd::Failed, "crashed": end == RunEnd::Crashed})
}

fn not_settled(payment: Payment) -> LedgerError {
    let (from, to) = (payment.state, PaymentState::Settled);
    LedgerError::Transition { from, to, payment: Box::new(payment) }
}

/// Why a run was not granted. `Transition` to settled means: not settled yet.
async fn not_started(
    tx: &mut Tx,
    me: &Me,
    id: &PaymentId,
    now_ms: i64,
) -> Result<DeliveryStart, LedgerError> {
    let payment = rows::get(tx, id).await?;
    if payment.origin != Origin::Gate {
        return Err(LedgerError::WrongOrigin { payment: Box::new(payment) });
    }
    match (payment.state, payment.delivery) {
        (PaymentState::Settled, DeliveryState::Running) => Ok(DeliveryStart::Running {
            owner: payment.delivery_owner.unwrap_or_default(),
            since_ms: payment.delivery_since_ms.unwrap_or(payment.created_at_ms),
        }),
        (PaymentState::Settled, DeliveryState::Delivered | DeliveryState::DeliveredInPart) => {
            let row = tx
                .one(
                    "SELECT a.*, body IS NOT NULL AS kept, p.delivered_in_part AS in_part \
                     FROM answers a JOIN payments p ON p.id = a.payment WHERE payment = $1",
                    params![id.as_str()],
                )
                .await?
                .ok_or(LedgerError::Corrupt { field: "answers" })?;
            Ok(DeliveryStart::Delivered(AnswerMeta {
                status: status(&row)?,
                body_bytes: row.unsigned("body_bytes")?,
                truncated: row.flag("truncated")?,
                refundable: row.flag("refundable")? || row.flag("in_part")?,
                kept: row.flag("kept")?,
            }))
        }
        (PaymentState::Settled, DeliveryState::Owed) => Ok(DeliveryStart::Owed),
        (PaymentState::Settled, DeliveryState::None | DeliveryState::Credited) => {
            exhausted(tx, me, &payment, now_ms).await
        }
        _ => Err(not_settled(payment)),
    }
}

/// What is left of the credit is the operator's to refund: written down once, with
/// the word that tells the operator.
async fn exhausted(
    tx: &mut Tx,
    me: &Me,
    payment: &Payment,
    now_ms: i64,
) -> Result<DeliveryStart, LedgerError> {
    let (failed, crashed) = (payment.failed_runs(), payment.runs_crashed);
    let written = tx
        .one(
            "SELECT sequence FROM journal WHERE payment = $1 AND event = $2 LIMIT 1",
            params![payment.id.as_str(), EXHAUSTED],
        )
        .await?;
    let first = written.is_none();
    if first {
        let detail = json!({"failed": failed, "crashed": crashed});
        journal(tx, me, now_ms, Some(&payment.id), EXHAUSTED, detail).await?;
    }
    Ok(DeliveryStart::Exhausted { failed, crashed, first })
}

/// Ends this run and no other: the run's number, its instance and that
/// instance's epoch must all match, so a process that was taken for dead
/// cannot end a run that somebody else has started since.
async fn end_run(
    tx: &mut Tx,
    me: &Me,
    id: &PaymentId,
    run: u32,
    to: DeliveryState,
) -> Result<(), LedgerError> {
    let changed = tx
        .execute(
            "UPDATE payments SET delivery = $2, delivered_in_part = $6 WHERE id = $1 \
             AND CASE WHEN delivery = 'running' THEN TRUE ELSE FALSE END AND runs = $3 AND delivery_owner = $4 AND delivery_epoch = $5",
            params![
                id.as_str(),
                to.stored(),
                i64::from(run),
                &*me.instance,
                me.epoch,
                to == DeliveryState::DeliveredInPart
            ],
        )
        .await?;
    match changed {
        1 => Ok(()),
        _ => Err(delivery_error(rows::get(tx, id).await?, to)),
    }
}

fn encode_headers(headers: &[(String, Vec<u8>)]) -> Result<String, LedgerError> {
    let mut list = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        list.push((plain(name, "headers")?, hex::encode(value)));
    }
    serde_json::to_string(&list).map_err(|_| LedgerError::OutOfRange { field: "headers" })
}

fn decode_answer(row: &Row, usage: Option<Usage>) -> Result<StoredAnswer, LedgerError> {
    let corrupt = || LedgerError::Corrupt { field: "headers" };
    let list: Vec<(String, String)> = serde_json::from_str(&row.text("headers")?).map_err(|_| corrupt())?;
    let headers = list
        .into_iter()
        .map(|(name, value)| hex::decode(value).map(|value| (name, value)).map_err(|_| corrupt()))
        .collect::<Result<_, _>>()?;
    Ok(StoredAnswer {
        status: status(row)?,
        headers,
        body: row.blob("body")?,
        object: objects::of_answer(row)?,
        truncated: row.flag("truncated")?,
        refundable: row.flag("refundable")? || row.flag("in_part")?,
        usage,
    })
}

fn status(row: &Row) -> Result<u16, LedgerError> {
    u16::try_from(row.int("status")?).map_err(|_| LedgerError::Corrupt { field: "status" })
}
