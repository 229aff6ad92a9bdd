//! Random sequences of operations: the model and the databases give the same
//! answers and end in the same state. SQLite has one instance that comes and
//! goes; on PostgreSQL three share a ledger, sleep, lose leases and take over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "model/books.rs"]
mod books;
mod common;
#[path = "model/merchants.rs"]
mod merchants;
#[path = "model/show.rs"]
mod show;

use std::sync::{Arc, Mutex};

use books::{books, usage_of};
use common::*;
use merchants::merchant;
use quittance_ledger::model::{ModelDatabase, ModelLedger};
use quittance_ledger::{
    Access, AccountLimits, AccountRent, AnswerObject, AttemptId, Attempts as _, Balance, Books, CheckTerms,
    CostEntry, DeliveryStart, Exposed, ExposureLimits, FeePolicy, FinishedPolicy, Instances, JournalLine,
    Ledger, LedgerError, LedgerOptions, MerchantFee, NewAttempt, NewCheck, NewCheckLease, NewClaim, Origin,
    Recorded, RepeatPolicy, Reserve, Retention, RunEnd, SignFn, Slot, Store as Port, StoredAnswer,
};
use quittance_protocol::{
    Amount, DurableAttempt as _, ErrorCode, Evidence, Fingerprint, IdentifierHash, PaymentId, SendOutcome,
};
use serde_json::{Value, json};
use show::{all, said, show, show_known, show_outcome, show_recorded};

const CASES: u64 = 12;
const STEPS: u64 = 200;
const KEYS: u64 = 9;
const LEASE_MS: i64 = 1_000;
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

/// Attempts by the order in which they were made: PostgreSQL's numbers have gaps.
type Attempts = Arc<Mutex<Vec<AttemptId>>>;

/// One step's choices, drawn before anything happens so that both sides make the same.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u64,
    key: u64,
    number: u64,
    pick: u64,
    now_ms: i64,
}

struct Pair {
    real: Ledger,
    model: ModelLedger,
}

/// What a claim of this step wants beside its key.
fn claim_in(step: Step) -> NewClaim {
    let mut new = claim_of(step.key, step.pick % 2);
    new.signature_digest = [(step.pick % 3) as u8; 32];
    new.idempotency = step
        .pick
        .is_multiple_of(7)
        .then(|| IdentifierHash::of_idempotency_key(["a", "b"][(step.pick % 2) as usize]));
    new.fingerprint = Fingerprint::of_request("POST", "/", "", &[(step.pick / 11 % 2) as u8]);
    if new.origin != Origin::Gate && !step.pick.is_multiple_of(3) {
        let policy = FeePolicy::ALL[(step.pick % 3) as usize];
        new.fee = Some(MerchantFee { policy, carried: Amount::new(step.pick % 50) });
    }
    if new.origin == Origin::Gate && step.pick % 5 < 3 {
        new.repeats = Some(RepeatPolicy {
            runs: at_most(RUNS_MAX),
            waiting_since_ms: step.now_ms - 300,
            aliases_max: 2,
        });
    }
    new
}

fn claim_of(key: u64, copy: u64) -> NewClaim {
    let mut new = new_claim(key, copy);
    new.identifier = key.is_multiple_of(3).then(|| IdentifierHash::of("same"));
    if key + 1 == KEYS {
        new.origin = Origin::Merchant("shop".to_owned());
    }
    new
}

