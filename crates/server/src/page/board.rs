//! What the pages show: gathered at most once a second, whoever asks how often.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quittance_facilitator::config::Config;
use quittance_facilitator::{Clock, Facilitator, LastRun, NetworkReport, WalletReport};
use quittance_ledger::{
    Alias, Books, Claims, CostEntry, JournalLine, Ledger, LedgerError, LedgerOptions, Margin, Outstanding,
    Payment, PaymentFilter, RunLimits, StoredAnswer, Usage,
};
use quittance_protocol::{Network, PaymentId, PaymentKey, Secret};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};

use super::PAGES_MAX;
use super::calls::Calls;
use super::look::{self, Look};
use crate::CommandError;
use crate::ledger_url::ledger_url;

/// How old what is shown may be.
const LIGHT_AGE: Duration = Duration::from_secs(1);

/// How old sums over a day may be.
const HEAVY_AGE: Duration = Duration::from_secs(30);

/// They rest this many times as long as they took: a ledger of any size gives them a fiftieth of one
/// connection.
const HEAVY_REST: u32 = 50;

/// How long a page waits for the ledger.
const LEDGER_WAIT: Duration = Duration::from_secs(3);

/// Connections of the pages: of their own, so that payments wait for none of them.
const CONNECTIONS: u32 = 2;

/// Payments on the overview.
const NEWEST: u32 = 25;

/// Newest payments among which those of a payer are looked for that are in no index by payer.
const LOOKED_THROUGH: u32 = 500;

/// Answers of handlers that refused are counted as outstanding for so long.
const REFUSALS_MS: i64 = 7 * DAY_MS;

const DAY_MS: i64 = 86_400_000;

/// What pages read of a ledger; nothing is written over their connections.
trait Readable: Books + Claims {}

impl<T: Books + Claims> Readable for T {}

/// See the module.
pub(crate) struct Board {
    facilitator: Facilitator,
    /// Where the ledger is; opened when the first page is asked for.
    url: Secret,
    books: OnceCell<Arc<dyn Readable>>,
    runtime: Handle,
    names: BTreeMap<Network, String>,
    limits: RunLimits,
    pub(super) places: Semaphore,
    light: tokio::sync::Mutex<Option<(Instant, Arc<Light>)>>,
    heavy: Arc<Heavy>,
    calls: Option<Calls>,
}

/// What the overview shows.
pub(super) struct Light {
    pub(super) now_ms: i64,
    /// The operator's names of the networks.
    pub(super) names: BTreeMap<Network, String>,
    pub(super) networks: Vec<NetworkReport>,
    pub(super) wallets: Vec<WalletReport>,
    pub(super) upkeep: Vec<LastRun>,
    pub(super) warnings: Vec<(Network, &'static str)>,
    /// The newest payments, or why they cannot be shown.
    pub(super) newest: Result<Vec<Payment>, String>,
    pub(super) sums: Option<Arc<Summed>>,
    /// Whether the last calls can be seen.
    pub(super) has_calls: bool,
}

/// Sums over the day under way.
pub(super) struct Summed {
    pub(super) at_ms: i64,
    pub(super) margins: Vec<Margin>,
    pub(super) outstanding: Vec<Outstanding>,
}

#[derive(Default)]
struct Heavy {
    is_running: AtomicBool,
    state: Mutex<HeavyState>,
}

#[derive(Default)]
struct HeavyState {
    sums: Option<Arc<Summed>>,
    next_at: Option<Instant>,
}

/// All that is known of one payment.
pub(super) struct Told {
    pub(super) now_ms: i64,
    pub(super) name: String,
    /// Decimals of the coin that its transactions were paid with, and its name.
    pub(super) coin: (String, u32),
    pub(super) payment: Payment,
    pub(super) journal: Vec<JournalLine>,
    pub(super) costs: Vec<CostEntry>,
    pub(super) aliases: Vec<Alias>,
    pub(super) usage: Option<Usage>,
    pub(super) answer: Option<StoredAnswer>,
}

impl Board {
    /// Opens nothing yet.
    pub(crate) fn new(facilitator: Facilitator, config: &Config) -> Result<Self, CommandError> {
        let named = config.networks.iter().map(|(name, section)| (section.network.clone(), name.clone()));
        Ok(Self {
            facilitator,
            url: Secret::new(ledger_url(config)?),
            books: OnceCell::new(),
            runtime: Handle::current(),
            names: named.collect(),
            limits: config.gate.run_limits(),
            places: Semaphore::new(PAGES_MAX),
            light: tokio::sync::Mutex::default(),
            heavy: Arc::default(),
            calls: None,
        })
    }

    /// With the last calls of a gateway that is watched.
    pub(crate) fn showing(self, calls: Calls) -> Self {
        Self { calls: Some(calls), ..self }
    }

    pub(super) fn calls(&self) -> Option<&Calls> {
        self.calls.as_ref()
    }

    pub(super) fn now_ms(&self) -> i64 {
        Clock::system().now_ms()
    }

    /// Whoever asks at the same time shares one look.
    pub(super) async fn light(&self) -> Arc<Light> {
        let mut kept = self.light.lock().await;
        if let Some((at, light)) = &*kept
            && at.elapsed() < LIGHT_AGE
        {
            return Arc::clone(light);
        }
        let filter = PaymentFilter { limit: NEWEST, ..PaymentFilter::default() };
        let newest = self.ask(move |books| async move { books.payments(filter).await }).await;
        if newest.is_ok() {
            self.sum_up().await;
        }
        let light = Arc::new(Light {
            now_ms: self.now_ms(),
            names: self.names.clone(),
            networks: self.facilitator.network_reports(),
            wallets: self.facilitator.wallets(),
            upkeep: self.facilitator.upkeep(),
            warnings: self.facilitator.warnings(),
            newest,
            sums: self.heavy.state().sums.clone(),
            has_calls: self.calls.is_some(),
        });
        *kept = Some((Instant::now(), Arc::clone(&light)));
        light
    }

