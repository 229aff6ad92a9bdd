use quittance_chain::{CostAllowed, Sign as _};

use super::*;
use crate::fake::{self, FakeRpc, GENESIS, Recorded};

/// Ports, a recorded settlement, and what it was charged.
async fn recorded(rpc: &std::sync::Arc<FakeRpc>) -> (EvmPorts, Recorded, u128) {
    let ports = EvmPorts::new(fake::connect(&[rpc], |c| c.max_fee_per_gas_wei = 10_000_000_000).await);
    ports.chain.refresh_fees(1).await.unwrap();
    let payment = Verified::new(fake::payment(1, 1, GENESIS + 900));
    let charged = 88_000 * 150_000_000;
    let reserved_native = ports.cost_bound(&payment, charged).unwrap();
    let allowed = CostAllowed { charged_native: charged, reserved_native };
    let signed = ports.sign(&payment, &fake::wallet().to_string(), Some(3), allowed).unwrap();
    (ports, Recorded(signed.raw, signed.transaction), charged)
}

/// What it was charged stays its own; what goes beyond is the operator's to allow (I10).
#[tokio::test]
async fn i10_of_a_replacement_only_what_was_charged_is_its_payments() {
    let rpc = FakeRpc::new(3);
    let (ports, old, charged) = recorded(&rpc).await;
    let small = ports.replacement_bound(&old, Successor::Same, charged).unwrap();
    // The cap of the first one was all that was charged for.
    assert_eq!(small.charged_native, 150_000 * 150_000_000);
    assert!(small.native > small.charged_native);
    let plenty = ports.replacement_bound(&old, Successor::Same, charged * 100).unwrap();
    assert_eq!(plenty.charged_native, plenty.native);
    assert_eq!(plenty.native, small.native);
    let nothing = ports.replacement_bound(&old, Successor::Same, 0).unwrap();
    assert_eq!(nothing.charged_native, 0);
    let empty = ports.replacement_bound(&old, Successor::Nothing, charged).unwrap();
    assert_eq!(empty.charged_native, 0, "what does nothing is nobody's");
    assert!(empty.native < small.native / 7);
}

#[tokio::test]
async fn what_replaces_costs_what_was_said_and_says_its_cap() {
    let rpc = FakeRpc::new(3);
    let (ports, old, charged) = recorded(&rpc).await;
    for by in [Successor::Same, Successor::Nothing] {
        let bound = ports.replacement_bound(&old, by, charged).unwrap().native;
        let wallet = fake::wallet().to_string();
        let new = ports.sign_replacement(&old, &wallet, by, bound).unwrap();
        assert_eq!(new.detail["cost_bound_wei"], bound.to_string());
        assert!(quittance_chain::Nonces::fee_cap(&ports, &new.detail).is_some());
        assert!(ports.sign_replacement(&old, &wallet, by, bound - 1).is_err());
        let other = "0x2222222222222222222222222222222222222222";
        assert!(!ports.sign_replacement(&old, other, by, bound).unwrap_err().retry);
    }
}
