//! The gate as a host builds it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use quittance_facilitator::config::{ConfigError, ReceiptsConfig, read_secret};
use quittance_facilitator::{Callers, Facilitator, Places};
use quittance_quote::Pricer;
use quittance_receipts::Issuer;

use crate::bytes::Budgets;
use crate::cors::Cors;
use crate::discovery::listed::{self, AccountSecurity, Document};
use crate::facilitate::Facilitate;
use crate::hooks::{ClosedFor, Hook, Hooks};
use crate::limits::Limits;
use crate::monitor::Monitor;
use crate::paid::Identity;
use crate::pricing::Pricing;
use crate::shared::Shared;

/// A payment gate. Cheap to clone; clones share their limits, so build one and
/// clone it into the server's worker factory.
#[derive(Clone)]
pub struct Gate {
    pub(crate) shared: Arc<Shared>,
}

impl Gate {
    /// Starts a gate over `facilitator`, selling what `pricer` prices.
    pub fn builder(facilitator: Facilitator, pricer: Arc<dyn Pricer>) -> GateBuilder {
        Self::over(Arc::new(facilitator), pricer)
    }

    /// The same over anything that takes payments.
    pub(crate) fn over(facilitator: Arc<dyn Facilitate>, pricer: Arc<dyn Pricer>) -> GateBuilder {
        GateBuilder {
            facilitator,
            pricer,
            public_url: None,
            limits: Limits::default(),
            callers: Callers::default(),
            cors: Cors::default(),
            hooks: Hooks::default(),
            documents: Document::ALL.to_vec(),
            account_security: Vec::new(),
            closed: None,
            exact_paths: false,
            monitor: None,
            receipts: None,
        }
    }
}

/// Builds a [`Gate`].
pub struct GateBuilder {
    facilitator: Arc<dyn Facilitate>,
    pricer: Arc<dyn Pricer>,
    public_url: Option<String>,
    limits: Limits,
    callers: Callers,
    cors: Cors,
    hooks: Hooks,
    documents: Vec<Document>,
    account_security: Vec<AccountSecurity>,
    closed: Option<Box<ClosedFor>>,
    exact_paths: bool,
    monitor: Option<Monitor>,
    receipts: Option<Issuer>,
}

impl GateBuilder {
    /// How the outside world reaches the API, e.g. `https://api.example.com`;
    /// stands in `resource.url`. Without it the `Host` header does, which a
    /// client can choose: configure it wherever the gate is reachable.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        let mut url = url.into();
        url.truncate(url.trim_end_matches('/').len());
        self.public_url = Some(url);
        self
    }

    /// Replaces all limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How clients are told apart. Without it they are by the address of their
    /// connection, which behind a proxy is the proxy's.
    #[must_use]
    pub fn callers(mut self, callers: Callers) -> Self {
        self.callers = callers;
        self
    }

    /// Replaces the cross-origin rule; the default lets every page call,
    /// without credentials.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// Lets the host's own customers through on one route. `path` may be a pattern:
    /// `{name}` stands for one whole segment (`/v1/files/{id}`).
    ///
    /// `hook` gets the request's headers. `Some` sends the request to the
    /// handler unpaid, with the identity in its extensions; `None` treats it as
    /// if it carried no credentials. It is not asked about requests that carry
    /// a payment. It runs before anything is paid, so it must bound what it
    /// spends on a stranger's credentials.
    #[must_use]
    pub fn authenticate<F, Fut, I>(mut self, method: &str, path: &str, hook: F) -> Self
    where
        F: Fn(HeaderMap) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<I>> + Send + 'static,
        I: Into<Identity>,
    {
        let ask = move |headers| -> BoxFuture<'static, Option<Identity>> {
            hook(headers).map(|identity| identity.map(Into::into)).boxed()
        };
        self.hooks.add(Hook::new(method, path, Box::new(ask)));
        self
    }

    /// Which discovery documents the gate answers; all of them without this, none
    /// with an empty list. The paths of the others go the way of any other path,
    /// so a host that serves its own lists them as free.
    #[must_use]
    pub fn documents(mut self, documents: impl IntoIterator<Item = Document>) -> Self {
        self.documents = documents.into_iter().collect();
        self
    }

    /// What `/openapi.json` says about the credentials that the hooks of
    /// [`Self::authenticate`] take; the gate cannot know. Each alternative lets a
    /// request through; without any, the document only says that accounts exist.
    #[must_use]
    pub fn account_security(mut self, alternatives: impl IntoIterator<Item = AccountSecurity>) -> Self {
        self.account_security = alternatives.into_iter().collect();
        self
    }

    /// Says for which methods and paths nothing is sold now, and for how many seconds:
    /// what serves them is down. Unpaid requests that have a price are 503 then instead
    /// of 402, and so are payments that are not on record; those that are get what
    /// they bought. It is asked for each request and must be quick.
    #[must_use]
    pub fn closed_for<F>(mut self, ask: F) -> Self
    where
        F: Fn(&str, &str) -> Option<u64> + Send + Sync + 'static,
    {
        self.closed = Some(Box::new(ask));
        self
    }

    /// Makes every path with a percent escape unknown (404), for a host that hands the request's
    /// own bytes to another server: that one would decode what was matched decoded here.
    #[must_use]
    pub fn exact_paths(mut self) -> Self {
        self.exact_paths = true;
        self
    }

    /// Answers monitors with what `monitor` says: `GET /healthz`, whether the process answers;
    /// `GET /readyz`, whether payments can be taken; and to who asks from this host `GET /metrics`.
    /// What the pricer lists under these paths goes first.
    #[must_use]
    pub fn monitors(mut self, monitor: Monitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// Signs every offer, and a receipt of what was paid for and given, with the key that `config`
    /// names; nothing where it names none. What is signed names [`Self::public_url`], so that one
    /// has to be set.
    pub fn receipts(self, config: &ReceiptsConfig) -> Result<Self, ConfigError> {
        let Some(reference) = &config.signing_key else { return Ok(self) };
        let wrong = |problem: &str| ConfigError::Secret {
            key: "receipts.signing_key".to_owned(),
            problem: problem.to_owned(),
        };
        let issuer = Issuer::new(&read_secret(reference)?)
            .map_err(|_| wrong("the key must be 0x and 64 hex digits of a secp256k1 key"))?;
        tracing::info!(signer = issuer.address(), "offers and receipts are signed");
        Ok(self.signed_by(issuer))
    }

    pub(crate) fn signed_by(self, issuer: Issuer) -> Self {
        Self { receipts: Some(issuer), ..self }
    }

    /// The gate.
    ///
    /// Prices the pricer's examples once, for the discovery documents.
    pub fn build(self) -> Gate {
        let hooks = &self.hooks;
        let listed = listed::list(&*self.pricer, |method, path| hooks.find(method, path).is_some());
        let methods: BTreeSet<_> = listed.iter().map(|listed| listed.info.method.clone()).collect();
        Gate {
            shared: Arc::new(Shared {
                facilitator: self.facilitator,
                pricer: self.pricer,
                public_url: self.public_url,
                callers: self.callers,
                places: Places::new(self.limits.concurrency_max, self.limits.copies_max),
                bodies: Budgets::new(&self.limits),
                pricing: Pricing::default(),
                limits: self.limits,
                cors: self.cors,
                hooks: self.hooks,
                listed,
                methods: methods.into_iter().collect(),
                documents: self.documents,
                account_security: self.account_security,
                closed: self.closed,
                exact_paths: self.exact_paths,
                monitor: self.monitor,
                receipts: self.receipts,
            }),
        }
    }
}
