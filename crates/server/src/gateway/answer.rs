//! An upstream's answer on its way to the client, or to the run that asked for it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use crate::gateway::metrics::{Metrics, Outcome};
use crate::gateway::upload::Reading;
use crate::gateway::upstream::{Upstream, chain};
use crate::gateway::usage::Meter;

/// Who hears how it ended.
pub(crate) struct Watch {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) metrics: Rc<Metrics>,
    /// Of a run that was paid for.
    pub(crate) run: Option<PaidRun>,
    pub(crate) kind: &'static str,
    /// Whether an answer that comes whole shows that the upstream is well: a refusal of what was
    /// asked does not, or whoever asks amiss would make failures forgotten.
    pub(crate) is_success: bool,
    /// How it ended is said once.
    pub(crate) is_over: bool,
}

/// Which payment, and whose.
pub(crate) struct PaidRun {
    pub(crate) payment: String,
    pub(crate) payer: String,
}

/// A body that ends with the upstream's.
pub(crate) struct Answer {
    body: Incoming,
    size: BodySize,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    watch: Watch,
    meter: Option<Meter>,
    /// Bytes of the request may still be on their way.
    _reading: Option<Reading>,
    /// A place among what nobody paid for.
    _place: Option<OwnedSemaphorePermit>,
}

/// What goes along with it.
#[derive(Default)]
pub(crate) struct Along {
    pub(crate) meter: Option<Meter>,
    pub(crate) reading: Option<Reading>,
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// The upstream's answer did not go on to its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum BrokeOff {
    #[error("the upstream's answer broke off")]
    Broken,
    #[error("nothing of the upstream's answer came for too long")]
    Silent,
}

impl Watch {
    /// What became of an answer, or that there is none.
    pub(crate) fn ended(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.metrics.count(&self.upstream.name, self.kind, outcome);
        let Some(PaidRun { payment, payer }) = &self.run else { return };
        match outcome {
            Outcome::Answered if self.is_success => self.upstream.circuit.succeeded(),
            // A refused connection is counted where it was refused.
            Outcome::Answered | Outcome::Unreachable => {}
            _ => self.upstream.circuit.failed(payment, payer, Instant::now()),
        }
    }
}

impl Answer {
    pub(crate) fn new(body: Incoming, size: BodySize, watch: Watch, along: Along) -> Self {
        let silence_max = Duration::from_secs(watch.upstream.config.silence_seconds_max);
        let Along { meter, reading, place } = along;
        let silence = Box::pin(sleep(silence_max));
        Self { body, size, silence_max, silence, watch, meter, _reading: reading, _place: place }
    }

    fn end(&mut self, outcome: Outcome) {
        self.watch.ended(outcome);
        if let Some(meter) = self.meter.take()
            && outcome == Outcome::Answered
        {
            meter.report();
        }
    }
}

impl MessageBody for Answer {
    type Error = BrokeOff;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokeOff>>> {
        let this = &mut *self;
        loop {
            let next = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    ready!(this.silence.as_mut().poll(cx));
                    this.end(Outcome::TooSlow);
                    return Poll::Ready(Some(Err(BrokeOff::Silent)));
                }
            };
            match next {
                None => {
                    this.end(Outcome::Answered);
                    return Poll::Ready(None);
                }
                Some(Ok(frame)) => {
                    // Trailers are of one connection here.
                    let Ok(piece) = frame.into_data() else { continue };
                    this.silence.as_mut().reset(Instant::now() + this.silence_max);
                    if let Some(meter) = &mut this.meter {
                        meter.see(&piece);
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Err(error)) => {
                    tracing::warn!(
                        upstream = this.watch.upstream.name,
                        "an answer broke off: {}",
                        chain(&error)
                    );
                    this.end(Outcome::BrokeOff);
                    return Poll::Ready(Some(Err(BrokeOff::Broken)));
                }
            }
        }
    }
}
