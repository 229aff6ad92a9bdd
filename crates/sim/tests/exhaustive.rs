//! Every crash point, every fate of the first broadcast, both chains: one by one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use quittance_ledger::PaymentState;
use quittance_sim::stats::Fault;
use quittance_sim::{Broadcast, Crash, Forced, Net, Plan, run};

/// One payment, one process that dies once, and whatever the first broadcast meets.
#[test]
fn every_crash_point_with_every_broadcast_ends_well_on_both_chains() {
    let mut struck = 0;
    for net in [Net::Base, Net::Solana] {
        for crash in Crash::ALL {
            for broadcast in Broadcast::ALL {
                for visit in 1..=2 {
                    let forced = Forced { net, crash, visit, broadcast };
                    let report = run(Plan::forced(forced), false).unwrap();
                    assert!(report.violations.is_empty(), "{forced:?}: {:?}", report.violations);
                    // The payment and two more that were made afterwards.
                    assert_eq!(report.verdicts.get(&PaymentState::Settled), Some(&3), "{forced:?}");
                    let crashes = report.faults.get(Fault::Crash as usize).copied().unwrap_or(0);
                    assert!(crashes <= 1, "{forced:?}");
                    struck += crashes;
                    assert!(visit == 2 || crashes == 1, "{forced:?}: the crash point was never reached");
                }
            }
        }
    }
    // The second visits that exist: what is sent again, and what is done again after a restart is not.
    assert!(struck >= 2 * 13 * 7, "{struck} crashes");
}
