#![doc = include_str!("../README.md")]

mod admission;
mod api;
pub mod chain;
pub mod config;
mod context;
mod delivery;
mod dispatch;
mod in_flight;
mod metrics;
mod network;
mod prices;
mod rates;
pub mod reconcile;
mod remote;
mod settle;
mod start;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{LedgerError, RunEnd, RunLimits};
use quittance_protocol::{
    Amount, Family, Network, PaymentId, PaymentPayload, PaymentRequired, ResourceRef, SettleRequest,
    SupportedResponse, VerifyRequest, VerifyResponse, v1,
};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub use admission::merchant::{
    API_KEY_PREFIX, Asker, NotAccepts, NotKnown, SettleAnswer, Telling, Unknown, new_api_key,
};
pub use admission::waiting::{Connection, Waiting};
pub use api::caller::{AdminFrom, Caller, Callers, ForwardedHeader};
pub use api::networks::{
    EndpointHealth, ExposureReport, HeightsReport, LaneHead, LaneReport, NetworkReport, TariffReport,
};
pub use api::wallets::WalletReport;
pub use api::{Grant, NetworkInfo, NothingToOffer, PaidFacts, PayOutcome, Rejection, Sale};
pub use context::clock::Clock;
pub use context::random::Random;
#[cfg(feature = "defects")]
pub use dispatch::defect::Defect;
pub use in_flight::places::{NoPlace, Place, Places, Presented};
pub use metrics::Metrics;
pub use metrics::trouble::{Trouble, note as note_trouble};
pub use prices::Coin;
pub use quittance_answers::{
    AnswerKey, AnswerStore, Draft, DraftReader, Limits as AnswerLimits, Loss, Objects, ReaderHandle, Sealed,
    Step, StoreError, StoredAnswerReader, StoredObject, Taken,
};
use quittance_ledger::CheckTerms;
pub use quittance_ledger::{AnswerObject, StoredAnswer, USAGE_MAX, Usage};
pub use rates::{LiveRates, RateExam, RateSource, SourceExam, StaticRates, examine_rates};
pub use settle::engine;
pub use start::Parts;
pub use start::connect::{configured_wallets, connect_history};
pub use start::error::StartError;
pub use start::exam::{NetworkExam, PayoutExam, TermsFault, WalletExam, examine_networks};
pub use start::open_work::wallets_under_way;
pub use upkeep::registry::LastRun;

use crate::admission::merchant::Merchants;
use crate::api::active_runs::ActiveRuns;
use crate::context::Context;
use crate::dispatch::Dispatch;
use crate::in_flight::entries::InFlight;
use crate::network::configured::ConfiguredNetwork;
use crate::network::strangers::Strangers;
use crate::network::tariffs::TariffPolicy;
use crate::upkeep::registry::Registry;

/// Targets of the chains' client libraries, which log whole requests, with what customers
/// signed in them, where everything is logged: a program that logs lets them say `info` at most.
pub const LOG_TARGETS_WITH_REQUESTS: [&str; 5] =
    ["alloy_rpc_client", "alloy_transport", "alloy_provider", "solana_client", "solana_rpc_client"];

/// How long a stop waits for settlements and runs under way.
pub const SHUTDOWN_WORK_MAX: Duration = Duration::from_secs(10);

/// How long a stop waits for the ledger to take leave.
pub const SHUTDOWN_LEDGER_MAX: Duration = Duration::from_secs(5);

/// Limits of the gate's way, from `[gate]`.
pub(crate) struct Limits {
    pub(crate) pending_wait: Duration,
    pub(crate) replay_ms: i64,
    pub(crate) runs: RunLimits,
    /// Payments claimed this long ago keep nobody waiting any more.
    pub(crate) waited_ms: i64,
    /// How often success may be said to a merchant: once, and again as configured.
    pub(crate) tellings_max: u32,
    /// How long an `isValid` lasts, and how many of one payer's there are at once.
    pub(crate) checks: CheckTerms,
}

pub(crate) struct Inner {
    pub(crate) context: Arc<Context>,
    pub(crate) networks: Vec<Arc<ConfiguredNetwork>>,
    /// The way to each network's attempts.
    pub(crate) dispatches: BTreeMap<Network, Dispatch>,
    pub(crate) in_flight: InFlight,
    pub(crate) runs: Arc<ActiveRuns>,
    /// Successes that this process is telling merchants of, kept as runs are.
    pub(crate) tellings: Arc<ActiveRuns>,
    pub(crate) answers: AnswerStore,
    pub(crate) limits: Limits,
    pub(crate) strangers: Strangers,
    pub(crate) merchants: Merchants,
    pub(crate) policy: TariffPolicy,
    pub(crate) drivers: TaskTracker,
    /// All work that is done again and again.
    pub(crate) upkeep: Registry,
    /// Where the background tasks began: it outlives the server's workers.
    pub(crate) runtime: Handle,
}

