//! The place of one chain: what is known of it, and its ports once it is connected.

use std::fmt;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use quittance_protocol::Network;

use crate::{
    Batch, Broadcast, ChainFault, Costs, Decode, Endpoints, Facts, Nonces, NotConnected, Payouts, Replace,
    Sign, Verify, Watch,
};

/// Connects; an error is a node that does not answer, or a configuration that
/// turned out wrong, in words for the log.
pub type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Ports, String>> + Send + Sync>;

/// The ports of a connected chain.
#[derive(Clone)]
pub struct Ports {
    verify: Arc<dyn Verify>,
    sign: Arc<dyn Sign>,
    nonces: Option<Arc<dyn Nonces>>,
    batch: Option<Arc<dyn Batch>>,
    broadcast: Arc<dyn Broadcast>,
    watch: Arc<dyn Watch>,
    costs: Arc<dyn Costs>,
    endpoints: Option<Arc<dyn Endpoints>>,
    payouts: Option<Arc<dyn Payouts>>,
    replace: Option<Arc<dyn Replace>>,
}

impl Ports {
    /// Those of a chain whose attempts take no nonce.
    pub fn of<C: Verify + Sign + Broadcast + Watch + Costs>(chain: &Arc<C>) -> Self {
        Self {
            verify: Arc::clone(chain) as Arc<dyn Verify>,
            sign: Arc::clone(chain) as Arc<dyn Sign>,
            nonces: None,
            batch: None,
            broadcast: Arc::clone(chain) as Arc<dyn Broadcast>,
            watch: Arc::clone(chain) as Arc<dyn Watch>,
            costs: Arc::clone(chain) as Arc<dyn Costs>,
            endpoints: None,
            payouts: None,
            replace: None,
        }
    }

    /// And its attempts take a nonce each.
    pub fn with_nonces(self, nonces: Arc<dyn Nonces>) -> Self {
        Self { nonces: Some(nonces), ..self }
    }

    /// And one transaction may settle several payments.
    pub fn with_batch(self, batch: Arc<dyn Batch>) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// And it is seen through endpoints that are looked after.
    pub fn with_endpoints(self, endpoints: Arc<dyn Endpoints>) -> Self {
        Self { endpoints: Some(endpoints), ..self }
    }

    /// And recipients need accounts that have to be there first.
    pub fn with_payouts(self, payouts: Arc<dyn Payouts>) -> Self {
        Self { payouts: Some(payouts), ..self }
    }

    /// The same where somebody else signs and sends: `by` is made of what settling costs here.
    pub fn settled_by<E: Sign + Broadcast + Costs>(self, by: impl FnOnce(Arc<dyn Costs>) -> E) -> Self {
        let by = Arc::new(by(Arc::clone(&self.costs)));
        Self {
            sign: Arc::clone(&by) as Arc<dyn Sign>,
            broadcast: Arc::clone(&by) as Arc<dyn Broadcast>,
            costs: by,
            batch: None,
            payouts: None,
            replace: None,
            ..self
        }
    }

    /// And what does not move can be replaced at its nonce.
    pub fn with_replace(self, replace: Arc<dyn Replace>) -> Self {
        Self { replace: Some(replace), ..self }
    }
}

/// One chain. Its nodes may not have answered when the process started: it is then
/// connected to in the background, and until then nothing on it is offered, signed or
/// judged; the other networks sell, and their payments are resumed, as if it were not there.
pub struct Chain {
    facts: Facts,
    decode: Arc<dyn Decode>,
    ports: OnceLock<Ports>,
    connect: Option<Connect>,
}

impl Chain {
    /// One that is connected.
    pub fn connected(facts: Facts, decode: Arc<dyn Decode>, ports: Ports) -> Self {
        assert_eq!(facts.takes_nonce, ports.nonces.is_some(), "whose attempts take a nonce has nonces");
        Self { facts, decode, ports: OnceLock::from(ports), connect: None }
    }

    /// One whose nodes do not answer; [`Self::connect`] asks them again.
    pub fn later(facts: Facts, decode: Arc<dyn Decode>, connect: Connect) -> Self {
        Self { facts, decode, ports: OnceLock::new(), connect: Some(connect) }
    }

    /// What is known of it without asking it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Which one.
    pub fn network(&self) -> &Network {
        &self.facts.network
    }

    /// Payloads and stored forms as what they are.
    pub fn decode(&self) -> &dyn Decode {
        &*self.decode
    }

    /// Connects, if that was not done yet. The tariff's refresh comes every few seconds:
    /// it is what connects.
    pub async fn connect(&self) -> Result<(), ChainFault> {
        if self.is_connected() {
            return Ok(());
        }
        let Some(connect) = &self.connect else { return Err(NotConnected.into()) };
        let ports = connect().await.map_err(ChainFault)?;
        if self.facts.takes_nonce != ports.nonces.is_some() {
            return Err(ChainFault("the chain and what is known of it differ".to_owned()));
        }
        tracing::info!(network = %self.facts.network, "connected");
        // Only one refresh runs at a time; a second chain would be the same.
        let _ = self.ports.set(ports);
        Ok(())
    }

    /// Whether its nodes have answered since the process started.
    pub fn is_connected(&self) -> bool {
        self.ports.get().is_some()
    }

    fn ports(&self) -> Result<&Ports, NotConnected> {
        self.ports.get().ok_or(NotConnected)
    }

    /// See [`Verify`].
    pub fn verify(&self) -> Result<&dyn Verify, NotConnected> {
        Ok(&*self.ports()?.verify)
    }

    /// See [`Sign`].
    pub fn sign(&self) -> Result<&dyn Sign, NotConnected> {
        Ok(&*self.ports()?.sign)
    }

    /// See [`Nonces`]; also an error where attempts take none, which
    /// [`Facts::takes_nonce`] says beforehand.
    pub fn nonces(&self) -> Result<&dyn Nonces, NotConnected> {
        self.ports()?.nonces.as_deref().ok_or(NotConnected)
    }

    /// See [`Batch`]; `None` where each payment goes alone, and before it is connected.
    pub fn batch(&self) -> Option<&dyn Batch> {
        self.ports.get()?.batch.as_deref()
    }

    /// See [`Replace`]; `None` where nothing can be replaced.
    pub fn replace(&self) -> Result<Option<&dyn Replace>, NotConnected> {
        Ok(self.ports()?.replace.as_deref())
    }

    /// See [`Broadcast`].
    pub fn broadcast(&self) -> Result<&dyn Broadcast, NotConnected> {
        Ok(&*self.ports()?.broadcast)
    }

    /// See [`Watch`].
    pub fn watch(&self) -> Result<&dyn Watch, NotConnected> {
        Ok(&*self.ports()?.watch)
    }

    /// See [`Costs`].
    pub fn costs(&self) -> Result<&dyn Costs, NotConnected> {
        Ok(&*self.ports()?.costs)
    }

    /// See [`Payouts`]; `None` where an address alone can be paid.
    pub fn payouts(&self) -> Result<Option<&dyn Payouts>, NotConnected> {
        Ok(self.ports()?.payouts.as_deref())
    }

    /// See [`Endpoints`]; `None` where nobody looks after them, or nobody answered yet.
    pub fn endpoints(&self) -> Option<&dyn Endpoints> {
        self.ports.get()?.endpoints.as_deref()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("facts", &self.facts)
            .field("is_connected", &self.is_connected())
            .finish()
    }
}

#[cfg(test)]
mod tests;
