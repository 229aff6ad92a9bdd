//! What payments that share a transaction cost, measured.

use alloy::primitives::{Address, B256, Bytes};
use alloy::sol_types::SolCall;
use quittance_evm::{Rpc, gas_per_payment};
use serde_json::json;

use crate::support::{PAY_TO, Token, devnet, key, payer};

alloy::sol! {
    interface Batch {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        function aggregate3(Call3[] calldata calls) external payable;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
    }
}

/// The transfer that a payload authorizes, for the token itself.
fn transfer(payload: &quittance_protocol::PaymentPayload) -> Vec<u8> {
    let part = |name: &str| payload.payload["authorization"][name].as_str().unwrap().to_owned();
    let signature: Bytes = payload.payload["signature"].as_str().unwrap().parse().unwrap();
    Batch::transferWithAuthorizationCall {
        from: part("from").parse().unwrap(),
        to: part("to").parse().unwrap(),
        value: part("value").parse().unwrap(),
        validAfter: part("validAfter").parse().unwrap(),
        validBefore: part("validBefore").parse().unwrap(),
        nonce: part("nonce").parse().unwrap(),
        v: signature[64],
        r: B256::from_slice(&signature[..32]),
        s: B256::from_slice(&signature[32..64]),
    }
    .abi_encode()
}

#[tokio::test]
async fn a_batch_costs_no_more_than_its_shares() {
    let Some(net) = devnet().await else { return };
    let payers: Vec<String> = (1..=32).map(key).collect();
    let mint = |key: &String| {
        let to = payer(key).address().parse().unwrap();
        Token::mintCall { to, amount: alloy::primitives::U256::from(1_000_000) }.abi_encode()
    };
    net.as_owner(payers.iter().map(mint).collect()).await;
    // The recipient's balance is no longer empty, as on any day but the first.
    net.mint(PAY_TO, 1).await;
    let send = async |to: Address, data: Vec<u8>| {
        let request = json!([{"from": net.owner, "to": to, "data": Bytes::from(data), "gas": "0x989680"}]);
        let hash = net.rpc.ask("eth_sendTransaction", request).await.unwrap();
        let receipt = net.receipt(hash.as_str().unwrap()).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap()
    };
    let alone = send(net.token, transfer(&net.payload(&payers[0], 100, 1))).await;
    let multicall = quittance_evm::ADDRESS_MULTICALL3.parse().unwrap();
    for count in [2_u32, 5, 12, 32] {
        let nonce = u8::try_from(count).unwrap();
        let before = net.tokens_of(PAY_TO).await;
        let calls = payers[..count as usize].iter().map(|key| Batch::Call3 {
            target: net.token,
            allowFailure: true,
            callData: transfer(&net.payload(key, 100, nonce)).into(),
        });
        let data = Batch::aggregate3Call { calls: calls.collect() }.abi_encode();
        let used = send(multicall, data).await;
        assert_eq!(net.tokens_of(PAY_TO).await - before, 100 * u64::from(count), "every item landed");
        let share = gas_per_payment(alone, count);
        let (real, estimated) = (used.div_ceil(u64::from(count)), share);
        eprintln!("{count} payments: {real} gas each, estimated {estimated}; alone {alone}");
        assert!(real <= estimated, "{count} payments use {real} gas each, estimated {estimated}");
        assert!(
            estimated * 100 <= real * 125,
            "an estimate a quarter above {real} sells nothing: {estimated}"
        );
    }
}