/// Ceilings low enough to be met, in one currency or the other.
fn wanted(pick: u64) -> Reserve {
    let both = |usdc: u64, native: u64| Exposed { usdc: Amount::new(usdc), native };
    Reserve {
        source: if pick.is_multiple_of(3) { "account".to_owned() } else { "other".to_owned() },
        balance: (!pick.is_multiple_of(4))
            .then(|| Balance { amount: Amount::new(13_938 * (1 + pick % 4)), at: 99 + pick % 5 }),
        hold_until_ms: (!pick.is_multiple_of(5)).then_some(NOW + 20_000),
        bound: both(10 + pick % 30, 5 + pick % 40),
        by_code: pick.is_multiple_of(7),
        account: pick.is_multiple_of(2).then_some(AccountRent {
            native: 5 + pick % 40,
            limits: AccountLimits { day: 90 + pick % 90, payer_day: 50 + pick % 50 },
        }),
        limits: ExposureLimits {
            payer_in_flight: both(90, 100),
            network_in_flight: both(120, 110),
            payer_unearned_in_flight: 2,
            payer_day: Amount::new(100 + pick % 3_000),
            soft_day: both(120, 130),
            probes_day: both(pick % 40, 30),
            spent_day: Amount::new(1_000_000),
            history_bps: if pick.is_multiple_of(2) { 100 } else { 0 },
            by_code_in_flight: 1,
        },
    }
}

fn hash_of(recorded: &Recorded) -> String {
    recorded.transaction().to_owned()
}

/// The step on one side, in words that are equal when the answers are.
#[allow(clippy::too_many_lines, reason = "one arm an operation")]
async fn apply(store: &dyn Port, attempts: &Attempts, step: Step) -> String {
    let Step { kind, key, number, pick, now_ms } = step;
    let id = claim_of(key, 0).id;
    match kind {
        0 => said(store.claim(claim_in(step), now_ms).await, show_outcome),
        1..=3 => said(store.claim_within(claim_in(step), wanted(pick), now_ms).await, show_outcome),
        46 if pick % 3 == 0 => {
            said(store.earlier(&claim_in(step)).await, |found| all(found.into_iter().collect()))
        }
        46 => said(store.claim_alias(claim_in(step), now_ms).await, |outcome| {
            outcome.map_or_else(|| "no alias".to_owned(), show_outcome)
        }),
        4..=9 => record(store, attempts, &id, step).await,
        10..=13 => {
            let mut landing = landing(&format!("tx{}", pick % 50));
            landing.block = 100 + pick % 5;
            match kind {
                13 => said(store.move_landing(&id, &landing, now_ms).await, |done| done.to_string()),
                12 if pick % 4 == 0 => said(store.settle_owed(&id, &landing, now_ms).await, |p| show(&p)),
                _ => said(store.settle(&id, &landing, now_ms).await, |p| show(&p)),
            }
        }
        14 if pick % 3 == 0 => {
            let evidence = Evidence::Canceled(landing("cancel"));
            let evidence = (pick % 2 == 0).then_some(&evidence);
            said(store.refuse(&id, ErrorCode::InsufficientFunds, "broke", evidence, now_ms).await, |p| {
                show(&p)
            })
        }
        14 => {
            said(store.expire(&id, &Evidence::Expired { block: pick, clock: 2 }, now_ms).await, |p| show(&p))
        }
        15..=19 => said(store.start_delivery(&id, at_most(RUNS_MAX), now_ms).await, |start| match start {
            DeliveryStart::Delivered(meta) => format!("{meta:?}"),
            other => format!("{other:?}"),
        }),
        20 => {
            let long = vec![7; if pick % 4 == 0 { 2_000 } else { 20 }];
            let run = (pick % 4) as u32;
            if pick % 3 == 0 {
                let object = AnswerObject { name: object_name(number % 8), key: [3; 32], bytes: pick };
                let answer = StoredAnswer { object: Some(object), ..answer(b"") };
                return said(store.finish_delivery(&id, run, &answer, now_ms).await, |()| "ok".to_owned());
            }
            let usage = (pick % 2 == 0).then(|| usage_of(number, pick));
            let answer = StoredAnswer { usage, ..answer(&long) };
            said(store.finish_delivery(&id, run, &answer, now_ms).await, |()| "ok".to_owned())
        }
        21..=22 => {
            let end =
                [RunEnd::Interrupted, RunEnd::Failed, RunEnd::Failed, RunEnd::Crashed][pick as usize / 4 % 4];
            said(store.credit_delivery(&id, (pick % 4) as u32, end, "500", now_ms).await, |()| {
                "ok".to_owned()
            })
        }
        23 => said(store.mark_answer_sent(&id, now_ms).await, |()| "ok".to_owned()),
        47..=56 => merchant(store, step).await,
        24 => check(store, step).await,
        44 => said(store.burnt_until(&base(), &claim_of(0, 0).payer, now_ms).await, |until| {
            format!("{until:?}")
        }),
        25 => said(store.note_pending_answer(&id, now_ms).await, |()| "ok".to_owned()),
        26 => {
            // Now and then of an attempt, so that its payment may be signed again.
            let made = store.recorded_attempts(&id).await.ok().and_then(|all| all.last().map(hash_of));
            let made = made.filter(|_| pick % 4 != 0);
            let entry = CostEntry {
                network: base(),
                transaction: made.unwrap_or_else(|| format!("tx{}", pick % 20)),
                payment: (pick % 3 > 0).then(|| id.clone()),
                native: if pick % 97 == 0 { u128::MAX } else { u128::from(number % 40) },
                usdc: (pick % 4 > 0).then(|| Amount::new(pick)),
                earned: pick % 2 == 0,
            };
            said(store.book_cost(entry, now_ms).await, |share| format!("{share:?}"))
        }
        27 => {
            let detail = json!({"cost": number});
            said(store.put_tariff(&base(), Amount::new(pick), detail, now_ms).await, |number| {
                number.to_string()
            })
        }
        28 => said(show::raised(store, pick, now_ms).await, |next| next.to_string()),
        29 => said(store.finalize(vec![(id, landing("final"))], now_ms).await, |count| count.to_string()),
        30 if pick % 3 == 0 => {
            let evidence = Evidence::Expired { block: number, clock: 1 };
            said(store.book_reorged_loss(&id, &evidence, now_ms).await, |done| done.to_string())
        }
        30..=32 => said(store.heartbeat(now_ms).await, |()| "ok".to_owned()),
        33..=34 => said(store.adopt_orphans(now_ms).await, all),
        35 => said(store.rejoin(now_ms).await, |()| "ok".to_owned()),
        57 => said(store.reserve(&id, wanted(pick), now_ms).await, |()| "ok".to_owned()),
        58 if pick.is_multiple_of(2) => {
            said(store.return_cost(&id, now_ms).await, |returned| returned.to_string())
        }
        58 => said(store.release(&id, now_ms).await, |freed| freed.to_string()),
        59 => said(store.unaccounted(&base()).await, all),
        60 => said(store.exposure(&base(), now_ms).await, |sums| format!("{sums:?}")),
        _ => read(store, attempts, step).await,
    }
}

