//! Blocks that come, and are final, while one look is under way.

use serde_json::value::RawValue;

use super::*;
use crate::fake::{WALLET_KEY, config};
use crate::logs::LogRange;

/// A node whose chain moves on when it is asked for the finalized block: what was sent lands
/// just then, and is final at once.
struct Growing {
    chain: Arc<FakeRpc>,
    lands: std::sync::Mutex<Vec<crate::fake::FakeTx>>,
}

#[async_trait::async_trait]
impl Rpc for Growing {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        if method == "eth_getBlockByNumber" && params.get().contains("finalized") {
            let landing = std::mem::take(&mut *self.lands.lock().unwrap());
            if !landing.is_empty() {
                self.chain.mine(landing);
                self.chain.mine(vec![]);
                self.chain.state().finalized = Some(12);
            }
        }
        self.chain.call(method, params).await
    }

    fn log_range(&self) -> &LogRange {
        self.chain.log_range()
    }
}

/// I5: a deadline that has passed makes this look ask for the finalized block. Unused at the
/// head that it began with proves nothing of another payment whose deadline lies between the
/// two: what landed there would be called expired, and its money lost.
#[tokio::test]
async fn i5_a_finalized_block_that_is_newer_than_the_head_of_the_look_expires_nothing() {
    let (late, lands) = (payment(1, 1, GENESIS + 2 * 10), payment(2, 2, GENESIS + 2 * 12));
    let chain = FakeRpc::new(10);
    let landing = vec![settlement(5, wallet(), &[&lands])];
    let node = Growing { chain: Arc::clone(&chain), lands: landing.into() };
    let key = quittance_protocol::Secret::new(WALLET_KEY);
    let evm = EvmChain::connect_with(config(), &key, vec![Arc::new(node)]).await.unwrap();
    let watched = [attempted(&late, 9, 4), attempted(&lands, 9, 5)];
    let mut cursor = ScanCursor::default();
    let mut found = evm.scan(&watched, &mut cursor).await.unwrap();
    found.extend(evm.scan(&watched, &mut cursor).await.unwrap());
    let of = |payment: &EvmPayment| -> Vec<Evidence> {
        let key = payment.key();
        found.iter().filter(|(of, _)| *of == key).map(|(_, evidence)| evidence.clone()).collect()
    };
    let ended = |one: &Evidence| matches!(one, Evidence::Expired { block: 12, .. });
    assert!(of(&late).iter().all(ended), "{found:?}");
    assert_eq!(settled(&of(&lands)), [(hash(5), 11, true)]);
}
