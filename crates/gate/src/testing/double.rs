//! A facilitator that keeps its payments in memory and fails on command.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use quittance_facilitator::{
    AnswerKey, AnswerLimits, AnswerObject, AnswerStore, Draft, DraftReader, Grant, NetworkInfo,
    NothingToOffer, Objects, PaidFacts, PayOutcome, Presented, Sale, StoreError, StoredAnswer,
    StoredAnswerReader, StoredObject, Waiting,
};
use quittance_protocol::{
    Amount, ErrorCode, Fingerprint, Network, PaymentId, PaymentKey, PaymentPayload, PaymentRequired,
    RequestId, ResourceRef, SettleResponse, v1,
};
use serde_json::{Map, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::facilitate::{NotBooked, Offers, Payments, Runs};

/// What the gate did to the facilitator, in order.
#[derive(Clone, Debug)]
pub enum Entry {
    Pay(Sale),
    Finish(StoredAnswer),
    Credit(String),
    /// A credit whose run never began.
    Unbegun(String),
    Sent(String),
}

#[derive(Clone, Default)]
enum Record {
    #[default]
    Unpaid,
    Running,
    Delivered(StoredAnswer),
    Credited,
}

/// One payment's record. `pay` hands out at most one grant at a time; copies
/// wait for the run's end, as they do at the real facilitator.
pub struct Double {
    record: watch::Sender<(Record, u32)>,
    log: watch::Sender<Vec<Entry>>,
    /// Outcomes to give before the ledger is asked.
    pub script: Mutex<VecDeque<PayOutcome>>,
    pub nothing_to_offer: AtomicBool,
    pub ledger_down: AtomicBool,
    /// The payment that came, and whether its outcome is known; others are on no record.
    brought: Mutex<Option<(Vec<u8>, bool)>>,
    /// Whether a request without a price is on record.
    pub recalls: AtomicBool,
    /// The request that was asked for last.
    pub recalled: Mutex<Option<Fingerprint>>,
    /// Ends every run when it is cancelled, as a lost lease does.
    pub revoked: CancellationToken,
    /// Who came, in order.
    pub callers: Mutex<Vec<Waiting>>,
    /// `pay` takes one of these before it answers.
    pub settlements: Semaphore,
    /// Where long answers go, and how unkind it is.
    pub object_store: Arc<MemoryObjects>,
    answers: AnswerStore,
    names: AtomicU8,
}

/// An answer store in memory that is full, slow, or another machine's.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    pub objects: Mutex<BTreeMap<String, Bytes>>,
    pub full: AtomicBool,
    pub stands_still: AtomicBool,
    pub elsewhere: AtomicBool,
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        if self.stands_still.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("No space left on device".to_owned()));
        }
        self.objects.lock().unwrap().insert(path.to_owned(), bytes);
        Ok(())
    }

    async fn get(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if self.elsewhere.load(Ordering::SeqCst) {
            return Err(StoreError::NotFound);
        }
        let objects = self.objects.lock().unwrap();
        let object = objects.get(path).ok_or(StoreError::NotFound)?;
        Ok(object.slice(range.start as usize..range.end as usize))
    }

    async fn delete_all(&self, folder: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().retain(|path, _| !path.starts_with(folder));
        Ok(())
    }
}

/// Kept in the ledger up to 1,000 bytes, in the store up to 32 MiB.
pub fn answer_limits() -> AnswerLimits {
    AnswerLimits { inline_bytes_max: 1_000, answer_bytes_max: 32 << 20, ..AnswerLimits::default() }
}

/// Fails a test that would otherwise hang; nothing waits for it when all is well.
pub const STUCK: Duration = Duration::from_secs(20);

