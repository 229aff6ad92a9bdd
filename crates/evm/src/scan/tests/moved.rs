//! The operator changed wallet or `pay_to`: what was claimed before is found as it was claimed.

use super::*;
use crate::chain::wallet_address;
use crate::standing::EvmLanded;
use quittance_protocol::{Secret, Standing};

const MOVED: &str = "0x3333333333333333333333333333333333333333";

#[tokio::test]
async fn a_former_wallets_transaction_is_ours_and_found_by_its_own_nonce() {
    let rpc = FakeRpc::new(10);
    let key = Secret::new(format!("0x{}", "44".repeat(32)));
    let former: Address = wallet_address(&key).unwrap().parse().unwrap();
    let chain = connect(&[&rpc], |_| {}).await.with_wallets(std::slice::from_ref(&key)).unwrap();
    assert_eq!(chain.wallets(), [wallet().to_string(), former.to_string()]);
    let p = payment(1, 1, FAR);
    let watched = [EvmWatch { attempt_wallet: Some(former.to_string()), ..attempted(&p, 10, 5) }];
    rpc.state().hide_logs = true;
    rpc.mine(vec![settlement(5, former, &[&p])]);
    let found = scan(&chain, &watched, &mut ScanCursor::default()).await;
    assert_eq!(settled(&found), [(hash(5), 11, true)]);
    assert_eq!(chain.used_nonces(&former.to_string()).await.unwrap(), 1);
    assert_eq!(chain.used_nonces(&chain.wallet()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_landing_at_the_address_of_before_still_stands() {
    let rpc = FakeRpc::new(10);
    let chain = connect(&[&rpc], |config| config.pay_to = MOVED.to_owned()).await;
    let p = payment(1, 1, FAR);
    rpc.mine(vec![settlement(5, STRANGER, &[&p])]);
    let found = scan(&chain, &[watch(&p, 10)], &mut ScanCursor::default()).await;
    let [Evidence::Settled(landing)] = found.as_slice() else { panic!("{found:?}") };
    rpc.state().finalized = Some(11);
    let landed = EvmLanded { payment: p, landing: landing.clone(), from_block: 10 };
    let stands = chain.standing(&[landed]).await.unwrap();
    assert!(matches!(&stands[..], [(_, Standing::Finalized(at))] if at == landing), "{stands:?}");
}
