//! A facilitator over a chain where everything lands at once, and costs what the test says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use quittance_facilitator::config::Config;
use quittance_facilitator::{
    AnswerLimits, AnswerStore, Caller, Clock, Facilitator, Metrics, Parts, PayOutcome, Random, Sale,
    StaticRates, StoredAnswer,
};
use quittance_ledger::Store;
use quittance_protocol::{Amount, ErrorCode, Fingerprint, Network, PaymentId, ResourceRef, RetryAction};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use super::chain::Chain;

/// The service's price, atomic USDC.
pub(crate) const SERVICE: u64 = 1_000_000;
/// The surcharge of an ordinary cost: 10^12 wei at 2,500 dollars and a markup of 1.25.
pub(crate) const GAS: u64 = 3_125;
/// `max_timeout_seconds` and `grace_seconds`.
pub(crate) const WINDOW_MS: i64 = 150_000;

const RESOURCE: ResourceRef<'static> =
    ResourceRef { url: "http://shop.test/", description: None, mime_type: None };
/// Fails a test that would otherwise hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands still until the test moves it.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
    }
}

impl Time {
    pub(crate) fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// What became of a payment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Granted,
    /// Refused: not the price plus a tariff of the window.
    WrongAmount,
    /// Refused: settling became dearer than this offer covers.
    NotCovered,
    /// Refused: this payer's attempts cost too much today.
    PayerRefused,
    /// Refused: the payer has no money.
    Poor,
    /// Refused: the chain would not take it.
    Broken,
    /// Too many of this payer's payments, or of this address's, came to nothing.
    TooMany,
    /// No verdict yet.
    Pending,
    Unavailable,
}

/// One process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) facilitator: Facilitator,
}

impl Process {
    /// Starts one over `store`; `quote` is added to `[quote]`.
    pub(crate) async fn open(store: impl Store, chain: &Chain, time: &Time, quote: &str) -> Self {
        Self::with(store, chain, time, ("", quote)).await
    }

    /// The same, whose network is retired.
    pub(crate) async fn open_retired(store: impl Store, chain: &Chain, time: &Time) -> Self {
        Self::with(store, chain, time, ("retired = true", "")).await
    }

    /// The same; `network` is added to its network's keys.
    pub(crate) async fn with(
        store: impl Store,
        chain: &Chain,
        time: &Time,
        (network, quote): (&str, &str),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quittance.toml");
        let text = format!(
            "[ledger]\nurl = \"sqlite://unused\"\nlease_seconds = 86400\n\
             [networks.base]\nnetwork = \"{}\"\nrpc_urls = [\"http://127.0.0.1:1\"]\nasset = \"0xa\"\ndollar = true\n\
             pay_to = \"0xb\"\nwallets = [\"env:UNUSED\"]\npoll_interval_ms = 10\n{network}\n\
             [gate]\npending_wait_seconds = 1\n[rates]\neth_usd = \"2500\"\n[quote]\nrefresh_seconds = 1\n{quote}\n",
            Network::BASE
        );
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
        let (clock, next) = (time.clone(), Arc::new(AtomicU64::new(1)));
        let random = move || {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&next.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            bytes[8..].copy_from_slice(&unique());
            bytes
        };
        let parts = Parts {
            store: Arc::new(store),
            chains: BTreeMap::from([("base".to_owned(), chain.cell())]),
            answers: AnswerStore::new(quittance_answers::memory(), AnswerLimits::default()),
            rates: Arc::new(StaticRates::parse("2500", "150").unwrap()),
            clock: Clock::from_fn(move || clock.now_ms()),
            random: Random::from_fn(random),
            metrics: Arc::new(Metrics::new().unwrap()),
            stop: CancellationToken::new(),
        };
        Self { facilitator: Facilitator::assemble(&config, parts).await.unwrap() }
    }

    /// The client has all of a payment's answer.
    pub(crate) fn answer_sent(&self, payment: &PaymentId) {
        self.facilitator.answer_sent(payment);
    }

    pub(crate) async fn close(self) {
        self.facilitator.shutdown().await;
    }

    /// The surcharge offered now; the prepared text says the same.
    pub(crate) fn offered(&self) -> Option<u64> {
        let (service, mut text) = (Amount::new(SERVICE), Vec::new());
        let offer = self.facilitator.offer(service, RESOURCE, "").ok()?;
        let amount = offer.accepts[0].amount.clone();
        if self.facilitator.write_offer(service, RESOURCE, "", &mut text).is_ok() {
            let written: Value = serde_json::from_slice(&text).unwrap();
            let gas = |value: &Value| value["accepts"][0]["extra"]["breakdown"]["gas_usdc"].clone();
            // A tariff may be replaced between the two.
            if written["accepts"][0]["amount"] == amount.as_str() {
                assert_eq!(gas(&written), gas(&serde_json::to_value(&offer).unwrap()));
            }
        }
        Some(amount.parse::<u64>().unwrap() - SERVICE)
    }

    /// Alerts of a kind in this life.
    pub(crate) fn alerts(&self, kind: &str) -> u64 {
        self.metric("quittance_alerts_total{", &format!("kind=\"{kind}\""))
    }

