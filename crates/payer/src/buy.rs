//! One call, from the unpaid request to an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quittance_protocol::{Amount, PaymentRequirements, UnixSeconds};
use reqwest::{Client, Response, StatusCode, redirect};

use crate::answer::{
    Answer, Bill, Outcome, RETRY_SECONDS, body_of, leaves_it_open, moved, moved_after, receipt_of,
    retry_after, says_settled,
};
use crate::event::{Event, Observe, Offered, Terms, shown};
use crate::required::Required;
use crate::sign::{Signed, sign};
use crate::state::{Found, Held, Pending};
use crate::{Kept, Keys, Limits, PayError, Request, State};

/// How long the same payment is sent again while its outcome is unknown, unless told otherwise.
pub const WAIT_SECONDS: u64 = 120;

/// Longest time that may be asked for.
const WAIT_SECONDS_MAX: u64 = 86_400;

/// Pause between two looks whether another call of the same request has ended.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// Shortest time limit of one HTTP request: a settlement takes its time.
const REQUEST_SECONDS_MIN: u64 = 30;

/// What a host is asked about before anything is signed.
#[derive(Clone, Debug)]
pub struct Quote {
    /// Where it would go.
    pub url: String,
    /// What would be signed.
    pub bill: Bill,
}

/// What an endpoint says to who does not pay.
#[derive(Debug)]
pub enum Look {
    /// It asks for no payment: its answer.
    Free(Box<Answer>),
    /// What it asks for.
    Asks(Terms),
}

/// The same, as the payer goes on from it.
enum Asked {
    Free(Box<Answer>),
    Required(Box<Required>),
}

/// The host's own word on a price that the limits let through.
pub type Approve = Arc<dyn Fn(&Quote) -> bool + Send + Sync>;

/// Calls endpoints and pays them.
pub struct Payer {
    keys: Keys,
    limits: Limits,
    state: Option<State>,
    approve: Option<Approve>,
    observe: Option<Observe>,
    pub(crate) wait: Duration,
    in_parallel: bool,
    client: Client,
}

impl Payer {
    /// A payer that remembers nothing: a payment whose outcome is unknown when the time is
    /// over is for its host to look after.
    pub fn new(keys: Keys, limits: Limits) -> Result<Self, PayError> {
        let payer = Self {
            keys,
            limits,
            state: None,
            approve: None,
            observe: None,
            wait: Duration::from_secs(WAIT_SECONDS),
            in_parallel: false,
            client: client(WAIT_SECONDS)?,
        };
        Ok(payer)
    }

    /// Keeps payments under way and the day's spending in files.
    pub fn with_state(self, state: State) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Asks the host before anything is signed.
    pub fn with_approval(self, approve: Approve) -> Self {
        Self { approve: Some(approve), ..self }
    }

    /// Tells each step of a call to somebody who shows it.
    pub fn with_observer(self, observe: Observe) -> Self {
        Self { observe: Some(observe), ..self }
    }

    /// Buys beside another call of the same request that is under way, instead of waiting for
    /// its end: for whoever means to buy twice.
    pub fn in_parallel(self) -> Self {
        Self { in_parallel: true, ..self }
    }

    /// How long to keep asking while the outcome is unknown; a day at most.
    pub fn with_wait(self, seconds: u64) -> Result<Self, PayError> {
        let seconds = seconds.min(WAIT_SECONDS_MAX);
        Ok(Self { wait: Duration::from_secs(seconds), client: client(seconds)?, ..self })
    }

    /// Calls, and pays if the endpoint asks. A payment that an earlier call of the same
    /// request left open is sent again first, and answers this one.
    pub async fn buy(&self, request: &Request) -> Result<Answer, PayError> {
        self.limits.check_host(&request.host())?;
        let fingerprint = request.fingerprint();
        loop {
            if let Some(held) = self.open(&fingerprint).await? {
                tracing::info!(
                    url = request.url(),
                    "an earlier payment for this request is open; sending it again"
                );
                let pending = (*held.pending).clone();
                let (signed_at, bill) = (pending.signed_at, pending.bill.clone());
                self.tell(|| Event::FoundOpen { signed_at, bill });
                return self.send_paid(request, pending, Some(held)).await;
            }
            let required = match self.ask(request).await? {
                Asked::Free(answer) => return Ok(*answer),
                Asked::Required(required) => required,
            };
            if let Some((pending, held)) = self.sign(request, &required, &fingerprint).await? {
                return self.send_paid(request, pending, held).await;
            }
        }
    }

    /// Calls without paying: what it costs, and what of it this payer would pay. Nothing is signed,
    /// and nothing is sent that an earlier call left open.
    pub async fn look(&self, request: &Request) -> Result<Look, PayError> {
        self.limits.check_host(&request.host())?;
        Ok(match self.ask(request).await? {
            Asked::Free(answer) => Look::Free(answer),
            Asked::Required(required) => Look::Asks(self.terms(request, &required)),
        })
    }

