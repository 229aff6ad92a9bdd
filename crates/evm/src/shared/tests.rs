use alloy::sol_types::SolError as _;

use super::*;
use crate::fake::{self, FakeRpc};

fn said(words: &str) -> Vec<u8> {
    Revert::from(words).abi_encode()
}

/// A payment of 100.
fn payment() -> EvmPayment {
    fake::payment(1, 2, 1_800_000_900)
}

#[test]
fn each_is_judged_by_its_own_record_or_not_at_all() {
    let tried = |success, used: u64, held: u64, said| Record::Tried {
        success,
        used: U256::from(used),
        held: U256::from(held),
        said,
    };
    let (expired, odd) = (said("FiatTokenV2: authorization is expired"), said("Pausable: paused"));
    let cut = &expired[..80];
    let fine = |balance| Ok(ChainCheck { block: 7, block_time: 8, balance, has_code: false });
    let simulation = |reason: &str| Err(EvmError::Simulation { reason: reason.to_owned() });
    for (record, wanted) in [
        (tried(true, 1, 23, &[]), Some(fine(123))),
        (tried(true, 1, u64::MAX, &[]), Some(fine(u64::MAX))),
        // A token that moves nothing, or says something else than yes and no: alone it is looked into.
        (tried(true, 0, 200, &[]), None),
        (tried(true, 2, 200, &[]), None),
        (tried(false, 3, 0, &[]), None),
        (tried(false, 1, 0, &odd), Some(Err(EvmError::NonceAlreadyUsed))),
        (tried(false, 0, 99, &odd), Some(Err(EvmError::InsufficientBalance))),
        (tried(false, 0, 100, &expired), Some(Err(EvmError::Expired))),
        (tried(false, 0, 100, &odd), Some(simulation("Pausable: paused"))),
        (tried(false, 0, 100, cut), None),
        (tried(false, 0, 100, &[]), None),
        (Record::Unknown, None),
        (Record::HasCode, None),
    ] {
        assert_eq!(judge(&payment(), &record, (7, 8)), wanted, "{record:?}");
    }
}

async fn checks(rpc: &Arc<FakeRpc>) -> Checks {
    Checks(Arc::new(fake::connect(&[rpc], |_| {}).await))
}

#[tokio::test]
async fn a_call_holds_one_payment_of_each_payer_and_nobody_whom_it_pays() {
    let checks = checks(&FakeRpc::new(3)).await;
    let of = |payer: u8, nonce| Arc::new(fake::payment(payer, nonce, 1_800_000_900));
    let call = [of(1, 1), of(2, 2)];
    assert!(checks.may_join(&[], &of(1, 1)) && checks.may_join(&call, &of(3, 3)));
    assert!(!checks.may_join(&call, &of(2, 9)), "the same payer");
    let recipient = EvmPayment { from: fake::PAY_TO, ..payment() };
    assert!(!checks.may_join(&call, &recipient), "paid by the others");
    let pays = EvmPayment { from: alloy::primitives::Address::repeat_byte(5), to: call[0].from, ..payment() };
    assert!(!checks.may_join(&call, &pays), "pays one of the others");
    let contract = crate::signature::PayerSignature::Contract(vec![1; 65].into());
    let contract = EvmPayment { signature: contract, ..payment() };
    assert!(!checks.may_join(&[], &contract), "code of a stranger's");
    assert!(checks.is_copy(&of(1, 1), &of(1, 1)) && !checks.is_copy(&of(1, 1), &of(1, 2)));
    assert_eq!(checks.items_max(), 79);
}

/// A provider that was asked too much is not asked once more for each payment.
#[tokio::test]
async fn who_wants_to_be_left_alone_is_and_what_else_fails_is_asked_alone() {
    let rpc = FakeRpc::new(3);
    let checks = checks(&rpc).await;
    let items = [Arc::new(payment()), Arc::new(fake::payment(2, 2, 1_800_000_900))];
    let limited = RpcError::Limited("too many requests".to_owned());
    let answer = |error: &RpcError| Err(EvmError::Rpc(error.clone()));
    for (error, wanted) in [
        (limited.clone(), CallFailed::TooMuch(answer(&limited))),
        (RpcError::Paused, CallFailed::NotAsked(answer(&RpcError::Paused))),
    ] {
        rpc.state().refused = vec![("eth_call", error)];
        assert_eq!(checks.together(&items).await, Err(wanted));
    }
    let node = |code, message: &str| RpcError::JsonRpc { code, message: message.to_owned(), data: None };
    for error in [
        node(-32000, "max initcode size exceeded"),
        node(-32000, "out of gas"),
        node(3, "execution reverted"),
        RpcError::Http(413),
        RpcError::Timeout,
        RpcError::BadAnswer("JSON"),
    ] {
        rpc.state().refused = vec![("eth_call", error.clone())];
        assert_eq!(checks.together(&items).await, Err(CallFailed::AskAlone), "{error}");
    }
}

