//! The simulator's ledger against the real one on SQLite: random operations, equal answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use quittance_facilitator::engine::Verdict;
use quittance_ledger::{
    ClaimOutcome, DeliveryStart, Ledger, LedgerError, LedgerOptions, NewClaim, Origin, SignFn, SignedBytes,
    Slot, StoredAnswer,
};
use quittance_protocol::{
    Amount, Deadline, ErrorCode, Evidence, Fingerprint, Landing, Network, PaymentId, PaymentKey, RequestId,
};
use quittance_sim::ledger::{Delivery, Ledger as Model, LedgerFault, Owner, Start, State};
use quittance_sim::random::Random;
use serde_json::json;

const CASES: u64 = 6;
const STEPS: usize = 120;
const KEYS: u64 = 4;
const RUNS_MAX: u32 = 3;
const NOW: i64 = 1_800_000_000_000;
const WALLET: &str = "0x00000000000000000000000000000000000000aa";

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(usize),
    Record(usize, bool),
    Again(usize),
    Settle(usize),
    Refuse(usize),
    Expire(usize),
    Start(usize),
    End(usize, u32, bool),
    Reopen,
}

fn random_step(random: &mut Random) -> Step {
    let key = random.below(KEYS) as usize;
    match random.below(22) {
        0..=3 => Step::Claim(key),
        4..=6 => Step::Record(key, random.chance(800)),
        7 => Step::Again(key),
        8..=10 => Step::Settle(key),
        11 if random.chance(300) => Step::Refuse(key),
        12 if random.chance(300) => Step::Expire(key),
        11..=15 => Step::Start(key),
        16..=20 => Step::End(key, random.range(1, 3) as u32, random.chance(400)),
        _ => Step::Reopen,
    }
}

fn id_of(key: usize) -> PaymentId {
    let mut bytes = [0; 16];
    bytes[0] = key as u8;
    PaymentId::from_random(bytes)
}

fn claim_of(key: usize) -> NewClaim {
    let mut nonce = [0; 32];
    nonce[0] = key as u8;
    NewClaim {
        id: id_of(key),
        request_id: RequestId::from_random([key as u8; 16]),
        key: PaymentKey::evm(8453, &[1; 20], &[2; 20], &nonce),
        network: Network::BASE.parse().unwrap(),
        origin: Origin::Gate,
        fingerprint: Fingerprint::of_request("POST", "/v1/images", "", b"{}"),
        signature_digest: [7; 32],
        identifier: None,
        payer: "0x00000000000000000000000000000000000000bb".to_owned(),
        pay_to: "0x00000000000000000000000000000000000000cc".to_owned(),
        asset: "0x00000000000000000000000000000000000000dd".to_owned(),
        amount: Amount::new(13_938),
        service: Amount::new(10_000),
        gas: Amount::new(3_938),
        tariff: Some(1),
        deadline: Deadline::UnixSeconds(1_800_000_600),
        watch_from: 100,
        payload: json!({}),
        resource: "/v1/images".to_owned(),
    }
}

fn landing() -> Landing {
    Landing {
        transaction: "0xabc".to_owned(),
        block: 7,
        block_hash: "0xb".to_owned(),
        block_time: 1,
        cost_native: 1,
        paid_by_us: true,
    }
}

fn refused() -> Verdict {
    Verdict::Refused { code: ErrorCode::InsufficientFunds, reason: "broke".to_owned(), evidence: None }
}

fn expired() -> Evidence {
    Evidence::Expired { block: 1, clock: 2 }
}

fn sign(number: usize, works: bool) -> SignFn {
    Box::new(move |_| match works {
        true => Ok(SignedBytes { raw: vec![1, 2, 3], transaction: format!("tx{number}"), detail: json!({}) }),
        false => Err("not now".to_owned()),
    })
}

/// The model's answer, in the words below.
fn expected(model: &mut Model, me: &mut Owner, number: usize, step: Step) -> String {
    let row = |model: &Model, key: usize| model.by_key(key);
    let verdict = |model: &mut Model, me: Owner, key: usize, verdict: &Verdict| match row(model, key) {
        None => "unknown".to_owned(),
        Some(row) => said(model.verdict(row, verdict, me, 0).map(|()| "ok".to_owned())),
    };
    match step {
        Step::Claim(key) => match model.claim(key, (1, None), *me, 0) {
            Ok(_) => "won".to_owned(),
            Err(row) => format!("exists {}", model.payments[row].state.word()),
        },
        Step::Record(key, works) => match row(model, key) {
            None => "unknown".to_owned(),
            // The real ledger signs last; a signer that fails leaves nothing behind.
            Some(at) if !works && model.payments[at].state == State::Claimed => "not signed".to_owned(),
            Some(at) => recorded(model, at, State::Claimed, *me, number),
        },
        Step::Again(key) => match row(model, key) {
            None => "unknown".to_owned(),
            Some(at) => recorded(model, at, State::Recorded, *me, number),
        },
        Step::Settle(key) => verdict(model, *me, key, &Verdict::Settled(landing())),
        Step::Refuse(key) => verdict(model, *me, key, &refused()),
        Step::Expire(key) => verdict(model, *me, key, &Verdict::Expired(expired())),
        Step::Start(key) => match row(model, key) {
            None => "unknown".to_owned(),
            Some(row) => said(model.start_delivery(row, RUNS_MAX, *me).map(|start| match start {
                Start::Run(run) => format!("run {run}"),
                Start::Running => "running".to_owned(),
                Start::Delivered => "delivered".to_owned(),
                Start::Exhausted(runs) => format!("exhausted {runs}"),
            })),
        },
        Step::End(key, run, delivered) => match row(model, key) {
            None => "unknown".to_owned(),
            Some(row) => said(model.end_run(row, run, delivered, *me).map(|()| "ok".to_owned())),
        },
        Step::Reopen => {
            *me = model.enter(0, u64::MAX, false);
            format!("unfinished {}", model.unfinished(*me).len())
        }
    }
}

