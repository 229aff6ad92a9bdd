//! What foreign servers are told: success once, `isValid` to one at a time.
//!
//! Each success that a foreign server hears runs a handler of its own. So the
//! right to say it is a row, held from before the answer until its end is known.

use quittance_protocol::PaymentId;
use serde_json::json;

use super::{lease_clock, rows};
use crate::conn::{Row, Tx, params, plain};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Me, journal};
use crate::merchant::{MerchantAnswer, MerchantAnswerEnd, MerchantCheck};
use crate::types::{Origin, Payment, PaymentState};

impl Ledger {
    /// Asks for the right to say `success: true` of a settled payment; of any
    /// number of askers one has it at a time, and at most `tellings_max` have
    /// had it in the end. `holder` names the telling: asking again with the same
    /// name, after a lost answer, is one telling.
    pub async fn begin_merchant_answer(
        &self,
        payment: &PaymentId,
        holder: &str,
        tellings_max: u32,
        now_ms: i64,
    ) -> Result<MerchantAnswer, LedgerError> {
        let (me, id, holder) = (self.me(), payment.clone(), plain(holder, "holder")?.to_owned());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let payment = rows::lock(tx, &id).await?;
                if told(&payment)? {
                    return Ok(MerchantAnswer::Told);
                }
                let row = answer_of(tx, &id).await?;
                if let Some(row) = &row
                    && row.state == "telling"
                {
                    let same = row.holder.as_deref() == Some(&*holder);
                    return Ok(match same {
                        true => MerchantAnswer::Begun { telling: row.tellings },
                        false => MerchantAnswer::Busy,
                    });
                }
                let before = row.map_or(0, |row| row.tellings);
                if before >= tellings_max {
                    return Ok(MerchantAnswer::Told);
                }
                let telling = before.saturating_add(1);
                tx.later(
                    "INSERT INTO merchant_answers (payment, state, tellings, holder, owner, owner_epoch, since_ms) \
                     VALUES ($1, 'telling', $2, $3, $4, $5, $6) ON CONFLICT (payment) DO UPDATE SET \
                     state = 'telling', tellings = $2, holder = $3, owner = $4, owner_epoch = $5, \
                     since_ms = $6",
                    params![
                        id.as_str(),
                        i64::from(telling),
                        holder,
                        &*me.instance,
                        me.epoch,
                        now_ms
                    ],
                )
                .await?;
                journal(tx, &me, now_ms, Some(&id), "merchant_telling", json!({"telling": telling})).await?;
                Ok(MerchantAnswer::Begun { telling })
            })
        })
        .await
    }

    /// What became of a telling; whether it was the one under way. That it was
    /// told counts from whoever held it last, as what happened does.
    pub async fn end_merchant_answer(
        &self,
        payment: &PaymentId,
        holder: &str,
        end: MerchantAnswerEnd,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let (me, id, holder) = (self.me(), payment.clone(), plain(holder, "holder")?.to_owned());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let sql = match end {
                    MerchantAnswerEnd::Told => {
                        "UPDATE merchant_answers SET state = 'told' \
                         WHERE payment = $1 AND holder = $2 AND state <> 'told' RETURNING tellings"
                    }
                    MerchantAnswerEnd::Lost => {
                        "UPDATE merchant_answers SET state = 'untold' \
                         WHERE payment = $1 AND holder = $2 AND CASE WHEN state = 'telling' THEN TRUE ELSE FALSE END RETURNING tellings"
                    }
                    MerchantAnswerEnd::Unsaid => {
                        "UPDATE merchant_answers SET state = 'untold', tellings = tellings - 1 \
                         WHERE payment = $1 AND holder = $2 AND CASE WHEN state = 'telling' THEN TRUE ELSE FALSE END RETURNING tellings"
                    }
                };
                let Some(row) = tx.change_one(sql, params![id.as_str(), holder]).await? else {
                    return Ok(false);
                };
                let tellings = tellings(&row)?;
                if end == MerchantAnswerEnd::Told {
                    tx.later(
                        "UPDATE payments SET merchant_answer_at_ms = $2 \
                         WHERE id = $1 AND merchant_answer_at_ms IS NULL",
                        params![id.as_str(), now_ms],
                    )
                    .await?;
                }
                journal(tx, &me, now_ms, Some(&id), end.event(), json!({"tellings": tellings})).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Asks to say `isValid: true` of a settled payment that nobody was told
    /// of: the asker will work before it settles, so for `lease_ms` nobody else
    /// hears the same.
    pub async fn lease_merchant_check(
        &self,
        payment: &PaymentId,
        tellings_max: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> Result<MerchantCheck, LedgerError> {
        let (me, id, clock) = (self.me(), payment.clone(), self.options().lease_clock);
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let payment = rows::lock(tx, &id).await?;
                if told(&payment)? {
                    return Ok(MerchantCheck::Told);
                }
                // Replicas' clocks differ; the lease is one for all of them.
                let lease_now_ms = lease_clock::lease_now(tx, clock, now_ms).await?;
                if let Some(row) = answer_of(tx, &id).await? {
                    if row.state == "telling" || row.check_until_ms.is_some_and(|until| until > lease_now_ms)
                    {
                        return Ok(MerchantCheck::Busy);
                    }
                    if row.tellings >= tellings_max {
                        return Ok(MerchantCheck::Told);
                    }
                }
                let until_ms = lease_now_ms.saturating_add(lease_ms);
                tx.later(
                    "INSERT INTO merchant_answers (payment, state, tellings, owner, owner_epoch, since_ms, \
                     check_until_ms) VALUES ($1, 'untold', 0, $2, $3, $4, $5) \
                     ON CONFLICT (payment) DO UPDATE SET check_until_ms = $5",
                    params![id.as_str(), &*me.instance, me.epoch, now_ms, until_ms],
                )
                .await?;
                journal(tx, &me, now_ms, Some(&id), "merchant_check", json!({"until_ms": until_ms})).await?;
                Ok(MerchantCheck::Leased)
            })
        })
        .await
    }

    /// Tellings that this instance has under way, by the ledger: one that nobody
    /// in the process holds got lost with a commit's answer.
    pub async fn merchant_answers_begun(&self) -> Result<Vec<(PaymentId, String)>, LedgerError> {
        let me = self.me();
        self.read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT payment, holder FROM merchant_answers WHERE state = 'telling' \
                         AND owner = $1 AND owner_epoch = $2 ORDER BY payment",
                        params![&*me.instance, me.epoch],
                    )
                    .await?;
                let read =
                    |row: &Row| Ok((PaymentId::from_stored(row.text("payment")?), row.text("holder")?));
                rows.iter().map(read).collect()
            })
        })
        .await
    }
}