    /// Begins to make the sums of the day, if they are due; nobody waits for them.
    async fn sum_up(&self) {
        let heavy = Arc::clone(&self.heavy);
        let is_due = heavy.state().next_at.is_none_or(|at| at <= Instant::now());
        let Ok(books) = self.books().await else { return };
        if !is_due || heavy.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (now_ms, limits) = (self.now_ms(), self.limits);
        self.runtime.spawn(async move {
            let began = Instant::now();
            let day_ms = now_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS);
            let summed = async {
                Ok::<_, LedgerError>(Summed {
                    at_ms: now_ms,
                    margins: books.margins(day_ms).await?,
                    outstanding: books.outstanding(limits, now_ms.saturating_sub(REFUSALS_MS)).await?,
                })
            };
            let summed = summed.await;
            let rest = began.elapsed().saturating_mul(HEAVY_REST).max(HEAVY_AGE);
            let mut state = heavy.state();
            state.next_at = Instant::now().checked_add(rest);
            match summed {
                Ok(summed) => state.sums = Some(Arc::new(summed)),
                Err(error) => tracing::debug!(%error, "the sums of the status page cannot be made"),
            }
            drop(state);
            heavy.is_running.store(false, Ordering::Release);
        });
    }

    /// The story of the payment under this key, or of the one that it is a repetition of.
    pub(super) async fn story_of_key(&self, key: PaymentKey) -> Result<Option<Told>, String> {
        match self.ask(move |books| async move { books.known(&key).await }).await? {
            Some(known) => self.story(known.payment.id.as_str()).await,
            None => Ok(None),
        }
    }

    /// One payment's whole story.
    pub(super) async fn story(&self, id: &str) -> Result<Option<Told>, String> {
        let id = PaymentId::from_stored(id);
        let found = self.ask(move |books| async move {
            let Some(payment) = books.payment(&id).await? else { return Ok(None) };
            Ok(Some((
                payment,
                books.journal(&id).await?,
                books.costs(&id).await?,
                books.aliases(&id).await?,
                books.usage(&id).await?,
                books.answer(&id).await?,
            )))
        });
        let Some((payment, journal, costs, aliases, usage, answer)) = found.await? else { return Ok(None) };
        let name = self.names.get(&payment.network).cloned();
        let coin = self.facilitator.network_reports().into_iter().find(|net| net.network == payment.network);
        Ok(Some(Told {
            now_ms: self.now_ms(),
            name: name.unwrap_or_else(|| payment.network.to_string()),
            coin: coin.map_or_else(Default::default, |net| (net.coin, net.coin_decimals)),
            payment,
            journal,
            costs,
            aliases,
            usage,
            answer,
        }))
    }

    /// What an operator looks for: a payment or request by its name, a transaction, a payer.
    pub(super) async fn search(&self, sought: &str) -> Result<Vec<Payment>, String> {
        let looks = look::looks(sought, self.names.keys());
        self.ask(move |books| async move {
            let mut found: Vec<Payment> = Vec::new();
            for look in &looks {
                found.extend(match look {
                    Look::Payment(id) => books.payment(id).await?.into_iter().collect(),
                    Look::Request(name) => books.of_request(name).await?.into_iter().collect(),
                    Look::Transaction(network, hash) => books.of_transaction(network, hash).await?,
                    Look::Payer(network, payer) => {
                        let mut of_payer = books.of_payer(network, payer).await?;
                        let filter = PaymentFilter { limit: LOOKED_THROUGH, ..PaymentFilter::default() };
                        let newest = books.payments(filter).await?;
                        let others =
                            newest.into_iter().filter(|one| one.network == *network && one.payer == *payer);
                        of_payer.extend(others);
                        of_payer
                    }
                });
            }
            found.sort_by_key(|payment| std::cmp::Reverse((payment.created_at_ms, payment.id.clone())));
            found.dedup_by(|a, b| a.id == b.id);
            Ok(found)
        })
        .await
    }

    async fn books(&self) -> Result<Arc<dyn Readable>, LedgerError> {
        let open = || async {
            let url = self.url.expose_str().unwrap_or_default().to_owned();
            let mut options = LedgerOptions::new("status-page");
            (options.read_only, options.connections_max) = (true, CONNECTIONS);
            let now_ms = self.now_ms();
            // Its connections belong to the runtime that they are opened on, which must outlive the workers.
            let runtime = self.runtime.clone();
            let open = move || runtime.block_on(Ledger::open(&url, options, now_ms));
            let opened = self.runtime.spawn_blocking(open);
            let ledger = opened.await.map_err(|_| LedgerError::Closed)??;
            Ok(Arc::new(ledger) as Arc<dyn Readable>)
        };
        self.books.get_or_try_init(open).await.cloned()
    }

    /// Asks the ledger, on the runtime that outlives the server's workers, for so long as a person waits.
    async fn ask<T, F>(&self, ask: impl FnOnce(Arc<dyn Readable>) -> F + Send + 'static) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LedgerError>> + Send + 'static,
    {
        let books = self.books().await.map_err(|error| error.to_string())?;
        let asked = self.runtime.spawn(timeout(LEDGER_WAIT, async move { ask(books).await }));
        match asked.await {
            Ok(Ok(answer)) => answer.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("the ledger does not answer in time".to_owned()),
            Err(_) => Err("the look at the ledger broke".to_owned()),
        }
    }
}

impl Heavy {
    fn state(&self) -> std::sync::MutexGuard<'_, HeavyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