/// What foreign servers ask about before it is claimed.
async fn check(store: &dyn Port, step: Step) -> String {
    let new = claim_in(step);
    let check = NewCheck {
        key: new.key,
        network: new.network,
        payer: new.payer,
        amount: new.amount,
        fingerprint: new.fingerprint,
        signature_digest: new.signature_digest,
        merchant: new.fee.map(|_| "shop".to_owned()),
    };
    let terms = CheckTerms { lease_ms: 300, leases_max: 2 };
    said(store.lease_new_check(check, wanted(step.pick), terms, step.now_ms).await, |lease| match lease {
        NewCheckLease::Known(payment) => show(&payment),
        NewCheckLease::Leased => "leased".to_owned(),
        NewCheckLease::Other => "another's".to_owned(),
    })
}

async fn record(store: &dyn Port, attempts: &Attempts, id: &PaymentId, step: Step) -> String {
    let Step { kind, number, pick, now_ms, .. } = step;
    // Now and then a hash that exists already.
    let label = if pick % 13 == 0 { "same".to_owned() } else { format!("bytes{number}") };
    let sign: SignFn = if pick % 5 == 0 { broken_signer() } else { signer(label.clone()) };
    let known = attempts.lock().unwrap().clone();
    let old = known.get((pick % 7) as usize).copied();
    let last = known.last().copied().filter(|_| pick % 3 > 0).or(old);
    let wallet = if pick % 17 == 0 { "0xunknown" } else { show::wallet(pick) };
    // What its caller knows: the newest, none at all, or what was the newest once.
    let newest = store.recorded_attempts(id).await.ok().and_then(|all| all.last().map(Recorded::attempt));
    let newest = if pick % 4 == 3 { old } else { newest.or(old) };
    let of_it: Vec<_> = newest.map(|newest| (id.clone(), newest)).into_iter().collect();
    let new = match (kind, old) {
        (4..=6, _) => NewAttempt::numbered(id, wallet, sign),
        (7, _) => NewAttempt::unnumbered(id, signed(label)),
        (8, Some(_)) if pick % 2 == 0 => NewAttempt::again(&[], Slot::Same { attempt: last.unwrap() }, sign),
        (8, Some(old)) => NewAttempt::again(&of_it, Slot::Same { attempt: newest.unwrap_or(old) }, sign),
        (8, None) => NewAttempt::again(&[], Slot::Unnumbered, sign),
        (_, Some(attempt)) if pick % 2 == 0 => {
            let outcome = SendOutcome::Refused { reason: "no\0 funds".to_owned() };
            return said(store.journal_send(attempt, &outcome, now_ms).await, |()| "ok".to_owned());
        }
        _ => NewAttempt::again(&of_it, Slot::Fresh { wallet: wallet.to_owned() }, sign),
    };
    let cost = if pick % 3 == 0 { u128::from(pick % 60) } else { 0 };
    let new = if pick % 4 < 2 { new.unwedging(50 + pick % 40) } else { new };
    let result = store.record(new.costing(cost), now_ms).await;
    if let Err(LedgerError::NotReplaceable { newest }) = &result {
        return format!("not replaceable, newest {}", show::place(attempts, *newest));
    }
    if let Err(LedgerError::AttemptBeside { payment, newest }) = &result {
        return format!("beside {} {}", show::place(attempts, *newest), show(payment));
    }
    if let Ok(recorded) = &result {
        attempts.lock().unwrap().push(recorded.attempt());
    }
    said(result, |recorded| show_recorded(attempts, &recorded))
}

