use std::sync::Arc;

use quittance_protocol::Secret;

use crate::chain::EvmChain;
use crate::config::{ADDRESS_MULTICALL3, EvmConfig};
use crate::error::EvmError;
use crate::fake::{FakeRpc, TOKEN, WALLET_KEY, config};

async fn connect(rpc: &Arc<FakeRpc>, config: EvmConfig) -> Result<(), EvmError> {
    EvmChain::connect_with(config, &Secret::new(WALLET_KEY), vec![rpc.clone()]).await.map(|_| ())
}

#[tokio::test]
async fn a_token_with_other_decimals_is_refused_at_the_start() {
    let rpc = FakeRpc::new(1);
    assert_eq!(connect(&rpc, config()).await, Ok(()));
    for found in [Some(18), Some(0), Some(7), None] {
        rpc.state().decimals = found;
        assert_eq!(connect(&rpc, config()).await, Err(EvmError::Decimals { expected: 6, found }));
    }
}

#[tokio::test]
async fn a_token_of_euros_is_refused_whatever_the_operator_says() {
    let rpc = FakeRpc::new(1);
    for (currency, taken) in [(Some("USD"), true), (Some(""), true), (None, true), (Some("EUR"), false)] {
        rpc.state().currency = currency;
        assert_eq!(connect(&rpc, config()).await.is_ok(), taken, "{currency:?}");
    }
    rpc.state().currency = Some("EUR");
    assert_eq!(connect(&rpc, config()).await, Err(EvmError::Currency));
}

/// Found without asking a node, so that a chain that comes late cannot hide it.
#[tokio::test]
async fn a_recipient_that_can_never_spend_is_refused() {
    let rpc = FakeRpc::new(1);
    rpc.state().fail = Some(crate::failure::RpcError::Timeout);
    let with = |pay_to: &str| EvmConfig { pay_to: pay_to.to_owned(), ..config() };
    for (pay_to, says) in [
        ("0x0000000000000000000000000000000000000000", "zero address"),
        (TOKEN.to_string().as_str(), "token itself"),
        (ADDRESS_MULTICALL3, "Multicall3"),
        ("0x0000000000000000000000000000000000000004", "precompiled"),
        ("0x627306090abaB3A6e1400e9345bC60c78a8BEf58", "EIP-55"),
        ("0x627306090abaB3A6e1400e9345bC60c78A8BEf57", "EIP-55"),
        ("627306090abaB3A6e1400e9345bC60c78a8BEf57", "40 hex digits"),
        ("0x627306090abaB3A6e1400e9345bC60c78a8BEf5", "40 hex digits"),
    ] {
        match connect(&rpc, with(pay_to)).await {
            Err(error @ EvmError::Config { field: "pay_to", .. }) => {
                assert!(error.to_string().contains(says), "{pay_to}: {error}");
            }
            other => panic!("{pay_to}: {other:?}"),
        }
    }
    let checksummed = "0x627306090abaB3A6e1400e9345bC60c78a8BEf57";
    for good in
        [checksummed.to_owned(), checksummed.to_lowercase(), format!("0x{}", checksummed[2..].to_uppercase())]
    {
        assert!(matches!(connect(&rpc, with(&good)).await, Err(EvmError::Rpc(_))), "{good}");
    }
    let mistyped = EvmConfig { asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02912".to_owned(), ..config() };
    assert!(matches!(connect(&rpc, mistyped).await, Err(EvmError::Config { field: "asset", .. })));
}

/// Another token as recipient keeps the income for good; a wallet that is a contract does not.
#[tokio::test]
async fn a_recipient_that_is_another_token_is_refused() {
    let rpc = FakeRpc::new(1);
    for (code, taken) in [(None, true), (Some("0xef0100aa"), true), (Some("0x60"), false)] {
        rpc.state().pay_to_code = code;
        assert_eq!(connect(&rpc, config()).await.is_ok(), taken, "{code:?}");
    }
    let predeploy = "0x4200000000000000000000000000000000000006".to_owned();
    assert!(connect(&FakeRpc::new(1), EvmConfig { pay_to: predeploy, ..config() }).await.is_err());
}
