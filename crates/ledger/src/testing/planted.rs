//! A ledger checked with something wrong in it, which is undone afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::ops::check::check;
use crate::types::CheckedRule;

/// As many violations as a test plants.
const SHOWN_MAX: u32 = 100;

/// What allows it for as long as the transaction lasts; other statements of a kind are not the other's.
const ON_POSTGRES: &str = "SET LOCAL session_replication_role = replica";
const ON_SQLITE: &[&str] = &[
    "PRAGMA defer_foreign_keys = ON",
    "DROP TRIGGER payments_verdict_final",
    "DROP TRIGGER payments_key_fixed",
    "DROP TRIGGER payments_fee_fixed",
    "DROP TRIGGER payments_told_final",
    "DROP TRIGGER aliases_key_free",
];

/// One rule of [`Ledger::check`] after these statements, which no trigger and no reference hinders.
/// Nothing of it stays.
pub async fn check_planted(
    ledger: &Ledger,
    rule: &'static str,
    statements: &'static [&'static str],
) -> Result<CheckedRule, LedgerError> {
    let found = Arc::new(Mutex::new(None));
    let put = Arc::clone(&found);
    let undone = ledger
        .write_unleased::<()>(Box::new(move |tx| {
            Box::pin(async move {
                match tx.is_postgres() {
                    true => tx.control(ON_POSTGRES).await?,
                    false => {
                        for statement in ON_SQLITE {
                            tx.control(statement).await?;
                        }
                    }
                }
                for statement in statements {
                    if tx.execute(statement, Vec::new()).await? == 0 {
                        return Err(LedgerError::Corrupt { field: "what was to be planted" });
                    }
                }
                let checked = check(tx, Some(rule), SHOWN_MAX).await?.pop();
                *put.lock().unwrap_or_else(PoisonError::into_inner) = checked;
                // An error undoes what was planted.
                Err(LedgerError::Panicked)
            })
        }))
        .await;
    let checked = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (checked, undone) {
        (Some(checked), _) => Ok(checked),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(LedgerError::Closed),
    }
}
