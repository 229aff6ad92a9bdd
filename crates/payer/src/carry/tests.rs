use std::collections::VecDeque;
use std::sync::Mutex;

use quittance_protocol::{Amount, Secret};
use serde_json::json;

use super::*;
use crate::{Keys, Limits, State};

const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

fn asks(error: &str) -> Carried {
    let offer = json!({ "scheme": "exact", "network": "eip155:8453", "asset": USDC, "payTo": format!("0x{}", "22".repeat(20)),
        "amount": "20000", "maxTimeoutSeconds": 60, "extra": { "name": "USD Coin", "version": "2" } });
    let required = json!({ "x402Version": 2, "error": error, "resource": { "url": "mcp://tool/x" }, "accepts": [offer] });
    Carried { required: Some(required), receipt: None, is_error: true }
}

fn says(receipt: Value) -> Carried {
    Carried { receipt: Some(receipt), ..Carried::default() }
}

/// A seller that answers what it was told, in order; a missing answer breaks off.
struct Seller {
    answers: Mutex<VecDeque<Option<Carried>>>,
    payments: Mutex<Vec<Value>>,
}

impl Seller {
    fn new(answers: Vec<Option<Carried>>) -> Self {
        Self { answers: Mutex::new(answers.into()), payments: Mutex::default() }
    }

    fn next(&self, payment: Option<Value>) -> Result<Carried, String> {
        self.payments.lock().unwrap().extend(payment);
        self.answers.lock().unwrap().pop_front().flatten().ok_or_else(|| "it broke off".to_owned())
    }

    async fn sell(&self, payer: &Payer) -> Result<Answer, PayError> {
        let request = Request::post("https://a.example/mcp", b"{}".to_vec()).unwrap();
        payer.buy_carried(&request, |payment| async { self.next(payment) }).await
    }
}

fn payer(limits: Limits, wait: u64) -> (tempfile::TempDir, Payer) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::default().evm(&Secret::new(format!("0x{}", "11".repeat(32)))).unwrap();
    let payer = Payer::new(keys, limits).unwrap().with_wait(wait).unwrap();
    let state = State::open(folder.path()).unwrap();
    (folder, payer.with_state(state))
}

#[tokio::test]
async fn a_tool_is_paid_once_with_the_whole_offer() {
    let receipt = json!({ "success": true, "transaction": "0x1" });
    let seller = Seller::new(vec![Some(asks("pay")), Some(says(receipt))]);
    let (_folder, payer) = payer(Limits::default(), 1);
    let answer = seller.sell(&payer).await.unwrap();
    assert_eq!((answer.outcome, answer.bill.unwrap().amount), (Outcome::Paid, Amount::new(20_000)));
    let payments = seller.payments.lock().unwrap();
    assert_eq!((payments.len(), &payments[0]["resource"]["url"]), (1, &json!("mcp://tool/x")));
    assert!(payer.kept().unwrap().is_empty());
    assert_eq!(payer.signed_today().unwrap()["a.example"], Amount::new(20_000));
}

/// Neither a connection that broke nor a pending settlement says that nothing was paid.
#[tokio::test]
async fn what_stays_open_is_sent_again_by_the_next_call_and_no_other() {
    let pending = json!({ "success": false, "errorReason": "settlement_pending" });
    let done = Carried::default();
    for open in [None, Some(says(pending)), Some(asks("settlement_pending"))] {
        let seller = Seller::new(vec![Some(asks("pay")), open, Some(done.clone())]);
        let (_folder, payer) = payer(Limits::default(), 1);
        match seller.sell(&payer).await {
            Ok(answer) => assert_eq!(answer.outcome, Outcome::Open),
            Err(error) => assert!(matches!(error, PayError::Unknown(_)), "{error}"),
        }
        assert_eq!(payer.kept().unwrap().len(), 1);
        assert_eq!(seller.sell(&payer).await.unwrap().outcome, Outcome::Paid);
        let payments = seller.payments.lock().unwrap();
        assert_eq!((payments.len(), payments[0] == payments[1]), (2, true));
        assert!(payer.kept().unwrap().is_empty());
    }
}

#[tokio::test]
async fn limits_hold_and_a_refusal_is_one() {
    let (_folder, tight) = payer(Limits { per_call: Amount::new(19_999), ..Limits::default() }, 1);
    let seller = Seller::new(vec![Some(asks("pay")), Some(asks("pay")), Some(asks("insufficient_funds"))]);
    assert!(matches!(seller.sell(&tight).await, Err(PayError::Limit(_))));
    assert!(seller.payments.lock().unwrap().is_empty());
    let (_folder, payer) = payer(Limits::default(), 1);
    let answer = seller.sell(&payer).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Refused(Some("insufficient_funds".to_owned())));
    let hosts = Some(["b.example".to_owned()].into());
    let (_folder, elsewhere) = self::payer(Limits { hosts, ..Limits::default() }, 1);
    assert!(matches!(seller.sell(&elsewhere).await, Err(PayError::Limit(_))));
}
