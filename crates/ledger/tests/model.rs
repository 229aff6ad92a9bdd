//! Random sequences of operations: SQLite, PostgreSQL and a model in memory agree.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::*;
use quittance_ledger::{
    ClaimOutcome, DeliveryStart, DeliveryState, Ledger, LedgerError, MerchantAnswer, Origin, PaymentState,
};
use quittance_protocol::{ErrorCode, Evidence};

const CASES: u64 = 8;
const STEPS: usize = 100;
const KEYS: u64 = 5;
const RUNS_MAX: u32 = 3;

/// SplitMix64: the whole sequence follows from the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u64),
    RecordNonce(u64, bool),
    Record(u64),
    Settle(u64),
    Refuse(u64),
    Expire(u64),
    Start(u64),
    Finish(u64, u32),
    Credit(u64, u32),
    Sent(u64),
    Merchant(u64),
    Raise(u64),
    Reopen,
}

fn random_step(random: &mut Random) -> Step {
    let key = random.below(KEYS);
    match random.below(26) {
        0..=3 => Step::Claim(key),
        4..=6 => Step::RecordNonce(key, random.below(4) > 0),
        7 => Step::Record(key),
        8..=10 => Step::Settle(key),
        11 if random.below(3) == 0 => Step::Refuse(key),
        12 if random.below(3) == 0 => Step::Expire(key),
        11..=16 => Step::Start(key),
        17..=18 => Step::Finish(key, random.below(4) as u32),
        19..=21 => Step::Credit(key, random.below(4) as u32),
        22 => Step::Sent(key),
        23 => Step::Merchant(key),
        24 => Step::Raise(random.below(8)),
        _ => Step::Reopen,
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    state: PaymentState,
    delivery: DeliveryState,
    runs: u32,
    attempts: usize,
    sent: bool,
    told: bool,
}

/// What the ledger should do, in as few words as possible.
#[derive(Default)]
struct Model {
    payments: BTreeMap<u64, Known>,
    next_nonce: u64,
}

/// The last key belongs to a merchant, the others to the gate.
fn is_gate(key: u64) -> bool {
    key + 1 < KEYS
}

fn claim_of(key: u64) -> quittance_ledger::NewClaim {
    if is_gate(key) { new_claim(key, 0) } else { merchant_claim(key) }
}

impl Model {
    fn apply(&mut self, step: Step) -> String {
        use DeliveryState as D;
        use PaymentState as S;
        let unknown = "unknown".to_owned();
        match step {
            Step::Raise(to) => {
                self.next_nonce = self.next_nonce.max(to);
                format!("next {}", self.next_nonce)
            }
            Step::Reopen => {
                for known in self.payments.values_mut().filter(|k| k.delivery == D::Running) {
                    known.delivery = D::Credited;
                }
                let open = self.payments.values().filter(|k| !k.state.is_final()).count();
                format!("unfinished {open}")
            }
            Step::Claim(key) => match self.payments.get(&key) {
                Some(known) => format!("exists {}", known.state),
                None => {
                    let (state, delivery) = (S::Claimed, D::None);
                    let known = Known { state, delivery, runs: 0, attempts: 0, sent: false, told: false };
                    self.payments.insert(key, known);
                    "won".to_owned()
                }
            },
            Step::RecordNonce(key, signs) => {
                let nonce = self.next_nonce;
                let Some(known) = self.payments.get_mut(&key) else { return unknown };
                match (known.state, signs) {
                    (S::Claimed, false) => "not signed".to_owned(),
                    (S::Claimed, true) => {
                        (known.state, known.attempts) = (S::Recorded, 1);
                        self.next_nonce += 1;
                        format!("nonce {nonce}")
                    }
                    (from, _) => format!("from {from}"),
                }
            }
            Step::Record(key) => self.verdict(key, S::Recorded),
            Step::Settle(key) => self.verdict(key, S::Settled),
            Step::Refuse(key) => self.verdict(key, S::Refused),
            Step::Expire(key) => self.verdict(key, S::Expired),
            Step::Start(key) => {
                let Some(known) = self.payments.get_mut(&key) else { return unknown };
                match (known.state, known.delivery) {
                    _ if !is_gate(key) => "origin".to_owned(),
                    (S::Settled, D::Running) => "running".to_owned(),
                    (S::Settled, D::Delivered) => "delivered".to_owned(),
                    (S::Settled, _) if known.runs >= RUNS_MAX => format!("exhausted {}", known.runs),
                    (S::Settled, _) => {
                        (known.delivery, known.runs) = (D::Running, known.runs + 1);
                        format!("run {}", known.runs)
                    }
                    (from, _) => format!("from {from}"),
                }
            }
            Step::Finish(key, run) => self.end_run(key, run, D::Delivered),
            Step::Credit(key, run) => self.end_run(key, run, D::Credited),
            Step::Sent(key) => {
                let Some(known) = self.payments.get_mut(&key) else { return unknown };
                known.sent |= known.delivery == D::Delivered;
                if known.sent { "ok".to_owned() } else { format!("delivery {}", known.delivery) }
            }
            Step::Merchant(key) => {
                let Some(known) = self.payments.get_mut(&key) else { return unknown };
                match known.state {
                    _ if is_gate(key) => "origin".to_owned(),
                    S::Settled if known.told => "again".to_owned(),
                    S::Settled => {
                        known.told = true;
                        "first".to_owned()
                    }
                    from => format!("from {from}"),
                }
            }
        }
    }

    fn verdict(&mut self, key: u64, to: PaymentState) -> String {
        use PaymentState as S;
        let Some(known) = self.payments.get_mut(&key) else { return "unknown".to_owned() };
        match (known.state, to) {
            (S::Claimed, _) | (S::Recorded, S::Settled | S::Refused | S::Expired) => {
                known.state = to;
                known.attempts += usize::from(to == S::Recorded);
                "ok".to_owned()
            }
            (from, _) => format!("from {from}"),
        }
    }

    fn end_run(&mut self, key: u64, run: u32, to: DeliveryState) -> String {
        let Some(known) = self.payments.get_mut(&key) else { return "unknown".to_owned() };
        if known.delivery == DeliveryState::Running && known.runs == run {
            known.delivery = to;
            return "ok".to_owned();
        }
        format!("delivery {}", known.delivery)
    }
}

fn word<T>(result: Result<T, LedgerError>, ok: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => ok(value),
        Err(LedgerError::UnknownPayment(_)) => "unknown".to_owned(),
        Err(LedgerError::Transition { from, .. }) => format!("from {from}"),
        Err(LedgerError::DeliveryTransition { from, .. }) => format!("delivery {from}"),
        Err(LedgerError::WrongOrigin { .. }) => "origin".to_owned(),
        Err(LedgerError::Sign(_)) => "not signed".to_owned(),
        Err(other) => format!("unexpected: {other}"),
    }
}

