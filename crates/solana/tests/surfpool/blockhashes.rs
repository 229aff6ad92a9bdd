//! How old a payer's blockhash is, by a real node's own list.

use super::*;

impl World {
    /// The newest blockhash and its last valid block height, as the node says.
    async fn newest(&self) -> (String, u64) {
        let answer = self.call("getLatestBlockhash", json!([{"commitment": "confirmed"}])).await;
        let blockhash = answer["value"]["blockhash"].as_str().unwrap().to_owned();
        (blockhash, answer["value"]["lastValidBlockHeight"].as_u64().unwrap())
    }

    async fn pay_over(&self, chain: &SolanaChain, blockhash: &str, memo: &str) -> SolanaPayment {
        let payer = SolanaPayer::new(&secret(&self.payer)).unwrap();
        let options = PayerOptions { create_token_account: None, memo: Some(memo.to_owned()) };
        let mut requirements = self.requirements();
        requirements.extra.insert("recentBlockhash".to_owned(), json!(blockhash));
        let paid = payer.pay(&requirements, &self.url, 10_000, &options).await.unwrap();
        chain.check_local(&self.payload(serde_json::to_value(paid).unwrap())).unwrap()
    }

    async fn pass(&self, height: u64) {
        let start = Instant::now();
        while self.call("getBlockHeight", json!([{"commitment": "confirmed"}])).await.as_u64().unwrap()
            < height
        {
            assert!(start.elapsed() < PATIENCE, "the chain stands still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// P3, I5: whatever blockhash the payer chose, the claim waits for that one's end, and a
/// blockhash that is about to end is refused while the runtime still takes it.
#[tokio::test]
async fn p3_an_old_blockhash_bounds_its_payment_and_an_ending_one_is_refused() {
    let Some(world) = World::new("old blockhash").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    let (blockhash, last_valid) = world.newest().await;
    let payment = world.pay_over(&chain, &blockhash, "old").await;
    world.pass(last_valid - 90).await;
    let view = chain.check_chain(&payment).await.unwrap();
    assert_eq!(chain.deadline(&payment, &view).await, Ok(Deadline::BlockHeight(last_valid + 1)));

    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "neither refused nor dead");
        let Ok(view) = chain.check_chain(&payment).await else { panic!("no look while it was ending") };
        match chain.deadline(&payment, &view).await {
            Ok(deadline) => assert_eq!(deadline, Deadline::BlockHeight(last_valid + 1)),
            Err(error) => {
                assert!(matches!(error, SolanaError::BlockhashEnding { left: 1..10 }), "{error}");
                assert!(!error.retry());
                break;
            }
        }
    }
}
