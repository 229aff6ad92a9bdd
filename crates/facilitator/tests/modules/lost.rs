//! Commits whose answers are lost: what they recorded goes out, whatever the chain says of its
//! payment meanwhile (I2): others wait behind its nonce, and it may land any time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{Call, Hook, Hooked, LedgerError, Operation};

use super::harness::{Chain, GAS, Outcome, PRICE, Pool, Process, Time, nonce};
use super::{open, until};

/// The way to a ledger that loses the answer of a recording, and then all answers about it.
#[derive(Clone)]
struct Way {
    chain: Chain,
    /// Whether it is the first attempt's answer that is lost, or a further one's.
    loses_first: bool,
    is_losing: Arc<AtomicBool>,
    has_lost: Arc<AtomicBool>,
}

enum What {
    Record,
    Read,
    Other,
}

impl Way {
    fn to_lose(chain: &Chain, loses_first: bool) -> Self {
        let (is_losing, has_lost) = (Arc::new(AtomicBool::new(true)), Arc::default());
        Self { chain: chain.clone(), loses_first, is_losing, has_lost }
    }

    fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::SeqCst)
    }
}

impl Hook for Way {
    type Kept = What;

    fn before(&self, call: Call<'_, '_>) -> Result<What, LedgerError> {
        if !self.is_losing.load(Ordering::SeqCst) {
            return Ok(What::Other);
        }
        Ok(match &call {
            Call::Record { attempt, .. } if attempt.is_first() == self.loses_first => What::Record,
            _ if call.operation() == Operation::RecordedAttempts && self.has_lost() => What::Read,
            _ => What::Other,
        })
    }

    async fn around<T: Send + 'static>(
        &self,
        what: What,
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        match what {
            What::Other => run.await,
            What::Read => Err(LedgerError::Unavailable("connection refused".into())),
            What::Record => {
                run.await?;
                self.has_lost.store(true, Ordering::SeqCst);
                // From now on the chain does not like the payment either.
                self.chain.has_used_all(true);
                Err(LedgerError::CommitUnknown("connection reset".into()))
            }
        }
    }
}

async fn losing(chain: &Chain, time: &Time, loses_first: bool) -> (Process, Way) {
    let way = Way::to_lose(chain, loses_first);
    let store = Hooked::new(open(&ModelDatabase::shared(), "one", time), way.clone());
    let process = Process::open(store, chain, time, "").await;
    process.until_offered(Some(GAS)).await;
    (process, way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_attempt_whose_commit_is_unknown_is_sent_although_the_chain_check_fails() {
    let (pool, time) = (Pool::default(), Time::default());
    let chain = Chain::numbered(&pool);
    let (process, way) = losing(&chain, &time, true).await;
    assert_eq!(process.send("payer", PRICE, nonce()).await, Outcome::Pending);
    assert!(way.has_lost());
    assert_eq!((pool.signed().len(), pool.used()), (1, 0));
    way.is_losing.store(false, Ordering::SeqCst);
    until("its bytes go out", || pool.used() == 1).await;
    until("its driver hears of it", || process.driven() == 0).await;
    chain.has_used_all(false);
    assert_eq!(
        process.send("payer", PRICE, nonce()).await,
        Outcome::Granted,
        "nobody waits behind its nonce"
    );
    assert_eq!(pool.signed().len(), 2);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_attempt_whose_commit_is_unknown_is_sent_although_the_chain_check_fails() {
    let (pool, time) = (Pool::default(), Time::default());
    let chain = Chain::numbered(&pool);
    let (process, way) = losing(&chain, &time, false).await;
    pool.are_failing(true);
    assert_eq!(process.send("payer", PRICE, nonce()).await, Outcome::Pending);
    until("it is signed again", || way.has_lost()).await;
    pool.are_failing(false);
    assert_eq!((pool.signed().len(), pool.used()), (2, 1));
    way.is_losing.store(false, Ordering::SeqCst);
    until("its bytes go out", || pool.used() == 2).await;
    until("its driver hears of it", || process.driven() == 0).await;
    assert_eq!(pool.signed().len(), 2, "nothing is signed beside it");
    process.close().await;
}

/// A further attempt that may not be signed now is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_attempt_that_is_refused_is_asked_for_again() {
    let (pool, time) = (Pool::default(), Time::default());
    let chain = Chain::numbered(&pool);
    let database = ModelDatabase::shared();
    let process = Process::open(open(&database, "one", &time), &chain, &time, "").await;
    process.until_offered(Some(GAS)).await;
    pool.are_failing(true);
    pool.refuses_further(true);
    assert_eq!(process.send("payer", PRICE, nonce()).await, Outcome::Pending);
    until("its further attempt is refused", || pool.refused() > 0).await;
    pool.are_failing(false);
    pool.refuses_further(false);
    until("it is signed and lands", || pool.used() == 2).await;
    until("its driver hears of it", || process.driven() == 0).await;
    process.close().await;
}