fn ok<T>(_: T) -> String {
    "ok".to_owned()
}

async fn apply(store: &Store, slot: &mut Option<Ledger>, number: usize, step: Step) -> String {
    if matches!(step, Step::Reopen) {
        if let Some(ledger) = slot.take() {
            ledger.close().await;
        }
        let ledger = store.open().await;
        let open = ledger.unfinished().await.unwrap().len();
        *slot = Some(ledger);
        return format!("unfinished {open}");
    }
    let ledger = slot.as_ref().unwrap();
    let id = |key| claim_of(key).id;
    let hash = format!("tx{number}");
    match step {
        Step::Claim(key) => word(ledger.claim(claim_of(key), NOW).await, |outcome| match outcome {
            ClaimOutcome::Won(_) => "won".to_owned(),
            ClaimOutcome::Exists(payment) => format!("exists {}", payment.state),
        }),
        Step::RecordNonce(key, signs) => {
            let sign = if signs { signer(hash) } else { broken_signer() };
            let recorded = ledger.record_with_nonce(&id(key), WALLET, sign, NOW).await;
            word(recorded, |recorded| format!("nonce {}", recorded.nonce().unwrap()))
        }
        Step::Record(key) => word(ledger.record(&id(key), signed(hash), NOW).await, ok),
        Step::Settle(key) => word(ledger.settle(&id(key), &landing(&hash), NOW).await, ok),
        Step::Refuse(key) => {
            word(ledger.refuse(&id(key), ErrorCode::InsufficientFunds, "broke", None, NOW).await, ok)
        }
        Step::Expire(key) => {
            word(ledger.expire(&id(key), &Evidence::Expired { block: 1, clock: 2 }, NOW).await, ok)
        }
        Step::Start(key) => word(ledger.start_delivery(&id(key), RUNS_MAX, NOW).await, |start| match start {
            DeliveryStart::Run { run } => format!("run {run}"),
            DeliveryStart::Running { .. } => "running".to_owned(),
            DeliveryStart::Delivered(_) => "delivered".to_owned(),
            DeliveryStart::Exhausted { runs } => format!("exhausted {runs}"),
        }),
        Step::Finish(key, run) => word(ledger.finish_delivery(&id(key), run, &answer(b"png"), NOW).await, ok),
        Step::Credit(key, run) => word(ledger.credit_delivery(&id(key), run, "500", NOW).await, ok),
        Step::Sent(key) => word(ledger.mark_answer_sent(&id(key), NOW).await, ok),
        Step::Merchant(key) => word(ledger.answer_merchant(&id(key), NOW).await, |answer| match answer {
            MerchantAnswer::First => "first".to_owned(),
            MerchantAnswer::Again { .. } => "again".to_owned(),
        }),
        Step::Raise(to) => {
            word(ledger.ensure_wallet(&base(), WALLET, to, NOW).await, |next| format!("next {next}"))
        }
        Step::Reopen => unreachable!("handled above"),
    }
}

async fn check_states(ledger: &Ledger, model: &Model, context: &str) {
    for key in 0..KEYS {
        let id = claim_of(key).id;
        let stored = ledger.payment(&id).await.unwrap();
        let attempts = ledger.recorded_attempts(&id).await.unwrap().len();
        let found = stored.map(|payment| {
            assert_eq!(payment.origin == Origin::Gate, is_gate(key));
            Known {
                state: payment.state,
                delivery: payment.delivery,
                runs: payment.runs,
                attempts,
                sent: payment.first_answer_at_ms.is_some(),
                told: payment.merchant_answer_at_ms.is_some(),
            }
        });
        assert_eq!(found.as_ref(), model.payments.get(&key), "{context}, key {key}");
    }
}

async fn compare(store: Store, seed: u64) {
    let mut random = Random(seed);
    let mut model = Model::default();
    let mut ledger = Some(store.open().await);
    ledger.as_ref().unwrap().ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
    for number in 0..STEPS {
        let step = random_step(&mut random);
        let expected = model.apply(step);
        let context = format!("seed {seed}, step {number}: {step:?}");
        assert_eq!(apply(&store, &mut ledger, number, step).await, expected, "{context}");
        if number % 10 == 9 {
            check_states(ledger.as_ref().unwrap(), &model, &context).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_agrees_with_the_model() {
    for seed in 0..CASES {
        compare(Store::sqlite(), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_agrees_with_the_model() {
    for seed in 0..CASES {
        let Some(store) = Store::postgres().await else { return };
        compare(store, seed).await;
    }
}
