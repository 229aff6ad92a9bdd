//! Whether an endpoint serves the configured network.
//!
//! A node of another network answers every question politely and wrongly: no such payment, this nonce
//! is free, fees are low. So nothing is asked of an endpoint before it has named its network, and it is
//! asked again whenever the connection broke: behind the same URL may stand another node then.

use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

const UNKNOWN: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;

/// What an endpoint says it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name<N> {
    /// The configured network.
    Ours,
    /// This one.
    Another(N),
}

/// Why an endpoint is asked nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misplaced<N, E> {
    /// It serves this network.
    Another(N),
    /// It did not say which.
    Silent(E),
}

/// What is known of one endpoint's network.
#[derive(Debug)]
pub struct Identity<N> {
    state: AtomicU8,
    /// What the endpoint says it is, while it is the wrong one.
    found: Mutex<Option<N>>,
    /// Many calls wait for one question.
    asking: tokio::sync::Mutex<()>,
}

impl<N> Default for Identity<N> {
    fn default() -> Self {
        Self { state: AtomicU8::new(UNKNOWN), found: Mutex::new(None), asking: tokio::sync::Mutex::default() }
    }
}

impl<N: Clone> Identity<N> {
    /// Takes in the answer to a question for its network, whatever is known of it. An endpoint that does
    /// not answer keeps a bad name and loses a good one.
    pub fn hear<E>(&self, answer: Result<Name<N>, E>) -> Result<(), Misplaced<N, E>> {
        match answer {
            Ok(Name::Ours) => {
                self.state.store(RIGHT, Ordering::Release);
                Ok(())
            }
            Ok(Name::Another(found)) => {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
                self.state.store(WRONG, Ordering::Release);
                Err(Misplaced::Another(found))
            }
            Err(error) => {
                self.doubt();
                Err(Misplaced::Silent(error))
            }
        }
    }

    /// Lets a call through to an endpoint of the configured network. `name` asks it, and is awaited only
    /// where nothing is known: by one call for all that wait.
    pub async fn admit<E>(
        &self,
        name: impl Future<Output = Result<Name<N>, E>>,
    ) -> Result<(), Misplaced<N, E>> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.asking.lock().await;
        match self.known() {
            Some(known) => known,
            None => self.hear(name.await),
        }
    }

    /// The network that the endpoint serves instead, as far as it has said.
    pub fn another(&self) -> Option<N> {
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.state.load(Ordering::Acquire) == WRONG).then(found).flatten()
    }

    /// Whether it has named the configured network, and nothing broke since.
    pub fn is_right(&self) -> bool {
        self.state.load(Ordering::Acquire) == RIGHT
    }

    /// The connection broke: another node may answer from now on.
    pub fn doubt(&self) {
        let _ = self.state.compare_exchange(RIGHT, UNKNOWN, Ordering::AcqRel, Ordering::Acquire);
    }

    fn known<E>(&self) -> Option<Result<(), Misplaced<N, E>>> {
        match self.state.load(Ordering::Acquire) {
            RIGHT => Some(Ok(())),
            WRONG => self.another().map(|found| Err(Misplaced::Another(found))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn one_question_serves_all_that_wait_and_a_broken_connection_asks_anew() {
        let identity = Identity::<u64>::default();
        let asked = AtomicUsize::new(0);
        let name = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>(Name::Ours)
        };
        let all = futures::future::join_all((0..5).map(|_| identity.admit(name()))).await;
        assert!(all.into_iter().all(|admitted| admitted.is_ok()));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        identity.doubt();
        identity.admit(name()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_bad_name_stays_and_a_good_one_does_not_outlive_silence() {
        let identity = Identity::default();
        assert_eq!(identity.hear::<()>(Ok(Name::Another(7))), Err(Misplaced::Another(7)));
        assert_eq!(identity.hear(Err("down")), Err(Misplaced::Silent("down")));
        assert_eq!(identity.another(), Some(7), "who was wrong is wrong until it says otherwise");
        identity.doubt();
        let unasked = async { unreachable!("it is known") };
        assert_eq!(identity.admit::<()>(unasked).await, Err(Misplaced::Another(7)));
        identity.hear::<()>(Ok(Name::Ours)).unwrap();
        assert!(identity.is_right() && identity.another().is_none());
        identity.hear(Err("down")).unwrap_err();
        assert!(!identity.is_right());
    }
}