/// What our own wallet lacks, or the gas that we gave, says nothing of a payment.
#[tokio::test]
async fn insufficient_funds_for_gas_are_ours() {
    let rpc = FakeRpc::new(3);
    let checks = checks(&rpc).await;
    for message in
        ["insufficient funds for gas * price + value: address 0xab have 0 want 7", "intrinsic gas too low"]
    {
        let error = RpcError::JsonRpc { code: -32000, message: message.to_owned(), data: None };
        rpc.state().refused = vec![("eth_call", error)];
        let found = checks.alone(&payment()).await;
        assert!(matches!(&found, Err(error) if error.retry()), "{message}: {found:?}");
    }
}

/// One endpoint refuses the shared form and another was asked too much, in either order: the first one
/// may answer for each payment alone.
#[tokio::test]
async fn who_was_asked_too_much_hides_no_endpoint_that_refuses_the_shared_form() {
    let (first, second) = (FakeRpc::new(3), FakeRpc::new(3));
    let checks = Checks(Arc::new(fake::connect(&[&first, &second], |_| {}).await));
    let items = [Arc::new(payment()), Arc::new(fake::payment(2, 2, 1_800_000_900))];
    let limited = RpcError::Limited("too many requests".to_owned());
    let create = "contract creation is not allowed in eth_call".to_owned();
    let create = RpcError::JsonRpc { code: -32000, message: create, data: None };
    for refusal in [create, RpcError::Http(413), RpcError::Timeout] {
        for [one, other] in [[&refusal, &limited], [&limited, &refusal]] {
            first.state().refused = vec![("eth_call", one.clone())];
            second.state().refused = vec![("eth_call", other.clone())];
            assert_eq!(checks.together(&items).await, Err(CallFailed::AskAlone), "{one}, {other}");
        }
    }
    first.state().refused = vec![("eth_call", RpcError::Paused)];
    second.state().refused = vec![("eth_call", limited.clone())];
    assert!(matches!(checks.together(&items).await, Err(CallFailed::TooMuch(Err(_)))), "both said so");
}

/// A node that hangs on shared calls keeps nobody for as long as a node may take.
#[tokio::test(start_paused = true)]
async fn a_shared_call_has_a_part_of_the_time_that_a_node_has() {
    let rpc = FakeRpc::new(3);
    let checks = checks(&rpc).await;
    rpc.state().hangs = Some("eth_call");
    let items = [Arc::new(payment()), Arc::new(fake::payment(2, 2, 1_800_000_900))];
    let began = tokio::time::Instant::now();
    assert_eq!(checks.together(&items).await, Err(CallFailed::AskAlone));
    let whole = Duration::from_millis(checks.0.config().rpc_timeout_ms);
    assert!(began.elapsed() <= whole / 4 + Duration::from_millis(1), "{:?}", began.elapsed());
}

/// What a gateway does not take in this form is no failure of `eth_call`, and it is asked on as before.
#[tokio::test]
async fn a_shared_call_that_is_refused_counts_against_no_endpoint() {
    let rpc = FakeRpc::new(3);
    let checks = checks(&rpc).await;
    let items = [Arc::new(payment()), Arc::new(fake::payment(2, 2, 1_800_000_900))];
    let calls = || {
        let tally = checks.0.endpoints().at(0).and_then(quittance_rpc::Endpoint::tally).unwrap().counts();
        tally.into_iter().find(|count| count.method == "eth_call").unwrap()
    };
    let before = calls();
    for error in [RpcError::Http(413), RpcError::Http(502), RpcError::Timeout] {
        rpc.state().refused = vec![("eth_call", error)];
        assert_eq!(checks.together(&items).await, Err(CallFailed::AskAlone));
        assert_eq!(calls(), before);
        assert_eq!(rpc.take_calls(), ["eth_call"], "nor is it asked for its name anew");
    }
    // The same one alone is a failure.
    assert!(checks.alone(&payment()).await.is_err());
    assert_eq!(calls().failed, before.failed + 1);
}