    /// What it may sign for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The addresses that it pays from.
    pub fn addresses(&self) -> Vec<String> {
        self.keys.addresses()
    }

    /// What was signed today (UTC), by host, whoever signed it with the same [`State`].
    pub fn signed_today(&self) -> Result<BTreeMap<String, Amount>, PayError> {
        self.state.as_ref().map_or_else(|| Ok(BTreeMap::new()), |state| state.signed_today(now()))
    }

    /// The payments that are sent again by the next call of the same request.
    pub fn kept(&self) -> Result<Vec<Kept>, PayError> {
        self.state.as_ref().map_or_else(|| Ok(Vec::new()), |state| state.kept(&self.keys.addresses(), now()))
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(observe) = &self.observe {
            observe(event());
        }
    }

    pub(crate) fn terms(&self, request: &Request, required: &Required) -> Terms {
        let too_dear = |offer: &PaymentRequirements| {
            let refused = request.check_price(offer.amount()?, &self.limits).err();
            refused.map(|error| error.to_string())
        };
        let offered = |offer: &PaymentRequirements| Offered {
            bill: offer.amount().map(|amount| Bill::of(offer, amount)),
            why_not: self.limits.refusal(offer, &self.keys).or_else(|| too_dear(offer)),
            requirements: offer.clone(),
        };
        Terms {
            version: required.version,
            error: required.error.clone(),
            resource_url: required.resource.as_ref().map(|resource| resource.url.clone()),
            offers: required.offers.iter().map(offered).collect(),
            odd: required.odd,
            signed: required.signed.clone(),
        }
    }

    async fn ask(&self, request: &Request) -> Result<Asked, PayError> {
        self.tell(|| Event::Asked);
        let unpaid = request.send(&self.client, None).await?;
        if unpaid.status().is_redirection() {
            return Err(moved(&unpaid));
        }
        let (status, headers) = (unpaid.status(), unpaid.headers().clone());
        let body = body_of(unpaid).await?;
        if status != StatusCode::PAYMENT_REQUIRED {
            let (status, receipt) = (status.as_u16(), receipt_of(&headers));
            self.tell(|| Event::Free { status });
            let (bill, signed_offer, outcome) = (None, None, Outcome::Free);
            let answer = Answer { status, headers, body, bill, signed_offer, receipt, outcome };
            return Ok(Asked::Free(Box::new(answer)));
        }
        let required = Required::read(&headers, &body)?;
        self.tell(|| Event::Offered(self.terms(request, &required)));
        Ok(Asked::Required(Box::new(required)))
    }