impl Default for Double {
    fn default() -> Self {
        let object_store = Arc::<MemoryObjects>::default();
        Self {
            record: watch::Sender::new((Record::Unpaid, 0)),
            log: watch::Sender::new(Vec::new()),
            script: Mutex::default(),
            nothing_to_offer: AtomicBool::default(),
            ledger_down: AtomicBool::default(),
            brought: Mutex::default(),
            recalls: AtomicBool::default(),
            recalled: Mutex::default(),
            revoked: CancellationToken::new(),
            callers: Mutex::default(),
            settlements: Semaphore::new(Semaphore::MAX_PERMITS),
            answers: AnswerStore::new(Arc::clone(&object_store) as Arc<dyn Objects>, answer_limits()),
            object_store,
            names: AtomicU8::new(0),
        }
    }
}

impl Double {
    /// The same with other limits of the answer store.
    pub fn with_answers(self, limits: AnswerLimits) -> Self {
        let answers = AnswerStore::new(self.object_store.clone(), limits);
        Self { answers, ..self }
    }

    pub fn scripted(outcome: PayOutcome) -> Arc<Self> {
        let double = Self::default();
        double.script.lock().unwrap().push_back(outcome);
        Arc::new(double)
    }

    /// Settles nothing until `settlements` gets permits.
    pub fn waiting() -> Arc<Self> {
        Arc::new(Self { settlements: Semaphore::new(0), ..Self::default() })
    }

    pub fn log(&self) -> Vec<Entry> {
        self.log.borrow().clone()
    }

    /// Waits until the log has `wanted`.
    pub async fn until(&self, wanted: impl Fn(&Entry) -> bool) {
        let mut log = self.log.subscribe();
        let seen = log.wait_for(|log| log.iter().any(&wanted));
        tokio::time::timeout(STUCK, seen).await.expect("the facilitator never saw it").unwrap();
    }

    /// Waits until so many payments were brought.
    pub async fn until_paid(&self, count: usize) {
        let mut log = self.log.subscribe();
        let paid = |log: &Vec<Entry>| log.iter().filter(|entry| matches!(entry, Entry::Pay(_))).count();
        let seen = log.wait_for(|log| paid(log) >= count);
        tokio::time::timeout(STUCK, seen).await.expect("too few payments came").unwrap();
    }

    pub fn finished(&self) -> Option<StoredAnswer> {
        self.log().into_iter().find_map(|entry| match entry {
            Entry::Finish(answer) => Some(answer),
            _ => None,
        })
    }

    pub fn credited(&self) -> Option<String> {
        self.log().into_iter().find_map(|entry| match entry {
            Entry::Credit(reason) => Some(reason),
            _ => None,
        })
    }

    pub fn sent(&self) -> usize {
        self.log().iter().filter(|entry| matches!(entry, Entry::Sent(_))).count()
    }

    /// Whether the outcome of a payment is known; `None` for one that is not on record.
    fn outcome_known(&self, payload: &PaymentPayload) -> Option<bool> {
        let brought = self.brought.lock().unwrap();
        brought.as_ref().filter(|(known, _)| *known == shown(payload)).map(|(_, told)| *told)
    }

    fn note(&self, entry: Entry) {
        self.log.send_modify(|log| log.push(entry));
    }

    fn check_ledger(&self) -> Result<(), NotBooked> {
        if self.ledger_down.load(Ordering::SeqCst) { Err("disk full".into()) } else { Ok(()) }
    }

    async fn ask_books(&self) -> PayOutcome {
        let mut record = self.record.subscribe();
        loop {
            let mut outcome = None;
            self.record.send_if_modified(|(record, runs)| match record {
                Record::Unpaid | Record::Credited => {
                    *record = Record::Running;
                    *runs += 1;
                    outcome = Some(PayOutcome::Granted(grant(*runs, self.revoked.clone())));
                    true
                }
                Record::Running => false,
                Record::Delivered(answer) => {
                    outcome = Some(PayOutcome::Answered {
                        payment: PaymentId::from_stored("pay_1"),
                        answer: answer.clone(),
                        receipt: receipt(),
                    });
                    false
                }
            });
            match outcome {
                Some(outcome) => return outcome,
                None => record.changed().await.unwrap(),
            }
        }
    }
}