    /// Payments that have a driver here.
    pub(crate) fn driven(&self) -> u64 {
        self.metric("quittance_payments_open{", "")
    }

    /// All metrics, as they are scraped.
    pub(crate) fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.facilitator.registry().gather()).unwrap()
    }

    fn metric(&self, family: &str, labels: &str) -> u64 {
        let lines = self.metrics();
        let mut lines = lines.lines().filter(|line| line.starts_with(family) && line.contains(labels));
        lines.next().map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        let offer = self.facilitator.offer(Amount::new(SERVICE), RESOURCE, "");
        offer.err().map(|nothing| nothing.retry_after_seconds)
    }

    /// Why nothing is offered.
    pub(crate) fn closed(&self) -> Option<&'static str> {
        let nothing = self.facilitator.offer(Amount::new(SERVICE), RESOURCE, "").err()?;
        assert_eq!(nothing.closed, self.facilitator.closed(), "readiness says the same");
        nothing.closed.first().map(|(_, reason)| *reason)
    }

    /// Waits for the next look at the costs to bring this offer about.
    pub(crate) async fn until_offered(&self, gas: Option<u64>) {
        self.until(|offered| offered == gas, &format!("{gas:?}")).await;
    }

    pub(crate) async fn until_cheaper_than(&self, gas: u64) {
        self.until(|offered| offered.is_some_and(|offered| offered < gas), "cheaper").await;
    }

    async fn until(&self, holds: impl Fn(Option<u64>) -> bool, what: &str) {
        let start = Instant::now();
        while !holds(self.offered()) {
            assert!(start.elapsed() < PATIENCE, "still {:?}, not {what}", self.offered());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Pays this amount for the service, with a signature of its own.
    pub(crate) async fn pay(&self, amount: u64) -> Outcome {
        self.pay_as("payer", amount).await
    }

    /// The same as somebody else.
    pub(crate) async fn pay_as(&self, payer: &str, amount: u64) -> Outcome {
        self.pay_from(Caller::default(), payer, amount).await
    }

    /// The same from an address.
    pub(crate) async fn pay_from(&self, caller: Caller, payer: &str, amount: u64) -> Outcome {
        self.send_from(caller, payer, amount, u64::from_be_bytes(unique())).await
    }

    /// One signature, told by its nonce, for a request of its own.
    pub(crate) async fn send(&self, payer: &str, amount: u64, nonce: u64) -> Outcome {
        self.send_from(Caller::default(), payer, amount, nonce).await
    }

    async fn send_from(&self, caller: Caller, payer: &str, amount: u64, nonce: u64) -> Outcome {
        let accepted = json!({
            "scheme": "exact", "network": Network::BASE, "asset": "0xa", "payTo": "0xb",
            "amount": amount.to_string(), "maxTimeoutSeconds": 120,
        });
        let payload = json!({
            "x402Version": 2, "accepted": accepted, "payload": { "nonce": nonce, "amount": amount, "payer": payer },
        });
        let sale = Sale {
            service: Amount::new(SERVICE),
            // Another request each time: a repeated call is answered from what it paid (P7).
            fingerprint: Fingerprint::of_request("POST", "/", "", &nonce.to_be_bytes()),
            resource: "POST /".to_owned(),
            identifier: None,
            idempotency: None,
            malformed: None,
            caller,
        };
        match self.facilitator.pay(serde_json::from_value(payload).unwrap(), sale).await {
            PayOutcome::Granted(grant) => {
                let answer = StoredAnswer {
                    status: 200,
                    headers: Vec::new(),
                    body: Vec::new(),
                    object: None,
                    truncated: false,
                    refundable: false,
                    usage: None,
                };
                self.facilitator.finish(grant, answer).await.unwrap();
                Outcome::Granted
            }
            PayOutcome::Refused(rejection) if rejection.code == ErrorCode::InvalidTransactionState => {
                // Whoever were told to pay would sign in a loop.
                assert_eq!(rejection.retry_action, RetryAction::DoNotRetry);
                assert!(rejection.retry_after_seconds.is_some_and(|wait| (1..=87_000).contains(&wait)));
                Outcome::PayerRefused
            }
            PayOutcome::Refused(rejection)
                if rejection.code == ErrorCode::InvalidExactEvmInsufficientBalance =>
            {
                Outcome::Poor
            }
            PayOutcome::Refused(rejection)
                if rejection.code == ErrorCode::InvalidExactEvmTransactionSimulationFailed =>
            {
                Outcome::Broken
            }
            PayOutcome::Refused(rejection) if rejection.code == ErrorCode::TooManyRequests => {
                assert_eq!(rejection.retry_action, RetryAction::RetrySamePayment, "it may be good");
                Outcome::TooMany
            }
            PayOutcome::Refused(rejection) => {
                assert_eq!(rejection.code, ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch);
                if rejection.message.contains("dearer") { Outcome::NotCovered } else { Outcome::WrongAmount }
            }
            PayOutcome::Pending { .. } => Outcome::Pending,
            PayOutcome::Unavailable { .. } => Outcome::Unavailable,
            other => panic!("{other:?}"),
        }
    }
}

/// Eight bytes that never come again in this process.
pub(crate) fn unique() -> [u8; 8] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::SeqCst).to_be_bytes()
}