async fn read(store: &dyn Port, attempts: &Attempts, step: Step) -> String {
    let Step { kind, pick, now_ms, .. } = step;
    let since = now_ms - 500;
    let recorded = |list: Vec<Recorded>| {
        list.iter().map(|one| show_recorded(attempts, one)).collect::<Vec<_>>().join("\n")
    };
    match kind {
        36 => said(store.unfinished().await, all),
        37 => said(store.running().await, |runs| format!("{runs:?}")),
        38 => said(store.unfinal(&base(), 100..=100 + pick % 5).await, all),
        39 if pick % 4 > 0 => books::replaced(store, pick, now_ms).await,
        39 => said(store.attempts_from_nonce(&base(), show::wallet(pick), pick % 6).await, recorded),
        40 => said(store.known(&claim_of(step.key, 0).key).await, |known| {
            known.map_or_else(String::new, show_known)
        }),
        41 => said(store.has_unfinal(&base()).await, |any| any.to_string()),
        42 => said(store.exposure(&base(), now_ms).await, |sums| format!("{sums:?}")),
        43 => {
            let payer = claim_of(0, 0).payer;
            said(store.room(&base(), &payer, wanted(pick), now_ms).await, |()| "room".to_owned())
        }
        61 => said(store.open_work(now_ms).await, |work| {
            format!("{:?} {:?} {}", work.networks, work.wallets, all(work.unfinished))
        }),
        62 => {
            let transactions: Vec<String> = (0..50).map(|at| format!("tx{at}")).collect();
            let mut transactions = transactions;
            transactions.extend((0..STEPS).map(|at| format!("hash-bytes{at}")));
            said(store.unexplained(&base(), &transactions).await, |rest| format!("{rest:?}"))
        }
        _ => said(store.tariffs_since(&base(), since).await, |rows| format!("{rows:?}")),
    }
}

