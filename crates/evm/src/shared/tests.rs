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
    assert_eq!(checks.items_max(), 82);
}

/// A provider that was asked too much is not asked once more for each payment.
#[tokio::test]
async fn who_wants_to_be_left_alone_is_and_what_else_fails_is_asked_alone() {
    let rpc = FakeRpc::new(3);
    let checks = checks(&rpc).await;
    let items = [Arc::new(payment()), Arc::new(fake::payment(2, 2, 1_800_000_900))];
    let limited = RpcError::Limited("too many requests".to_owned());
    for error in [limited, RpcError::Paused] {
        rpc.state().refused = vec![("eth_call", error.clone())];
        let found = checks.together(&items).await.unwrap();
        assert_eq!(found, vec![Some(Err(EvmError::Rpc(error))); 2]);
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
        assert_eq!(checks.together(&items).await, Err(CallFailed), "{error}");
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