/// The facilitator: verification, settlement and delivery of payments.
///
/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Facilitator {
    inner: Arc<Inner>,
}

/// Why an operation on a grant failed. The payment itself is safe.
#[derive(Debug, thiserror::Error)]
pub enum FacilitatorError {
    /// The ledger did not take it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Inner {
    pub(crate) fn net(&self, network: &str) -> Option<Arc<ConfiguredNetwork>> {
        self.networks.iter().find(|net| net.chain.network().as_str() == network).cloned()
    }

    /// Who signs and sends on a network.
    pub(crate) fn dispatch(&self, net: &ConfiguredNetwork) -> Dispatch {
        self.dispatches.get(net.chain.network()).cloned().unwrap_or_else(Dispatch::closed)
    }

    /// The same, if new payments are taken there.
    pub(crate) fn selling(&self, network: &str) -> Option<Arc<ConfiguredNetwork>> {
        self.net(network).filter(|net| !net.retired)
    }

    /// A stranger's network name as a bounded metric label.
    pub(crate) fn label<'a>(&self, network: &'a str) -> &'a str {
        if self.net(network).is_some() { network } else { "other" }
    }
}

impl Facilitator {
    /// The offer of `service` on every network that can be offered now, EVM networks
    /// first; those where strangers have to wait come last. Pure: no I/O (P4). `error`
    /// says why payment is asked for.
    pub fn offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
    ) -> Result<PaymentRequired, NothingToOffer> {
        network::offer::offer(
            &self.inner.networks,
            self.inner.context.clock.now_ms(),
            service,
            resource,
            error,
        )
    }

    /// Appends the JSON of [`Self::offer`] to `out`, from texts that were prepared
    /// when the tariffs changed, with a fresh `payment-identifier` for the client
    /// to echo. Nothing on an error.
    pub fn write_offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), NothingToOffer> {
        let now_ms = self.inner.context.clock.now_ms();
        let word = self.inner.context.random.draw();
        network::offer::write_offer(&self.inner.networks, now_ms, service, resource, error, word, out)
    }

    /// Appends the JSON of the offer in x402 version 1, as the body of a 402 has it, on the
    /// networks that it has names for; `false`, and nothing, where there is none.
    pub fn write_offer_v1(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> bool {
        let now_ms = self.inner.context.clock.now_ms();
        network::offer::write_offer_v1(&self.inner.networks, now_ms, service, resource, error, out)
    }

    /// The time that offers are made by, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.inner.context.clock.now_ms()
    }

    /// A payment of x402 version 1 as the same payment in version 2. Pure: no I/O (P4).
    pub fn in_version_2(&self, payment: v1::PaymentPayload) -> Result<PaymentPayload, v1::UnknownName> {
        self.inner.in_version_2(payment)
    }

    /// Takes a payment for a sale to its end, or to what can be said within
    /// `gate.pending_wait_seconds`.
    pub async fn pay(&self, payload: PaymentPayload, sale: Sale) -> PayOutcome {
        self.inner.pay(payload, sale, None).await
    }

    /// The same for a caller whose [`Connection`] says whether it took its answer:
    /// of a payment whose callers are all gone, one of them without an answer, it is
    /// on record that they were sent away, and what they sign next is answered from it.
    pub async fn pay_for(&self, payload: PaymentPayload, sale: Sale, waiting: &Waiting) -> PayOutcome {
        let outcome = self.inner.pay(payload, sale, Some(waiting)).await;
        waiting.note_outcome(&outcome);
        outcome
    }

    /// Which payment a payload carries, for the places of [`Places`]; `None` where it
    /// is none that could be on record. Pure: no I/O (P4).
    pub fn presented(&self, payload: &PaymentPayload) -> Option<Presented> {
        self.inner.presented(payload)
    }

    /// What a copy of a payment is told of which as many wait for the outcome as may:
    /// [`PayOutcome::Pending`], from a read that all of them share (P5).
    pub async fn copy_too_many(&self, payload: &PaymentPayload) -> PayOutcome {
        self.inner.copy_too_many(payload).await
    }

    /// What a payment that is on record is answered where its request has no price
    /// any more: what it bought is replayed, what is under way is pending. `None`
    /// for what is not on record, was not paid, or would have to run.
    pub async fn recall(&self, payload: &PaymentPayload, sale: &Sale) -> Option<PayOutcome> {
        self.inner.recall_unpriced(payload, sale).await
    }

    /// What whoever holds a payment is told of it where nobody can say what the
    /// request is: `Pending` while there is no verdict, `Conflict` with the receipt of
    /// one that is settled, `Unavailable` while the ledger does not answer. `None` for
    /// what is not on record under this signature, or was not paid.
    pub async fn on_record(&self, payload: &PaymentPayload) -> Option<PayOutcome> {
        self.inner.what_is_on_record(payload).await
    }

    /// The handler failed: the payment becomes a credit for the same request (P6).
    /// The run counts, unless this process had revoked it or is stopping.
    pub async fn credit(&self, grant: Grant, reason: &str) -> Result<(), FacilitatorError> {
        let end = self.inner.end_of_run(grant.revocation());
        self.credit_ended(grant, end, reason).await
    }

    /// Nothing of the run began: whoever would have done the work was not reached. The payment
    /// becomes a credit, and the run counts like one that this process ended (P6), not like one
    /// that failed.
    pub async fn credit_unbegun(&self, grant: Grant, reason: &str) -> Result<(), FacilitatorError> {
        self.credit_ended(grant, RunEnd::Interrupted, reason).await
    }

    async fn credit_ended(&self, grant: Grant, end: RunEnd, reason: &str) -> Result<(), FacilitatorError> {
        let (inner, reason) = (Arc::clone(&self.inner), reason.to_owned());
        let (facts, running) = grant.redeem();
        // Not where the handler ran: a server that stops takes its workers' tasks along.
        let credited = self.inner.drivers.spawn_on(
            async move {
                let _running = running;
                inner.credit(&facts.payment_id, facts.run, end, &reason).await;
            },
            &self.inner.runtime,
        );
        if let Err(error) = credited.await {
            tracing::error!(%error, "credit task failed");
        }
        Ok(())
    }

    /// The answer reached the client completely: the replay window starts.
    /// In the background, and tried again while the ledger does not take it down.
    pub fn answer_sent(&self, payment: &PaymentId) {
        self.inner.answer_sent(payment);
    }

    /// The networks that are sold, EVM networks first, for discovery.
    pub fn networks(&self) -> Vec<NetworkInfo> {
        let now_ms = self.inner.context.clock.now_ms();
        self.inner.networks.iter().filter(|net| !net.retired).map(|net| net.info(now_ms)).collect()
    }

    /// `POST /verify` for `merchant`: whether `/settle` would say success. A payment
    /// that is not on record yet holds its payer's money from then on, and of a settled
    /// one that nobody was told of the asker gets a lease, both for
    /// `merchants.verify_lease_seconds`.
    pub async fn verify(&self, request: VerifyRequest, asker: impl Into<Asker>) -> VerifyResponse {
        self.inner.verify(request, &asker.into()).await
    }

    /// `POST /settle` on behalf of `merchant`. A success is told once: see [`Telling`].
    pub async fn settle(&self, request: SettleRequest, asker: impl Into<Asker>) -> SettleAnswer {
        self.inner.settle(request, &asker.into()).await
    }

    /// `GET /supported`, of the configuration's own terms.
    pub fn supported(&self) -> SupportedResponse {
        self.inner.supported(None)
    }

    /// `GET /supported` for a merchant: with a row of its own, where it sells and on which terms.
    pub fn supported_for(&self, asker: &Asker) -> SupportedResponse {
        self.inner.supported(asker.row.as_ref())
    }

    /// Reads who may sell, and keeps reading it: for who serves `/verify` and `/settle`.
    pub async fn serve_merchants(&self, config: &config::MerchantsConfig) -> Result<(), FacilitatorError> {
        self.inner.read_merchants().await?;
        self.inner.start_merchants(Duration::from_secs(config.refresh_seconds.max(1)), config.labels_max);
        Ok(())
    }

    /// Others than this host can call, so calls need a key, unless `merchants.anonymous`.
    pub fn listens_to_others(&self) {
        self.inner.merchants.known.listens_to_others();
    }

    /// Who calls `/verify` or `/settle`, by the key that was shown. From memory: a wrong key
    /// costs neither a call to a node nor a look at the ledger, and takes as long as any other.
    pub fn asker(&self, key: Option<&str>, caller: Caller) -> Result<Asker, Unknown> {
        let asker = self.inner.merchants.known.asker(key, caller, self.inner.context.clock.now_ms());
        asker.inspect_err(|unknown| self.inner.context.metrics.not_known(unknown.why.as_str()))
    }

    /// `POST /settle` for who may claim nothing any more ([`Unknown::former`]): what its own
    /// payment on record is answered, so that whoever paid before a key ended is served. One
    /// read of the ledger; `None`: nothing of the asker's is on record.
    pub async fn settle_on_record(&self, request: &SettleRequest, asker: &Asker) -> Option<SettleAnswer> {
        self.inner.settle_on_record(request, asker).await
    }

    /// Whether others than this host can call and need a key for it.
    pub fn is_for_known_only(&self) -> bool {
        self.inner.merchants.known.is_for_known_only()
    }

    /// `POST /accepts`: the offers of a foreign server, each completed with what is
    /// configured for its network; those that could not be paid are left out, `error` says
    /// why. `asked` is `{ x402Version, resource, accepts }` in either version, the answer too.
    pub fn accepts(&self, asked: Map<String, Value>) -> Result<Value, NotAccepts> {
        self.inner.accepts(asked, &Asker::default())
    }

    /// The same for a merchant: with a row of its own, its own terms are filled in.
    pub fn accepts_for(&self, asked: Map<String, Value>, asker: &Asker) -> Result<Value, NotAccepts> {
        self.inner.accepts(asked, asker)
    }

    /// Whether payments can be taken: the ledger answers and some network is offered.
    pub async fn ready(&self) -> Result<(), String> {
        self.inner.context.ledger.ping().await.map_err(|error| error.to_string())?;
        let now_ms = self.inner.context.clock.now_ms();
        if self.inner.networks.iter().any(|net| net.current(now_ms).is_some()) {
            return Ok(());
        }
        let closed = self.closed();
        let closed: Vec<_> = closed.iter().map(|(network, reason)| format!("{network} {reason}")).collect();
        Err(format!("no network can be offered: {}", closed.join(", ")))
    }

    /// The networks that are not offered now, each with its reason as in the
    /// metric `quittance_network_closed`.
    pub fn closed(&self) -> Vec<(Network, &'static str)> {
        let now_ms = self.inner.context.clock.now_ms();
        let reason = |net: &Arc<ConfiguredNetwork>| {
            net.open(now_ms).err().map(|closed| (net.chain.network().clone(), closed.as_str()))
        };
        self.inner.networks.iter().filter_map(reason).collect()
    }

    /// Networks that are sold and want a person all the same, each with the reason as in
    /// `quittance_alerts_total`: `no_history`, a payment that never lands stays pending.
    pub fn warnings(&self) -> Vec<(Network, &'static str)> {
        let forgetful = self.inner.networks.iter().filter(|net| net.keeps_no_history());
        forgetful.map(|net| (net.chain.network().clone(), "no_history")).collect()
    }

    /// The wallets of all networks, those that take new payments first.
    pub fn wallets(&self) -> Vec<WalletReport> {
        self.inner.networks.iter().flat_map(|net| net.wallet_reports()).collect()
    }

    /// How each network stands in this process: why it is closed, tariff, rate, lanes, endpoints. From
    /// memory: it asks neither a node nor the ledger.
    pub fn network_reports(&self) -> Vec<NetworkReport> {
        let now_ms = self.inner.context.clock.now_ms();
        self.inner.networks.iter().map(|net| net.report(now_ms)).collect()
    }

    /// How background work goes: the last run of each task.
    pub fn upkeep(&self) -> Vec<LastRun> {
        self.inner.upkeep.last_runs()
    }

    /// All metrics, for `/metrics`.
    pub fn registry(&self) -> prometheus::Registry {
        self.inner.context.metrics.registry()
    }

    /// The server is about to stop: handler runs that it cuts off do not count
    /// against the runs that their payments buy. Without it they count as runs that
    /// died with their process (`gate.runs_interrupted_max`).
    pub fn stop_begins(&self) {
        self.inner.runs.stop_begins();
    }

    /// Stops background work and closes the ledger. Unfinished payments go on
    /// at the next start. Ends while the ledger is away, too: within
    /// [`SHUTDOWN_WORK_MAX`] and [`SHUTDOWN_LEDGER_MAX`].
    pub async fn shutdown(&self) {
        self.inner.context.stop.cancel();
        // What still runs ends now, and says so: found at the next start, it would
        // count as a run that died with its process.
        self.inner.runs.revoke_all();
        self.inner.drivers.close();
        let work = async {
            self.inner.runs.all_ended().await;
            self.inner.drivers.wait().await;
        };
        if tokio::time::timeout(SHUTDOWN_WORK_MAX, work).await.is_err() {
            tracing::warn!("work that does not end is left to the next start");
        }
        if tokio::time::timeout(SHUTDOWN_LEDGER_MAX, self.inner.context.ledger.close()).await.is_err() {
            tracing::warn!("the ledger does not answer and is left as it is; what it has committed stays");
        }
    }
}

/// Networks in the order of offers: EVM chains first, as clients expect.
pub(crate) fn order_of(network: &Network) -> u8 {
    match network.family() {
        Family::Eip155(_) => 0,
        Family::Solana => 1,
    }
}
