//! The coverage table: state of a payment × place of a crash × newest answer to
//! a broadcast; and which of its cells cannot be.

use quittance_ledger::PaymentState;

use crate::plan::Crash;
use crate::stats::{Cell, Kind};

/// No payment, or a payment in each state.
pub fn states() -> Vec<Option<PaymentState>> {
    let known = PaymentState::ALL.iter().copied().map(Some);
    [None].into_iter().chain(known).collect()
}

/// No broadcast, or a broadcast's answer.
pub fn kinds() -> [Option<Kind>; 4] {
    [None, Some(Kind::Accepted), Some(Kind::Refused), Some(Kind::Unknown)]
}

/// Every cell.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for state in states() {
        for place in Crash::ALL {
            cells.extend(kinds().map(|kind| (state, place, kind)));
        }
    }
    cells
}

/// Every cell that no rule forbids.
pub fn possible() -> Vec<Cell> {
    all().into_iter().filter(|cell| impossible(cell).is_none()).collect()
}

/// Why a cell cannot be.
pub fn impossible(cell: &Cell) -> Option<&'static str> {
    let (state, place, sent) = *cell;
    match (state, place) {
        (None | Some(PaymentState::Claimed), _) if sent.is_some() => {
            Some("what is not recorded has no bytes to broadcast (only `Recorded` can be sent, I2)")
        }
        (None, place) if place != Crash::BeforeClaim => {
            Some("every later step names a payment of the ledger (foreign keys in the schema)")
        }
        (
            Some(PaymentState::Claimed),
            Crash::AfterRecord | Crash::BeforeSend | Crash::AfterSend | Crash::AfterVerdict,
        ) => Some("recording and verdicts leave `claimed`, and no state comes back (I6)"),
        (Some(PaymentState::Recorded), Crash::AfterVerdict) => {
            Some("verdicts leave `recorded`, and no state comes back (I6)")
        }
        (Some(state), place) if is_delivery(place) && state != PaymentState::Settled => {
            Some("only what is settled is delivered (`start_delivery`, and a check in the schema)")
        }
        (_, Crash::AfterSend) if sent.is_none() => Some("a broadcast has an answer"),
        (Some(PaymentState::Refused | PaymentState::Expired), Crash::AfterRecord) if sent.is_none() => Some(
            "while its driver waits for the recording, only another owner refuses or expires, and an owner \
             of recorded bytes broadcasts before it looks (`engine::step`: Found is followed by Resume)",
        ),
        _ => None,
    }
}

fn is_delivery(place: Crash) -> bool {
    matches!(
        place,
        Crash::BeforeDelivery
            | Crash::AfterDeliveryStarted
            | Crash::DuringHandler
            | Crash::BeforeDelivered
            | Crash::AfterDelivered
    )
}