/// What a settled payment looks like.
pub fn receipt() -> SettleResponse {
    SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some("0xpayer".to_owned()),
        transaction: "0xhash".to_owned(),
        network: "eip155:8453".to_owned(),
        amount: Some("12000".to_owned()),
        payment_state: Some("settled".to_owned()),
        retry_action: None,
        retry_after_seconds: None,
        other: Map::new(),
    }
}

/// What is said while nobody knows.
fn pending() -> PayOutcome {
    let receipt = SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::SettlementPending),
        transaction: "0xfeed".to_owned(),
        ..receipt()
    };
    PayOutcome::Pending { receipt, retry_after_seconds: 2 }
}

/// Which payment it is.
fn shown(payload: &PaymentPayload) -> Vec<u8> {
    serde_json::to_vec(&payload.payload).unwrap()
}

pub fn grant(run: u32, revoked: CancellationToken) -> Grant {
    let facts = PaidFacts {
        payment_id: PaymentId::from_stored("pay_1"),
        request_id: RequestId::from_stored("req_1"),
        payer: "0xpayer".to_owned(),
        amount: Amount::new(12_000),
        service: Amount::new(10_000),
        network: "eip155:8453".parse().unwrap(),
        transaction: "0xhash".to_owned(),
        run,
    };
    Grant::for_testing(facts, receipt(), revoked)
}

impl Offers for Double {
    fn offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
    ) -> Result<PaymentRequired, NothingToOffer> {
        if self.nothing_to_offer.load(Ordering::SeqCst) {
            return Err(NothingToOffer {
                retry_after_seconds: 7,
                closed: vec![(Network::BASE.parse().unwrap(), "wallet_empty")],
            });
        }
        let total = service.checked_add(Amount::new(2_000)).unwrap();
        let offer = json!({
            "x402Version": 2,
            "error": error,
            "resource": resource,
            "accepts": [{"scheme": "exact", "network": "eip155:8453", "asset": "0xa", "payTo": "0xb",
                "amount": total, "maxAmountRequired": total, "maxTimeoutSeconds": 120,
                "extra": {"name": "USD Coin", "version": "2"}}],
        });
        Ok(serde_json::from_value(offer).unwrap())
    }

    fn write_offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), NothingToOffer> {
        let offer = self.offer(service, resource, error)?;
        serde_json::to_writer(out, &offer).unwrap();
        Ok(())
    }

    fn write_offer_v1(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> bool {
        let Ok(offer) = self.offer(service, resource, error) else { return false };
        let Some(body) = v1::required(&offer) else { return false };
        serde_json::to_writer(out, &body).unwrap();
        true
    }

    fn networks(&self) -> Vec<NetworkInfo> {
        vec![NetworkInfo {
            network: "eip155:8453".parse().unwrap(),
            asset: "0xa".to_owned(),
            pay_to: "0xb".to_owned(),
            scheme: "exact".to_owned(),
            gas: Some(Amount::new(2_000)),
            extra: Map::new(),
        }]
    }

    fn now_ms(&self) -> i64 {
        1_800_000_000_000
    }
}

impl Payments for Double {
    fn in_version_2(&self, payment: v1::PaymentPayload) -> Result<PaymentPayload, v1::UnknownName> {
        let terms = json!({"scheme": "", "network": "", "asset": "0xa", "payTo": "0xb", "amount": "12000",
            "maxTimeoutSeconds": 120});
        payment.into_v2(serde_json::from_value(terms).unwrap())
    }