    /// What an earlier call of the same request left open. While one is under way this call
    /// waits: it may be of somebody who gave up on that one, and would pay again.
    pub(crate) async fn open(&self, fingerprint: &str) -> Result<Option<Held>, PayError> {
        let Some(state) = &self.state else { return Ok(None) };
        let begun = tokio::time::Instant::now();
        let mut is_told = false;
        loop {
            match state.find(fingerprint, &self.keys.addresses(), now())? {
                Found::Open(held) => return Ok(Some(held)),
                Found::Nothing => return Ok(None),
                Found::Busy if self.in_parallel => return Ok(None),
                Found::Busy if begun.elapsed() >= self.wait => {
                    return Err(PayError::Limit(
                        "another call of the same request is still under way; to buy beside it, say so"
                            .to_owned(),
                    ));
                }
                Found::Busy => {
                    if !std::mem::replace(&mut is_told, true) {
                        self.tell(|| Event::Waiting);
                    }
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
            }
        }
    }

    /// Chooses, asks, signs, and keeps what was signed before anybody is shown it. `None` where another
    /// call of the same request did so meanwhile: this one has to look at what that one left.
    pub(crate) async fn sign(
        &self,
        request: &Request,
        required: &Required,
        fingerprint: &str,
    ) -> Result<Option<(Pending, Option<Held>)>, PayError> {
        let offer = self.limits.choose(required, &self.keys)?;
        let bill = Bill::of(offer, self.limits.price(offer)?);
        request.check_price(bill.amount, &self.limits)?;
        if self.state.is_none() && (self.limits.day.is_some() || self.limits.host_day.is_some()) {
            return Err(PayError::Limit("limits by day need a state to be counted in".to_owned()));
        }
        let quote = Quote { url: request.url().to_owned(), bill };
        if self.approve.as_ref().is_some_and(|approve| !approve(&quote)) {
            return Err(PayError::NotApproved(quote.url));
        }
        let signed_at = now();
        let life = (signed_at, self.limits.authorization_seconds_max);
        let Signed { header_name, header, payer, valid_until } =
            sign(required, offer, &self.keys, life).await?;
        let Quote { url, bill } = quote;
        let signed_offer = required.signed_offer(offer);
        let pending = Pending { url, payer, header_name, header, bill, signed_offer, signed_at, valid_until };
        let held = match &self.state {
            None => None,
            Some(state) => {
                let payers = if self.in_parallel { Vec::new() } else { self.keys.addresses() };
                let counted = (request.host_name(), &self.limits);
                match state.record(fingerprint, pending.clone(), counted, &payers)? {
                    Some(held) => Some(held),
                    None => return Ok(None),
                }
            }
        };
        self.tell(|| Event::Signed {
            payer: pending.payer.clone(),
            bill: pending.bill.clone(),
            valid_until: pending.valid_until,
            payment: shown(&pending.header),
        });
        Ok(Some((pending, held)))
    }

    async fn send_paid(
        &self,
        request: &Request,
        pending: Pending,
        mut held: Option<Held>,
    ) -> Result<Answer, PayError> {
        // A file that was made for another place is not sent here, however it got its name.
        if pending.url != request.url() {
            return Err(PayError::Request("the payment on file was signed for another URL".to_owned()));
        }
        let paid = match self.send_until_known(request, &pending).await {
            Ok(paid) => paid,
            Err(error) => return Err(PayError::Unknown(error.to_string())),
        };
        let (status, headers) = (paid.status(), paid.headers().clone());
        let receipt = receipt_of(&headers);
        // The receipt before the status: who is told that it failed buys again what was paid for. What
        // points elsewhere without one says nothing of the payment, which stays on file.
        if status.is_redirection() && !says_settled(receipt.as_ref()) {
            return Err(moved_after(status, &headers));
        }
        let open = leaves_it_open(status, &headers);
        if says_settled(receipt.as_ref())
            && let Some(held) = &mut held
        {
            held.settled()?;
        }
        // A body that breaks leaves the payment on file: the next call asks for it again.
        let body = body_of(paid).await.map_err(|error| match error {
            PayError::Http(error) => PayError::Unknown(format!("the answer broke off: {error}")),
            other => other,
        })?;
        let outcome = match open {
            true => Outcome::Open,
            // The receipt before the status: money that moved is not called refused, whatever else
            // the server asks for.
            false if status.is_success() || says_settled(receipt.as_ref()) => Outcome::Paid,
            false if status == StatusCode::PAYMENT_REQUIRED => Outcome::Refused(reason(&headers, &body)),
            false => Outcome::Refused(None),
        };
        let is_told = status.is_success() || status == StatusCode::PAYMENT_REQUIRED || receipt.is_some();
        match held {
            Some(held) if !open && is_told => held.done()?,
            Some(mut held) if !open => held.refused()?,
            _ => {}
        }
        let Pending { bill, signed_offer, .. } = pending;
        let (status, bill) = (status.as_u16(), Some(bill));
        Ok(Answer { status, headers, body, bill, signed_offer, receipt, outcome })
    }

    /// Sends the same payment until somebody knows how it ended. Neither a broken
    /// connection nor a gateway's error says anything about the payment: giving up
    /// and paying anew could pay twice.
    async fn send_until_known(
        &self,
        request: &Request,
        pending: &Pending,
    ) -> Result<Response, reqwest::Error> {
        let until = tokio::time::Instant::now() + self.wait;
        let mut times = 0_u32;
        loop {
            times = times.saturating_add(1);
            self.tell(|| Event::Sent { times });
            let payment = (pending.header_name.as_str(), pending.header.as_str());
            let answer = request.send(&self.client, Some(payment)).await;
            self.tell(|| match &answer {
                Ok(response) => Event::Answered {
                    status: response.status().as_u16(),
                    receipt: receipt_of(response.headers()),
                },
                Err(error) => Event::Broken { problem: error.to_string() },
            });
            let pause = match &answer {
                Ok(response) if leaves_it_open(response.status(), response.headers()) => {
                    tracing::info!(status = %response.status(), "not decided; sending the same payment again");
                    retry_after(response.headers())
                }
                Ok(_) => return answer,
                Err(error) => {
                    tracing::warn!(%error, "no answer; sending the same payment again");
                    Duration::from_secs(RETRY_SECONDS)
                }
            };
            if tokio::time::Instant::now() + pause >= until {
                tracing::warn!(
                    "the outcome is still unknown: the payment may have been taken, so look before you pay again"
                );
                return answer;
            }
            self.tell(|| Event::Again { after: pause });
            tokio::time::sleep(pause).await;
        }
    }
}

/// Why a payment was answered with another offer.
fn reason(headers: &reqwest::header::HeaderMap, body: &[u8]) -> Option<String> {
    Required::read(headers, body).ok()?.error
}

fn client(wait_seconds: u64) -> Result<Client, PayError> {
    let client = Client::builder()
        .timeout(Duration::from_secs(wait_seconds.max(REQUEST_SECONDS_MIN)))
        // Another place could take the payment and serve something else.
        .redirect(redirect::Policy::none())
        .build()?;
    Ok(client)
}

#[allow(clippy::disallowed_methods, reason = "a payer's own clock")]
fn now() -> UnixSeconds {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests;