/// What an old attempt's number looks like in the journal.
fn renumbered(attempts: &Attempts, lines: Vec<JournalLine>) -> Vec<String> {
    let number = |value: &Value| {
        let id = value.as_i64()?;
        attempts.lock().unwrap().iter().position(|known| known.get() == id)
    };
    let show = |line: JournalLine| {
        let mut detail = line.detail;
        for field in ["attempt", "replaces"] {
            if let Some(place) = detail.get(field).and_then(number) {
                detail[field] = json!(place);
            }
        }
        format!("{} {} {} {detail}", line.at_ms, line.instance, line.event)
    };
    lines.into_iter().map(show).collect()
}

fn object_name(number: u64) -> String {
    format!("{number:032}")
}

/// Steps of answers that lie in objects, and of those that are dropped.
async fn objects(store: &dyn Port, step: Step) -> String {
    let Step { kind, key, number, pick, now_ms } = step;
    let id = claim_of(key, 0).id;
    let name = object_name(number % 8);
    match kind {
        45 => {
            let policy = Retention { answers_ms: 300 };
            said(store.prune(policy, now_ms).await, |count| count.to_string())
        }
        71..=74 => {
            // Mostly so late that deadlines are long ago.
            let keep_ms = if pick % 4 == 0 { 300 } else { -700_000 };
            let policy = FinishedPolicy { keep_ms, lease_ms: 300 };
            said(store.prune_finished(policy, None, now_ms).await, |pruned| format!("{pruned:?}"))
        }
        63..=65 => {
            let run = (pick % 4) as u32;
            let begun = store.begin_answer_object(&id, run, &name, [3; 32], now_ms).await;
            said(begun, |()| "ok".to_owned())
        }
        66 => {
            // Hours later: an object is deleted twice before its row goes.
            let later_ms = if pick % 2 == 0 { now_ms } else { now_ms + 4_000_000 };
            said(store.leftover_objects(later_ms).await, |left| format!("{left:?}"))
        }
        67 => said(store.drop_answer_object(&name, now_ms).await, |done| done.to_string()),
        68 => {
            let later_ms = if pick % 2 == 0 { now_ms } else { now_ms + 4_000_000 };
            said(store.note_object_deleted(&name, later_ms).await, |()| "ok".to_owned())
        }
        69 => said(store.erase_answer(&id, now_ms).await, |done| done.to_string()),
        _ => said(store.kept_object_bytes().await, |bytes| bytes.to_string()),
    }
}

/// Everything that is stored about every payment.
async fn compare_states(pair: &Pair, sides: &[Attempts; 2], context: &str) {
    for key in 0..KEYS {
        for copy in 0..2 {
            let id = claim_of(key, copy).id;
            let (real, model): (&dyn Port, &dyn Port) = (&pair.real, &pair.model);
            let mut found = Vec::new();
            for (store, attempts) in [(real, &sides[0]), (model, &sides[1])] {
                let payment = store.payment(&id).await.unwrap().as_ref().map(show);
                let recorded = store.recorded_attempts(&id).await.unwrap();
                let recorded: Vec<_> = recorded.iter().map(|one| show_recorded(attempts, one)).collect();
                let answer = store.answer(&id).await.unwrap();
                let answer = answer.map(|answer| (format!("{answer:?}"), answer.headers, answer.body));
                let aliases = store.aliases(&id).await.unwrap();
                let known = store.known(&claim_of(key, copy).key).await.unwrap().map(show_known);
                found.push((payment, recorded, answer, aliases, known));
            }
            assert_eq!(found[0], found[1], "{context}, key {key}, copy {copy}");
            let (real, model) = (entries(real, &sides[0], &id).await, entries(model, &sides[1], &id).await);
            assert_eq!(real, model, "{context}, journal of key {key}, copy {copy}");
        }
    }
}

