//! What the test files share: a fresh store of either kind, and values to put in.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod exercise;
pub(crate) mod fill;

use std::sync::OnceLock;

use quittance_ledger::testing::{PostgresCluster, postgres_is_skipped};
use quittance_ledger::{
    AccountFilter, Claim, ClaimOutcome, Ledger, LedgerError, LedgerOptions, NewAttempt, NewClaim, Origin,
    RangeOf, RunLimits, SignFn, SignedBytes, StoredAnswer,
};
use quittance_protocol::{Amount, Deadline, Fingerprint, Landing, Network, PaymentId, PaymentKey, RequestId};
use serde_json::json;

pub(crate) const NOW: i64 = 1_800_000_000_000;
pub(crate) const WALLET: &str = "0x00000000000000000000000000000000000000aa";

/// Where a ledger lives; empty at first.
pub(crate) struct Store {
    pub(crate) url: String,
    folder: Option<tempfile::TempDir>,
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        Self { url, folder: Some(folder) }
    }

    /// Where another process already works.
    pub(crate) fn at(url: String) -> Self {
        Self { url, folder: None }
    }

    /// None when the environment leaves PostgreSQL out.
    pub(crate) async fn postgres() -> Option<Self> {
        if postgres_is_skipped() {
            return None;
        }
        static CLUSTER: OnceLock<PostgresCluster> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| match PostgresCluster::start(false) {
            Ok(cluster) => cluster,
            Err(error) => panic!("no PostgreSQL for the tests: {error}"),
        });
        Some(Self { url: cluster.fresh_database().await.unwrap(), folder: None })
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.folder.is_some()
    }

    pub(crate) async fn open(&self) -> Ledger {
        self.open_as("one", NOW).await.unwrap()
    }

    pub(crate) async fn open_as(&self, instance: &str, now_ms: i64) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.url, LedgerOptions::new(instance), now_ms).await
    }
}

/// Runs one `async fn case(store: Store)` on both backends.
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* $case:ident),* $(,)?) => { $(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                super::cases::$case($crate::common::Store::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                match $crate::common::Store::postgres().await {
                    Some(store) => super::cases::$case(store).await,
                    None => eprintln!("PostgreSQL left out by QUITTANCE_SKIP_POSTGRES=1"),
                }
            }
        }
    )* };
}

/// Runs that may die with their process, in tests that do not say otherwise.
pub(crate) const CRASHED_MAX: u32 = 4;

/// Limits of the runs that one payment buys.
pub(crate) fn at_most(failed_max: u32) -> RunLimits {
    RunLimits { failed_max, crashed_max: CRASHED_MAX }
}

/// Every payment there is.
pub(crate) fn everything() -> AccountFilter {
    AccountFilter {
        since_ms: 0,
        until_ms: i64::MAX,
        range: RangeOf::Claims,
        network: None,
        seller: None,
        state: None,
    }
}

pub(crate) fn base() -> Network {
    Network::BASE.parse().unwrap()
}

pub(crate) fn solana() -> Network {
    Network::SOLANA.parse().unwrap()
}

/// Sixteen bytes that differ for every pair of numbers.
fn bytes16(kind: u64, number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// A gate claim: `copy` tells claims for the same `key` apart.
pub(crate) fn new_claim(key: u64, copy: u64) -> NewClaim {
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&key.to_be_bytes());
    NewClaim {
        id: PaymentId::from_random(bytes16(copy, key)),
        request_id: RequestId::from_random(bytes16(copy, key)),
        key: PaymentKey::evm(8453, &[1; 20], &[2; 20], &nonce),
        network: base(),
        origin: Origin::Gate,
        fingerprint: Fingerprint::of_request("POST", "/v1/images", "", b"{}"),
        signature_digest: [7; 32],
        identifier: None,
        idempotency: None,
        repeats: None,
        payer: "0x00000000000000000000000000000000000000bb".to_owned(),
        pay_to: "0x00000000000000000000000000000000000000cc".to_owned(),
        asset: "0x00000000000000000000000000000000000000dd".to_owned(),
        amount: Amount::new(13_938),
        service: Amount::new(10_000),
        gas: Amount::new(3_938),
        fee: None,
        tariff: Some(1),
        deadline: Deadline::UnixSeconds(1_800_000_600),
        watch_from: 100,
        payload: json!({"signature": "0xSECRET"}),
        resource: "POST /v1/images".to_owned(),
    }
}

pub(crate) fn merchant_claim(key: u64) -> NewClaim {
    NewClaim { origin: Origin::Merchant("shop".to_owned()), ..new_claim(key, 0) }
}

pub(crate) async fn won(ledger: &Ledger, new: NewClaim) -> Claim {
    match ledger.claim(new, NOW).await.unwrap() {
        ClaimOutcome::Won(claim) => claim,
        other => panic!("not claimed: {other:?}"),
    }
}

pub(crate) fn signed(transaction: impl Into<String>) -> SignedBytes {
    let transaction = transaction.into();
    SignedBytes { raw: transaction.as_bytes().to_vec(), transaction, detail: json!({"gas_limit": 120_000}) }
}

/// Signs whatever nonce it is given.
pub(crate) fn signer(label: impl Into<String>) -> SignFn {
    let label = label.into();
    Box::new(move |nonce| Ok(signed(format!("{label}@{nonce}"))))
}

pub(crate) fn broken_signer() -> SignFn {
    Box::new(|_| Err("key is locked".to_owned()))
}

pub(crate) fn landing(transaction: &str) -> Landing {
    Landing {
        transaction: transaction.to_owned(),
        block: 105,
        block_hash: "0xb10c".to_owned(),
        block_time: 1_800_000_010,
        // More than 64 bits hold: wei.
        cost_native: u128::from(u64::MAX) + 5,
        paid_by_us: true,
        log_index: None,
    }
}

pub(crate) fn answer(body: &[u8]) -> StoredAnswer {
    StoredAnswer {
        status: 200,
        headers: vec![
            ("content-type".to_owned(), b"image/png".to_vec()),
            ("x-odd".to_owned(), vec![0xff, 0x00]),
        ],
        body: body.to_vec(),
        object: None,
        truncated: false,
        refundable: false,
        usage: None,
    }
}

/// Claims, records and settles a gate payment.
pub(crate) async fn settled(ledger: &Ledger, key: u64) -> PaymentId {
    let id = won(ledger, new_claim(key, 0)).await.into_payment().id;
    ledger.record(NewAttempt::unnumbered(&id, signed(format!("tx{key}"))), NOW).await.unwrap();
    ledger.settle(&id, &landing(&format!("tx{key}")), NOW).await.unwrap();
    id
}
