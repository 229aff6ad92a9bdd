//! What handlers learn from a request's extensions.

use std::ops::Deref;

use http::Extensions;

/// The payment that started this handler run.
///
/// Dereferences to the gate's [`Paid`](quittance_gate::Paid), and so to
/// [`PaidFacts`](quittance_gate::PaidFacts): `payment_id`, `request_id`, `payer`, `amount`,
/// `service`, `network`, `transaction` and `run`. Only the gate can make one; no header
/// can. With the feature `axum` it is an extractor: take `Option<Paid>` in handlers that also serve
/// requests a hook let through.
#[derive(Clone, Debug)]
pub struct Paid(quittance_gate::Paid);

impl Paid {
    /// From the extensions of a request that the gate let through; `None` where it was not paid for.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned().map(Self)
    }
}

impl Deref for Paid {
    type Target = quittance_gate::Paid;

    fn deref(&self) -> &quittance_gate::Paid {
        &self.0
    }
}

/// Whom an authenticating hook recognised; with the feature `axum` also the extractor for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);

impl Identity {
    /// From the extensions of a request that the gate let through; `None` where no hook did.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Bypassed>().map(|bypassed| bypassed.0.clone())
    }
}

impl From<Identity> for quittance_gate::Identity {
    fn from(Identity(name): Identity) -> Self {
        Self(name)
    }
}

/// What the gate leaves in the request's extensions. The type is private to the
/// crate, so nothing else can put it there.
#[derive(Clone)]
struct Bypassed(Identity);

/// Notes whom a hook recognised, and nobody else.
pub(crate) fn note_identity(extensions: &mut Extensions, identity: Option<quittance_gate::Identity>) {
    extensions.remove::<Bypassed>();
    if let Some(quittance_gate::Identity(name)) = identity {
        extensions.insert(Bypassed(Identity(name)));
    }
}