/// What stands in the ledger about one payment.
async fn entries(store: &dyn Books, attempts: &Attempts, id: &PaymentId) -> String {
    let journal = renumbered(attempts, store.journal(id).await.unwrap());
    let (costs, usage) = (store.costs(id).await.unwrap(), store.usage(id).await.unwrap());
    format!("{journal:?} {costs:?} {usage:?}")
}

struct World {
    store: Store,
    database: ModelDatabase,
    pairs: Vec<Option<Pair>>,
}

impl World {
    async fn open(&mut self, at: usize, now_ms: i64) {
        if let Some(pair) = self.pairs[at].take() {
            pair.real.close().await;
            Access::close(&pair.model).await;
            let after = Instances::ping(&pair.model).await;
            assert!(matches!(after, Err(LedgerError::Closed)));
        }
        let options = LedgerOptions {
            lease_ms: LEASE_MS,
            answer_body_bytes_max: 1_000,
            connections_max: 2,
            ..LedgerOptions::new(format!("instance-{at}"))
        };
        let real = Ledger::open(&self.store.url, options.clone(), now_ms).await.unwrap();
        let model = self.database.open(&options, now_ms).unwrap();
        assert_eq!(real.lease_ms(), model.lease_ms());
        self.pairs[at] = Some(Pair { real, model });
    }
}

async fn compare(store: Store, database: ModelDatabase, instances: usize, seed: u64) {
    let mut random = Random(seed);
    let mut world = World { store, database, pairs: (0..instances).map(|_| None).collect() };
    let mut now_ms = NOW;
    for at in 0..instances {
        world.open(at, now_ms).await;
    }
    let first = world.pairs[0].as_ref().unwrap();
    first.real.ensure_wallet(&base(), WALLET, 0, now_ms).await.unwrap();
    first.model.ensure_wallet(&base(), WALLET, 0, now_ms).await.unwrap();
    let sides: [Attempts; 2] = Default::default();
    for number in 0..STEPS {
        now_ms += [0, 1, 7, 150, 600][random.below(5) as usize];
        let at = random.below(instances as u64) as usize;
        if random.below(40) == 0 {
            world.open(at, now_ms).await;
        }
        let (kind, key, pick) = (random.below(75), random.below(KEYS), random.below(10_000));
        let step = Step { kind, key, number, pick, now_ms };
        let context = format!("seed {seed}, instance {at}, {step:?}");
        let pair = world.pairs[at].as_ref().unwrap();
        if kind == 45 || kind >= 63 {
            let real = objects(&pair.real, step).await;
            let model = objects(&pair.model, step).await;
            assert_eq!(real, model, "{context}");
            continue;
        }
        let real = apply(&pair.real, &sides[0], step).await;
        let model = apply(&pair.model, &sides[1], step).await;
        assert_eq!(real, model, "{context}");
    }
    let pair = world.pairs[0].as_ref().unwrap();
    let (real, model) = (books(&pair.real, now_ms).await, books(&pair.model, now_ms).await);
    assert_eq!(real, model, "seed {seed}, books");
    assert_eq!(pair.real.audit_totals(now_ms).await.unwrap(), Vec::<String>::new(), "seed {seed}, totals");
    compare_states(pair, &sides, &format!("seed {seed}, at the end")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_agrees_with_the_model() {
    for seed in 0..CASES {
        compare(Store::sqlite(), ModelDatabase::embedded(), 1, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_agrees_with_the_model() {
    for seed in 0..CASES {
        let Some(store) = Store::postgres().await else { return };
        compare(store, ModelDatabase::shared(), 3, 1_000 + seed).await;
    }
}