fn recorded(model: &mut Model, row: usize, from: State, me: Owner, number: usize) -> String {
    let transaction = number as u32;
    said(
        model
            .record(row, from, true, me, |_| (transaction, 1))
            .map(|at| format!("nonce {}", model.attempts[at].nonce.unwrap())),
    )
}

fn said(result: Result<String, LedgerFault>) -> String {
    match result {
        Ok(word) => word,
        Err(LedgerFault::Transition(from)) => format!("from {}", from.word()),
        Err(LedgerFault::Delivery(from)) => format!("delivery {}", delivery(from)),
        Err(LedgerFault::NotOwner) => "not owner".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::None => "none",
        Delivery::Running => "running",
        Delivery::Delivered => "delivered",
        Delivery::Credited => "credited",
    }
}

fn word<T>(result: Result<T, LedgerError>, ok: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => ok(value),
        Err(LedgerError::UnknownPayment(_)) => "unknown".to_owned(),
        Err(LedgerError::Transition { from, .. }) => format!("from {from}"),
        Err(LedgerError::DeliveryTransition { from, .. }) => format!("delivery {from}"),
        Err(LedgerError::NotOwner { .. }) => "not owner".to_owned(),
        Err(LedgerError::Sign(_)) => "not signed".to_owned(),
        Err(other) => format!("unexpected: {other}"),
    }
}

async fn open(url: &str) -> Ledger {
    Ledger::open(url, LedgerOptions::new("one"), NOW).await.unwrap()
}

async fn apply(ledger: &Ledger, number: usize, step: Step) -> String {
    let ok = |_| "ok".to_owned();
    match step {
        Step::Claim(key) => word(ledger.claim(claim_of(key), NOW).await, |outcome| match outcome {
            ClaimOutcome::Won(_) => "won".to_owned(),
            ClaimOutcome::Exists(payment) => format!("exists {}", payment.state),
        }),
        Step::Record(key, works) => {
            let recorded = ledger.record_with_nonce(&id_of(key), WALLET, sign(number, works), NOW).await;
            word(recorded, |recorded| format!("nonce {}", recorded.nonce().unwrap()))
        }
        Step::Again(key) => {
            let slot = Slot::Fresh { wallet: WALLET.to_owned() };
            let recorded = ledger.record_again(&[id_of(key)], slot, sign(number, true), NOW).await;
            word(recorded, |recorded| format!("nonce {}", recorded.nonce().unwrap()))
        }
        Step::Settle(key) => word(ledger.settle(&id_of(key), &landing(), NOW).await, ok),
        Step::Refuse(key) => {
            word(ledger.refuse(&id_of(key), ErrorCode::InsufficientFunds, "broke", None, NOW).await, ok)
        }
        Step::Expire(key) => word(ledger.expire(&id_of(key), &expired(), NOW).await, ok),
        Step::Start(key) => {
            word(ledger.start_delivery(&id_of(key), RUNS_MAX, NOW).await, |start| match start {
                DeliveryStart::Run { run } => format!("run {run}"),
                DeliveryStart::Running { .. } => "running".to_owned(),
                DeliveryStart::Delivered(_) => "delivered".to_owned(),
                DeliveryStart::Exhausted { runs } => format!("exhausted {runs}"),
            })
        }
        Step::End(key, run, true) => {
            let answer = StoredAnswer {
                status: 200,
                headers: Vec::new(),
                body: b"png".to_vec(),
                truncated: false,
                refundable: false,
                usage: None,
            };
            word(ledger.finish_delivery(&id_of(key), run, &answer, NOW).await, |()| "ok".to_owned())
        }
        Step::End(key, run, false) => {
            word(ledger.credit_delivery(&id_of(key), run, "500", NOW).await, |()| "ok".to_owned())
        }
        Step::Reopen => unreachable!("needs a new ledger"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_ledger_agrees_with_the_simulators() {
    for seed in 0..CASES {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let mut random = Random::new(seed);
        let mut model = Model::default();
        let mut me = model.enter(0, u64::MAX, false);
        let mut ledger = open(&url).await;
        ledger.ensure_wallet(&Network::BASE.parse().unwrap(), WALLET, 0, NOW).await.unwrap();
        for number in 0..STEPS {
            let step = random_step(&mut random);
            let expected = expected(&mut model, &mut me, number, step);
            let got = if matches!(step, Step::Reopen) {
                ledger.close().await;
                ledger = open(&url).await;
                format!("unfinished {}", ledger.unfinished().await.unwrap().len())
            } else {
                apply(&ledger, number, step).await
            };
            assert_eq!(got, expected, "seed {seed}, step {number}: {step:?}");
        }
        for payment in &model.payments {
            let stored = ledger.payment(&id_of(payment.key)).await.unwrap().unwrap();
            assert_eq!(stored.state.to_string(), payment.state.word());
            assert_eq!(stored.delivery.to_string(), delivery(payment.delivery));
            assert_eq!(stored.runs, payment.runs);
            let attempts = ledger.recorded_attempts(&id_of(payment.key)).await.unwrap().len();
            assert_eq!(attempts, model.attempts_of(model.by_key(payment.key).unwrap()).len());
        }
        assert!(model.payments.iter().any(|p| p.state.is_final()), "the sequence was too tame");
    }
}
