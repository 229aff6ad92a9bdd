//! What a handler learns about the payment, or the credentials, behind a request.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quittance_facilitator::{PaidFacts, USAGE_MAX, Usage};
use quittance_quote::{Metered, Price, QuoteError};

/// The payment that started this handler run, in the request's extensions.
///
/// Dereferences to [`PaidFacts`]: `payment_id`, `request_id`, `payer`,
/// `amount`, `service`, `network`, `transaction` and `run`. Only the gate can
/// make one; no header can.
///
/// `run` is above 1 when an earlier run of the same payment failed: a handler
/// with side effects of its own should key them by `payment_id`.
#[derive(Clone, Debug)]
pub struct Paid(pub(crate) Arc<Ticket>);

/// What all copies of a [`Paid`] are. The type is private to the crate, so nothing
/// else can make one.
#[derive(Debug)]
pub(crate) struct Ticket {
    facts: PaidFacts,
    price: Price,
    usage: Mutex<Option<Usage>>,
    unbegun: AtomicBool,
}

impl Ticket {
    pub(crate) fn new(facts: PaidFacts, price: Price) -> Self {
        Self { facts, price, usage: Mutex::new(None), unbegun: AtomicBool::new(false) }
    }

    /// Whether the handler said that nothing began.
    pub(crate) fn is_unbegun(&self) -> bool {
        self.unbegun.load(Ordering::Acquire)
    }

    /// What the handler reported last.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a usage cannot be reported; nothing is booked then, and the answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The price was no reserve: it does not depend on what is used.
    #[error("this request was not sold from a reserve")]
    NoReserve,
    /// Numbers that no model reaches.
    #[error("the usage is out of range")]
    OutOfRange,
}

impl From<QuoteError> for UsageError {
    fn from(_: QuoteError) -> Self {
        Self::OutOfRange
    }
}

impl Paid {
    /// How the service price adds up, and what it reserves for text.
    pub fn price(&self) -> &Price {
        &self.0.price
    }

    /// Says that nothing of this run began: whoever would have done the work was not
    /// reached, and no byte of the request went out. If the run then ends as a credit, it is
    /// none of those that `gate.runs_max` allows: a payer loses no run because the
    /// operator restarts a service. Say it only where it is certain: a run that may have
    /// begun and is not counted could be repeated without an end.
    pub fn note_unbegun(&self) {
        self.0.unbegun.store(true, Ordering::Release);
    }

    /// Takes [`note_unbegun`](Self::note_unbegun) back: from here on this run counts, however it
    /// ends. For whoever says beforehand that nothing began, since waiting for its turn may be
    /// cut short.
    pub fn note_begun(&self) {
        self.0.unbegun.store(false, Ordering::Release);
    }

    /// Reports the tokens that the model really read and made, over all choices,
    /// and returns what they cost by the prices of the reserve.
    ///
    /// The gate books the last report together with the answer, so report before
    /// the answer's body ends: from a stream, before its last chunk. A report of
    /// a run that fails is dropped with it.
    ///
    /// An `exact` payment is made once and in full: what is charged stays the
    /// reserve, whatever the report says. A scheme that charges by use (`upto`)
    /// will charge [`Metered::usdc`] here, at most the reserve.
    pub fn report_tokens(&self, prompt_tokens: u64, completion_tokens: u64) -> Result<Metered, UsageError> {
        let price = &self.0.price;
        let reserve = price.reserve.as_ref().ok_or(UsageError::NoReserve)?;
        let metered = reserve.meter(prompt_tokens, completion_tokens)?;
        let usage = Usage {
            product: reserve.model.clone(),
            prompt_tokens_reserved: reserve.prompt_tokens,
            prompt_tokens,
            completion_tokens_reserved: reserve.output_tokens,
            completion_tokens,
            reserved: price.service,
            metered: metered.usdc,
            charged: price.service,
        };
        let amounts = [usage.reserved, usage.metered].map(quittance_protocol::Amount::atomic);
        let tokens = [
            usage.prompt_tokens_reserved,
            prompt_tokens,
            usage.completion_tokens_reserved,
            completion_tokens,
        ];
        if amounts.iter().chain(&tokens).any(|value| *value > USAGE_MAX) {
            return Err(UsageError::OutOfRange);
        }
        *self.0.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage);
        Ok(metered)
    }
}

impl Deref for Paid {
    type Target = PaidFacts;

    fn deref(&self) -> &PaidFacts {
        &self.0.facts
    }
}

/// Whom an authenticating hook recognised; in the extensions of a request that it let
/// through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub String);
