use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use quittance_protocol::{
    Amount, Deadline, DurableAttempt, ErrorCode, Evidence, PaymentKey, PaymentPayload, RetryAction,
    SendOutcome, SignedBytes, Standing, UnixSeconds,
};
use serde_json::{Map, Value};

use super::*;
use crate::*;

/// A chain that knows no payment.
struct Empty;

impl Decode for Empty {
    fn identify(&self, _: &PaymentPayload) -> Option<Identity> {
        None
    }

    fn amount(&self, _: &Value) -> Option<Amount> {
        None
    }

    fn revive(&self, _: &Value) -> Result<Verified, Unreadable> {
        Err(Unreadable("none".to_owned()))
    }
}

#[async_trait]
impl Verify for Empty {
    fn check_local(&self, _: &PaymentPayload) -> Result<Verified, Rejection> {
        Err(Rejection::new(ErrorCode::InvalidPayload, "none"))
    }

    fn check_window(&self, _: &Verified, _: UnixSeconds) -> Result<(), Rejection> {
        Ok(())
    }

    async fn check_chain(&self, _: &Verified) -> Result<ChainView, CheckError> {
        Err(CheckError::Unreachable("none".to_owned()))
    }

    async fn deadline(&self, _: &Verified, _: &ChainView) -> Result<Deadline, CheckError> {
        Ok(Deadline::UnixSeconds(0))
    }

    async fn find_use(&self, _: &Verified) -> Option<Use> {
        None
    }
}

impl Sign for Empty {
    fn cost_bound(&self, _: &Verified, _: u128) -> Result<u128, SignRefused> {
        Ok(0)
    }

    fn sign(
        &self,
        _: &Verified,
        _: &str,
        _: Option<u64>,
        _: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        Err(SignRefused::never("none"))
    }
}

#[async_trait]
impl Broadcast for Empty {
    async fn broadcast(&self, _: &dyn DurableAttempt) -> Sent {
        SendOutcome::Accepted.into()
    }
}

#[async_trait]
impl Watch for Empty {
    async fn scan(&self, _: &[Watched], _: i64) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        Ok(Vec::new())
    }

    async fn standing(&self, _: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        Ok(Vec::new())
    }

    async fn heights(&self, _: i64) -> Result<Heights, ChainFault> {
        Ok(Heights { latest: 2, finalized: 1 })
    }
}

#[async_trait]
impl Costs for Empty {
    async fn refresh(&self, _: i64) -> Result<CostSnapshot, ChainFault> {
        Err(ChainFault("none".to_owned()))
    }
}

fn facts(takes_nonce: bool) -> Facts {
    Facts {
        network: Network::BASE.parse().unwrap(),
        coin: GasCoin { name: "ETH".to_owned(), decimals: 18, pair: "eth_usd".to_owned() },
        wallets: vec!["wallet".to_owned()],
        retired_wallets: Vec::new(),
        offer_wallet: None,
        offer_extra: Map::new(),
        takes_nonce,
        amount_mismatch: ErrorCode::InvalidPayload,
        network_mismatch: ErrorCode::InvalidNetwork,
    }
}

/// Answers from the second time on.
fn answers_late(asked: &Arc<AtomicUsize>) -> Connect {
    let asked = Arc::clone(asked);
    Box::new(move || {
        let nth = asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if nth == 0 { Err("no answer".to_owned()) } else { Ok(Ports::of(&Arc::new(Empty))) }
        })
    })
}

#[tokio::test]
async fn what_is_not_connected_says_nothing_about_any_payment() {
    let asked = Arc::default();
    let chain = Chain::later(facts(false), Arc::new(Empty), answers_late(&asked));
    let rejection = Rejection::from(chain.verify().err().unwrap());
    assert_eq!(rejection.code, ErrorCode::NetworkUnavailable, "it may be on record (P5)");
    assert_eq!(rejection.retry_action, RetryAction::RetrySamePayment, "nobody is asked to sign anew for it");
    assert!(matches!(CheckError::from(NotConnected), CheckError::Unreachable(_)));
    assert!(SignRefused::from(chain.sign().err().unwrap()).retry, "it may work later");
    let sent = Sent::from(chain.broadcast().err().unwrap());
    assert!(matches!(sent.outcome, SendOutcome::Unknown { .. }), "an earlier life may have sent it (I3)");
    assert!(!sent.withheld);
    assert!(chain.watch().is_err() && chain.costs().is_err() && chain.endpoints().is_none());
    assert_eq!(chain.facts().wallets, ["wallet"], "known without asking");
}

#[tokio::test]
async fn a_chain_is_connected_to_once_and_then_stays_so() {
    let asked = Arc::default();
    let chain = Chain::later(facts(false), Arc::new(Empty), answers_late(&asked));
    assert_eq!(chain.connect().await.unwrap_err().0, "no answer");
    assert!(chain.watch().is_err());
    chain.connect().await.unwrap();
    chain.connect().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(chain.watch().unwrap().heights(0).await.unwrap().latest, 2);
    assert!(chain.nonces().is_err(), "its attempts take none");
}

#[tokio::test]
async fn a_chain_whose_attempts_take_a_nonce_never_works_without_nonces() {
    let asked = Arc::new(AtomicUsize::new(1));
    let chain = Chain::later(facts(true), Arc::new(Empty), answers_late(&asked));
    assert!(chain.connect().await.is_err());
    assert!(chain.sign().is_err(), "two payments would share a nonce (I2)");
}
