//! `quittance payments erase`: one payment's answer, gone from ledger and store.

use std::path::Path;
use std::process::ExitCode;

use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{DeliveryState, Ledger};
use quittance_protocol::PaymentId;
use serde_json::json;

use crate::ledger_url::ledger_url;
use crate::{CommandError, print};

/// Works beside the program that has the ledger: deletes body, headers and key in
/// one commit, and then the objects. What the store does not delete now, the
/// program deletes later; without its key it is noise already. Fails where an
/// answer may still be made: what is not there cannot be erased.
pub(crate) async fn erase(path: &Path, id: &str) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    let ledger = Ledger::open_beside(&ledger_url(&config)?, "payments-command").await?;
    let id = PaymentId::from_stored(id);
    let now_ms = Clock::system().now_ms();
    let object = ledger.answer(&id).await?.and_then(|answer| answer.object);
    let erased = ledger.erase_answer(&id, now_ms).await?;
    let deleted = match &object {
        None => None,
        Some(object) => Some(match config.answer_store()?.delete(&object.name).await {
            Ok(()) => {
                ledger.note_object_deleted(&object.name, now_ms).await?;
                true
            }
            Err(error) => {
                tracing::warn!(object = object.name, %error, "the program deletes the object later");
                false
            }
        }),
    };
    let flushed = ledger.flush_log().await?;
    let delivery = ledger.payment(&id).await?.map(|payment| payment.delivery);
    ledger.close().await;
    print(
        &json!({
            "id": id,
            "erased": erased,
            "object_deleted": deleted,
            "log_flushed": flushed,
            "delivery": delivery,
        })
        .to_string(),
    )?;
    if let Some(delivery @ (DeliveryState::Running | DeliveryState::Credited)) = delivery {
        tracing::error!(%delivery, "there is no answer yet, and one may still be made; erase it when it is delivered");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