/// What a process that ended was saying may not have been heard.
pub(super) async fn take_over(
    tx: &mut Tx,
    me: &Me,
    from: &str,
    before_epoch: i64,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let cut_off = tx
        .change(
            "UPDATE merchant_answers SET state = 'untold' WHERE state = 'telling' \
             AND owner = $1 AND owner_epoch < $2 RETURNING payment, tellings",
            params![from, before_epoch],
        )
        .await?;
    for row in &cut_off {
        let id = PaymentId::from_stored(row.text("payment")?);
        let detail = json!({"tellings": tellings(row)?});
        journal(tx, me, now_ms, Some(&id), MerchantAnswerEnd::Lost.event(), detail).await?;
    }
    Ok(())
}

struct AnswerRow {
    state: String,
    tellings: u32,
    holder: Option<String>,
    check_until_ms: Option<i64>,
}

async fn answer_of(tx: &mut Tx, id: &PaymentId) -> Result<Option<AnswerRow>, LedgerError> {
    let row = tx.one("SELECT * FROM merchant_answers WHERE payment = $1", params![id.as_str()]).await?;
    let read = |row: Row| {
        Ok(AnswerRow {
            state: row.text("state")?,
            tellings: tellings(&row)?,
            holder: row.text_opt("holder")?,
            check_until_ms: row.int_opt("check_until_ms")?,
        })
    };
    row.map(read).transpose()
}

fn tellings(row: &Row) -> Result<u32, LedgerError> {
    u32::try_from(row.int("tellings")?).map_err(|_| LedgerError::Corrupt { field: "tellings" })
}

/// Whether a merchant was told; an error for what is no merchant's or not settled.
pub(crate) fn told(payment: &Payment) -> Result<bool, LedgerError> {
    if payment.origin == Origin::Gate {
        return Err(LedgerError::WrongOrigin { payment: Box::new(payment.clone()) });
    }
    if payment.state != PaymentState::Settled {
        let (from, to) = (payment.state, PaymentState::Settled);
        return Err(LedgerError::Transition { from, to, payment: Box::new(payment.clone()) });
    }
    Ok(payment.merchant_answer_at_ms.is_some())
}
