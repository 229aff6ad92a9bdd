//! A request that another protocol carries than plain HTTP: a call of a tool, in MCP. Limits, files of
//! open payments, and the rule that one request is signed once are the same.

use std::time::Duration;

use quittance_protocol::decode_header;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::answer::{RETRY_SECONDS, says_again, says_settled};
use crate::event::Event;
use crate::required::Required;
use crate::state::{Held, Pending};
use crate::{Answer, Outcome, PayError, Payer, Request};

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// What it asks for (again): a `PaymentRequired` of x402 version 2, or version 1's.
    pub required: Option<Value>,
    /// What it says of the payment: a `SettlementResponse`.
    pub receipt: Option<Value>,
    /// Whether it says itself that it is no success.
    pub is_error: bool,
}

impl Carried {
    /// As for HTTP: nobody knows yet, or the same payment can be sent again.
    fn leaves_it_open(&self) -> bool {
        let asks = self.required.as_ref().and_then(|value| value.get("error")).and_then(Value::as_str);
        let is_pending = asks == Some("settlement_pending");
        !says_settled(self.receipt.as_ref()) && (says_again(self.receipt.as_ref()) || is_pending)
    }

    /// In HTTP's words, for whoever shows it.
    fn status(&self) -> u16 {
        match (&self.required, self.is_error) {
            (Some(_), _) => 402,
            (None, true) => 500,
            (None, false) => 200,
        }
    }

    fn answer(self, outcome: Outcome, pending: Option<Pending>) -> Answer {
        let status = self.status();
        let (bill, signed_offer) = pending.map_or((None, None), |one| (Some(one.bill), one.signed_offer));
        let (headers, body) = (HeaderMap::new(), Vec::new());
        Answer { status, headers, body, bill, signed_offer, receipt: self.receipt, outcome }
    }
}

impl Payer {
    /// Whether the limits let this host be asked at all.
    pub fn check_host(&self, request: &Request) -> Result<(), PayError> {
        self.limits().check_host(&request.host())
    }

    /// As [`Payer::buy`], where `carry` brings the request to its seller: without a payment, or with
    /// this one (a `PaymentPayload`). `request` says which call it is: where it goes, and all that makes
    /// two of them the same. An error of `carry` says that there was no answer. What was answered is for
    /// `carry` to keep; the answer here has no body.
    pub async fn buy_carried<F, Fut>(&self, request: &Request, carry: F) -> Result<Answer, PayError>
    where
        F: Fn(Option<Value>) -> Fut,
        Fut: Future<Output = Result<Carried, String>>,
    {
        self.check_host(request)?;
        let fingerprint = request.fingerprint();
        loop {
            if let Some(held) = self.open(&fingerprint).await? {
                let pending = (*held.pending).clone();
                let (signed_at, bill) = (pending.signed_at, pending.bill.clone());
                self.tell(|| Event::FoundOpen { signed_at, bill });
                return self.carry_paid(request, pending, Some(held), carry).await;
            }
            self.tell(|| Event::Asked);
            let carried = carry(None).await.map_err(PayError::NotCarried)?;
            let Some(required) = &carried.required else {
                return Ok(carried.answer(Outcome::Free, None));
            };
            let required = Required::from_value(required)?;
            self.tell(|| Event::Offered(self.terms(request, &required)));
            if let Some((pending, held)) = self.sign(request, &required, &fingerprint).await? {
                return self.carry_paid(request, pending, held, carry).await;
            }
        }
    }

    async fn carry_paid<F, Fut>(
        &self,
        request: &Request,
        pending: Pending,
        held: Option<Held>,
        carry: F,
    ) -> Result<Answer, PayError>
    where
        F: Fn(Option<Value>) -> Fut,
        Fut: Future<Output = Result<Carried, String>>,
    {
        if pending.url != request.url() {
            return Err(PayError::Request("the payment on file was signed for another URL".to_owned()));
        }
        let payment: Value = decode_header(&pending.header)?;
        let carried = self.carry_until_known(&payment, carry).await.map_err(PayError::Unknown)?;
        let (open, settled) = (carried.leaves_it_open(), says_settled(carried.receipt.as_ref()));
        // The receipt before everything else: money that moved is not called refused.
        let outcome = match &carried.required {
            _ if open => Outcome::Open,
            _ if settled => Outcome::Paid,
            Some(required) => Outcome::Refused(Required::from_value(required).ok().and_then(|one| one.error)),
            None if carried.is_error => Outcome::Refused(None),
            None => Outcome::Paid,
        };
        let is_told = !carried.is_error || carried.required.is_some() || carried.receipt.is_some();
        match held {
            Some(held) if !open && is_told => held.done()?,
            Some(mut held) if !open => held.refused()?,
            _ => {}
        }
        Ok(carried.answer(outcome, Some(pending)))
    }

    /// The same payment until somebody knows how it ended, as over HTTP.
    async fn carry_until_known<F, Fut>(&self, payment: &Value, carry: F) -> Result<Carried, String>
    where
        F: Fn(Option<Value>) -> Fut,
        Fut: Future<Output = Result<Carried, String>>,
    {
        let until = tokio::time::Instant::now() + self.wait;
        let (mut times, pause) = (0_u32, Duration::from_secs(RETRY_SECONDS));
        loop {
            times = times.saturating_add(1);
            self.tell(|| Event::Sent { times });
            let answer = carry(Some(payment.clone())).await;
            self.tell(|| match &answer {
                Ok(carried) => Event::Answered { status: carried.status(), receipt: carried.receipt.clone() },
                Err(problem) => Event::Broken { problem: problem.clone() },
            });
            let is_known = answer.as_ref().is_ok_and(|carried| !carried.leaves_it_open());
            if is_known || tokio::time::Instant::now() + pause >= until {
                return answer;
            }
            self.tell(|| Event::Again { after: pause });
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests;