    fn pay(&self, payload: PaymentPayload, sale: Sale, waiting: Waiting) -> BoxFuture<'_, PayOutcome> {
        async move {
            *self.brought.lock().unwrap() = Some((shown(&payload), false));
            self.note(Entry::Pay(sale));
            self.callers.lock().unwrap().push(waiting);
            self.settlements.acquire().await.unwrap().forget();
            *self.brought.lock().unwrap() = Some((shown(&payload), true));
            let scripted = self.script.lock().unwrap().pop_front();
            match scripted {
                Some(outcome) => outcome,
                None => self.ask_books().await,
            }
        }
        .boxed()
    }

    fn presented(&self, payload: &PaymentPayload) -> Option<Presented> {
        let key = Fingerprint::of_request("", "", "", &shown(payload));
        Some(Presented { key: PaymentKey::from_bytes(*key.as_bytes()), has_history: false, is_signed: true })
    }

    fn copy_too_many<'a>(&'a self, _payload: &'a PaymentPayload) -> BoxFuture<'a, PayOutcome> {
        std::future::ready(pending()).boxed()
    }

    /// What is delivered is on record, if the test says that it is this request's.
    fn recall<'a>(
        &'a self,
        payload: &'a PaymentPayload,
        sale: &'a Sale,
    ) -> BoxFuture<'a, Option<PayOutcome>> {
        async move {
            *self.recalled.lock().unwrap() = Some(sale.fingerprint);
            self.outcome_known(payload)?;
            match &self.record.borrow().0 {
                Record::Delivered(answer) if self.recalls.load(Ordering::SeqCst) => {
                    Some(PayOutcome::Answered {
                        payment: PaymentId::from_stored("pay_1"),
                        answer: answer.clone(),
                        receipt: receipt(),
                    })
                }
                _ => None,
            }
        }
        .boxed()
    }

    fn on_record<'a>(&'a self, payload: &'a PaymentPayload) -> BoxFuture<'a, Option<PayOutcome>> {
        async move {
            if !self.outcome_known(payload)? {
                return Some(pending());
            }
            match &self.record.borrow().0 {
                Record::Unpaid => None,
                Record::Running => Some(pending()),
                Record::Credited | Record::Delivered(_) => Some(PayOutcome::Conflict {
                    code: ErrorCode::BodyTooLarge,
                    message: String::new(),
                    receipt: Some(receipt()),
                }),
            }
        }
        .boxed()
    }
}

impl Runs for Double {
    fn draft(&self, _: &Grant) -> (Draft, DraftReader) {
        let name = [self.names.fetch_add(1, Ordering::SeqCst); 16];
        let registered = Box::new(|_| std::future::ready(true).boxed());
        self.answers.draft(name, AnswerKey::new([7; 32]), registered)
    }

    fn reader_max(&self) -> Duration {
        self.answers.limits().reader_max
    }

    fn read_answer<'a>(
        &'a self,
        object: &'a AnswerObject,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<StoredAnswerReader, StoreError>> {
        let AnswerObject { name, key, bytes } = object.clone();
        self.answers.read(StoredObject { name, key: AnswerKey::new(key), bytes }, range).boxed()
    }

    fn finish(&self, _: Grant, answer: StoredAnswer) -> BoxFuture<'_, Result<(), NotBooked>> {
        async move {
            self.check_ledger()?;
            self.note(Entry::Finish(answer.clone()));
            // As the ledger: in part until somebody has got all of it.
            let refundable = answer.refundable || answer.truncated;
            let booked = StoredAnswer { refundable, ..answer };
            self.record.send_modify(|(record, _)| *record = Record::Delivered(booked));
            Ok(())
        }
        .boxed()
    }

    fn credit<'a>(&'a self, _: Grant, reason: &'a str) -> BoxFuture<'a, Result<(), NotBooked>> {
        async move {
            self.check_ledger()?;
            self.note(Entry::Credit(reason.to_owned()));
            self.record.send_modify(|(record, _)| *record = Record::Credited);
            Ok(())
        }
        .boxed()
    }

    fn credit_unbegun<'a>(&'a self, _: Grant, reason: &'a str) -> BoxFuture<'a, Result<(), NotBooked>> {
        async move {
            self.check_ledger()?;
            self.note(Entry::Unbegun(reason.to_owned()));
            self.record.send_modify(|(record, _)| *record = Record::Credited);
            Ok(())
        }
        .boxed()
    }

    fn answer_sent(&self, payment: &PaymentId) {
        self.record.send_modify(|(record, _)| {
            if let Record::Delivered(answer) = record {
                answer.refundable &= !answer.truncated;
            }
        });
        self.note(Entry::Sent(payment.to_string()));
    }
}
