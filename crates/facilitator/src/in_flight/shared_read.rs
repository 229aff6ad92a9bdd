//! One read for everybody who asks the same at the same time: copies of an answered payment
//! cost their sender nothing, and each would read the ledger for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts who asks, so that nobody is told what was read before they came.
#[derive(Default)]
pub(crate) struct Tickets(AtomicU64);

impl Tickets {
    /// Of one who asks now.
    pub(crate) fn draw(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    /// The newest one: a read that begins now is good for all up to it.
    pub(crate) fn newest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What was read last, while others wait for it.
pub(crate) struct SharedRead<T> {
    tickets: Tickets,
    /// The newest ticket when the read began, and what it found; `None` if it failed.
    last: tokio::sync::Mutex<Option<(u64, Option<Arc<T>>)>>,
}

impl<T> Default for SharedRead<T> {
    fn default() -> Self {
        Self { tickets: Tickets::default(), last: tokio::sync::Mutex::default() }
    }
}

impl<T> SharedRead<T> {
    /// What `read` finds, or what a read found that began after this one was asked for. Who
    /// waited for one that failed hears `None`: each would wait as long again, one behind the
    /// other. Whoever is alone has the only copy: an answer may be large, and is kept for nobody.
    pub(crate) async fn ask<E>(&self, read: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, Option<E>> {
        let ticket = self.tickets.draw();
        let mut last = self.last.lock().await;
        if let Some((begun, found)) = &*last
            && ticket <= *begun
        {
            return found.clone().ok_or(None);
        }
        let begun = self.tickets.newest();
        let found = read.await.map(Arc::new);
        // Those who drew after this one and before the read began; whoever was overtaken on the way to
        // the lock reads once more.
        *last = (begun > ticket).then(|| (begun, found.as_ref().ok().cloned()));
        found.map_err(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Semaphore;

    use super::*;

    /// Reads that each wait for a permit, and count.
    struct Ledger {
        reads: AtomicU32,
        may_end: Semaphore,
        fails: bool,
    }

    impl Ledger {
        async fn read(&self) -> Result<u32, &'static str> {
            let read = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
            self.may_end.acquire().await.unwrap().forget();
            if self.fails { Err("away") } else { Ok(read) }
        }
    }

    #[tokio::test]
    async fn who_is_alone_has_the_only_copy() {
        let shared = SharedRead::default();
        for _ in 0..3 {
            let found = shared.ask(async { Ok::<_, ()>(7) }).await.unwrap();
            assert_eq!(Arc::try_unwrap(found), Ok(7));
            assert!(shared.last.lock().await.is_none());
        }
    }

    async fn heard(fails: bool) -> (Vec<Result<u32, Option<&'static str>>>, u32) {
        let ledger = Arc::new(Ledger { reads: AtomicU32::new(0), may_end: Semaphore::new(0), fails });
        let shared = Arc::new(SharedRead::default());
        let ask = || {
            let (ledger, shared) = (Arc::clone(&ledger), Arc::clone(&shared));
            tokio::spawn(async move { shared.ask(ledger.read()).await.map(|found| *found) })
        };
        let first = ask();
        while ledger.reads.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..20).map(|_| ask()).collect();
        while shared.tickets.newest() < 21 {
            tokio::task::yield_now().await;
        }
        ledger.may_end.add_permits(21);
        let mut heard = vec![first.await.unwrap()];
        for one in later {
            heard.push(one.await.unwrap());
        }
        (heard, ledger.reads.load(Ordering::SeqCst))
    }

    /// What was read before somebody came may be out of date for them.
    #[tokio::test]
    async fn who_comes_during_a_read_shares_the_next_one() {
        let (heard, reads) = heard(false).await;
        assert_eq!((heard[0], reads), (Ok(1), 2));
        assert!(heard[1..].iter().all(|one| *one == Ok(2)), "{heard:?}");
    }

    #[tokio::test]
    async fn who_waited_for_a_read_that_failed_does_not_wait_for_another() {
        let (heard, reads) = heard(true).await;
        assert_eq!((heard[0], reads), (Err(Some("away")), 2));
        assert_eq!(heard[1..].iter().filter(|one| **one == Err(None)).count(), 19, "{heard:?}");
    }
}
