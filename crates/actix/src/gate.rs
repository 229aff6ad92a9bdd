//! The gate as a host builds it.

use std::future::Future;
use std::sync::Arc;

use actix_web::dev::ResourceDef;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, ServiceConfig};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use quittance_facilitator::{Callers, Facilitator, Places};
use quittance_quote::Pricer;

use crate::bytes::Budgets;
use crate::discovery::{self, AccountSecurity, Document, Listed};
use crate::middleware::{GateMiddleware, SharedBody};
use crate::pricing::Pricing;
use crate::till::Till;
use crate::{Cors, Identity, Limits};

/// A payment gate. Cheap to clone; clones share their limits, so build one and
/// clone it into the server's worker factory.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

/// What every request of every worker sees.
pub(crate) struct Shared {
    pub(crate) till: Arc<dyn Till>,
    pub(crate) pricer: Arc<dyn Pricer>,
    pub(crate) public_url: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) cors: Cors,
    pub(crate) callers: Callers,
    pub(crate) places: Places<SharedBody>,
    pub(crate) bodies: Budgets,
    pub(crate) pricing: Pricing,
    pub(crate) listed: Vec<Listed>,
    pub(crate) documents: Vec<Document>,
    pub(crate) account_security: Vec<AccountSecurity>,
    hooks: Vec<Hook>,
}

type Authenticate = dyn Fn(HeaderMap) -> LocalBoxFuture<'static, Option<Identity>> + Send + Sync;

/// A route on which the host's own customers need not pay per call.
struct Hook {
    method: String,
    path: ResourceDef,
    authenticate: Box<Authenticate>,
}

impl Gate {
    /// Starts a gate over `facilitator`, selling what `pricer` prices.
    pub fn builder(facilitator: Facilitator, pricer: Arc<dyn Pricer>) -> GateBuilder {
        Self::over(Arc::new(facilitator), pricer)
    }

    /// The same over any till.
    pub(crate) fn over(till: Arc<dyn Till>, pricer: Arc<dyn Pricer>) -> GateBuilder {
        GateBuilder {
            till,
            pricer,
            public_url: None,
            limits: Limits::default(),
            callers: Callers::default(),
            cors: Cors::default(),
            hooks: Vec::new(),
            documents: Document::ALL.to_vec(),
            account_security: Vec::new(),
        }
    }

    /// The middleware, for `Scope::wrap` or `App::wrap`. It also answers the
    /// discovery documents where its scope covers them.
    pub fn middleware(&self) -> GateMiddleware {
        GateMiddleware::new(Arc::clone(&self.shared))
    }

    /// The discovery routes, for an application whose gated scope does not
    /// cover them: `App::configure(gate.discovery())`.
    pub fn discovery(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let shared = Arc::clone(&self.shared);
        move |config| {
            for document in shared.documents.clone() {
                let shared = Arc::clone(&shared);
                config.route(
                    document.path(),
                    web::get().to(move |req: actix_web::HttpRequest| {
                        let mut answer = discovery::answer(&shared, document);
                        shared.cors.verdict(req.headers()).apply(answer.headers_mut());
                        std::future::ready(answer)
                    }),
                );
            }
        }
    }
}

impl Shared {
    /// Whom the host's hook for this route recognises, if there is one.
    pub(crate) async fn authenticate(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Identity> {
        let hook = self.hooks.iter().find(|hook| hook.method == method && hook.path.is_match(path))?;
        (hook.authenticate)(headers.clone()).await
    }
}

/// Builds a [`Gate`].
pub struct GateBuilder {
    till: Arc<dyn Till>,
    pricer: Arc<dyn Pricer>,
    public_url: Option<String>,
    limits: Limits,
    callers: Callers,
    cors: Cors,
    hooks: Vec<Hook>,
    documents: Vec<Document>,
    account_security: Vec<AccountSecurity>,
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

    /// Lets the host's own customers through on one route (`path` may be a
    /// pattern such as `/v1/files/{id}`).
    ///
    /// `hook` gets the request's headers. `Some` sends the request to the
    /// handler unpaid, with the identity in its extensions; `None` treats it as
    /// if it carried no credentials. It is not asked about requests that carry
    /// a payment. It runs before anything is paid, so it must bound what it
    /// spends on a stranger's credentials.
    #[must_use]
    pub fn authenticate<F, Fut>(mut self, method: &str, path: &str, hook: F) -> Self
    where
        F: Fn(HeaderMap) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Identity>> + 'static,
    {
        self.hooks.push(Hook {
            method: method.to_ascii_uppercase(),
            path: ResourceDef::new(path),
            authenticate: Box::new(move |headers| hook(headers).boxed_local()),
        });
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

    /// The gate.
    ///
    /// Prices the pricer's examples once, for the discovery documents.
    pub fn build(self) -> Gate {
        let hooks = &self.hooks;
        let listed = discovery::list(&*self.pricer, |method, path| {
            hooks.iter().any(|hook| hook.method == method && hook.path.is_match(path))
        });
        Gate {
            shared: Arc::new(Shared {
                till: self.till,
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
                documents: self.documents,
                account_security: self.account_security,
            }),
        }
    }
}
