//! The shared poller: one task per network looks at the chain for everybody.
//!
//! A watcher per transaction would ask the node once per payment and block;
//! this asks once per block, and not at all while nothing is watched.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use quittance_protocol::{Evidence, PaymentKey, look_pause_ms};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, ChainFault, Watched};
use crate::context::clock::Clock;

/// Payments one poller watches at most; more wait in the channel, which holds
/// back their drivers and nothing else.
pub(crate) const WATCHED_MAX: usize = 4_096;

/// Registrations that may queue up between two looks.
const REGISTRATIONS_MAX: usize = 1_024;

/// Evidence a driver may leave unread before the poller drops the rest of it;
/// the next look finds it again.
const EVIDENCE_MAX: usize = 16;

/// Longest pause after a look that failed.
const FAULT_PAUSE_MS_MAX: u64 = 2_000;

/// Where drivers register.
#[derive(Clone)]
pub(crate) struct Poller {
    registrations: mpsc::Sender<Registration>,
}

struct Registration {
    watched: Watched,
    evidence: mpsc::Sender<Evidence>,
    since: Instant,
}

impl Poller {
    /// Starts the poller of one network.
    pub(crate) fn start(
        chain: Arc<Chain>,
        clock: Clock,
        interval: Duration,
        stop: CancellationToken,
    ) -> Self {
        let (registrations, incoming) = mpsc::channel(REGISTRATIONS_MAX);
        tokio::spawn(poll(chain, clock, interval, incoming, stop));
        Self { registrations }
    }

    /// Watches a payment, or replaces what is known of it (a new attempt). The
    /// stream ends when the poller stops; dropping it ends the watch.
    pub(crate) async fn watch(&self, watched: Watched) -> mpsc::Receiver<Evidence> {
        let (evidence, receiver) = mpsc::channel(EVIDENCE_MAX);
        // A closed channel means shutdown: the receiver then ends at once.
        let _ = self.registrations.send(Registration { watched, evidence, since: Instant::now() }).await;
        receiver
    }
}

async fn poll(
    chain: Arc<Chain>,
    clock: Clock,
    interval: Duration,
    mut incoming: mpsc::Receiver<Registration>,
    stop: CancellationToken,
) {
    let mut list: BTreeMap<PaymentKey, Registration> = BTreeMap::new();
    let mut fault_pause_ms = 0_u64;
    let network = chain.network().clone();
    loop {
        list.retain(|_, entry| !entry.evidence.is_closed());
        if list.is_empty() {
            // Nothing to look for: wait for work without asking the node.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                registration = incoming.recv() => match registration {
                    Some(registration) => { list.insert(registration.watched.key, registration); }
                    None => return,
                },
            }
        }
        while list.len() < WATCHED_MAX {
            let Ok(registration) = incoming.try_recv() else { break };
            list.insert(registration.watched.key, registration);
        }
        let watched: Vec<Watched> = list.values().map(|entry| entry.watched.clone()).collect();
        match look(&chain, &watched, clock.now_ms()).await {
            Ok(found) => {
                if std::mem::take(&mut fault_pause_ms) > 0 {
                    tracing::info!(%network, "looks at the chain see everything again");
                }
                for (key, evidence) in found {
                    if let Some(entry) = list.get(&key) {
                        let _ = entry.evidence.try_send(evidence);
                    }
                }
            }
            Err(fault) => {
                // Once per episode: which endpoint fails at what is counted there.
                match fault_pause_ms {
                    0 => tracing::warn!(%network, %fault, "a look at the chain does not see everything"),
                    _ => tracing::debug!(%network, %fault, "a look at the chain does not see everything"),
                }
                fault_pause_ms = fault_pause_ms.saturating_mul(2).clamp(250, FAULT_PAUSE_MS_MAX);
            }
        }
        let pause = pause(&list, interval).max(Duration::from_millis(fault_pause_ms));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // The youngest sets the pace, and a new one is the youngest.
            registration = incoming.recv(), if list.len() < WATCHED_MAX && pause > interval => {
                let Some(registration) = registration else { return };
                list.insert(registration.watched.key, registration);
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A look that panics is a look that failed: if it ended the poller, every payment of the
/// network would wait for ever, and nobody would be told.
async fn look(
    chain: &Chain,
    watched: &[Watched],
    now_ms: i64,
) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
    let scan = async { chain.watch()?.scan(watched, now_ms).await };
    AssertUnwindSafe(scan)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(ChainFault("the look panicked".to_owned())))
}

/// Until the next look: what was registered last may land with the next block, and what has waited
/// for minutes can wait a moment longer.
fn pause(list: &BTreeMap<PaymentKey, Registration>, interval: Duration) -> Duration {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let youngest = list.values().map(|entry| entry.since.elapsed()).min().unwrap_or_default();
    Duration::from_millis(look_pause_ms(ms(youngest), ms(interval)))
}
