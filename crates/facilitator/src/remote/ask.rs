//! The same payment, sent until somebody has an answer.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::Payment;
use quittance_protocol::{
    Network, PaymentId, PaymentPayload, PaymentRequirements, SettleRequest, X402_VERSION,
};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Answer, Remote};
use crate::metrics::Metrics;

/// A payment as it is sent, each time with the same bytes.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    payment: PaymentId,
    network: Network,
    body: Vec<u8>,
}

impl Question {
    /// `payload`: what the payer sent. `None` where it has no JSON.
    pub(crate) fn new(payment: &Payment, terms: PaymentRequirements, payload: Value) -> Option<Self> {
        Self::of(payment.id.clone(), payment.network.clone(), terms, payload)
    }

    fn of(payment: PaymentId, network: Network, terms: PaymentRequirements, payload: Value) -> Option<Self> {
        let request = SettleRequest {
            x402_version: X402_VERSION,
            payment_payload: PaymentPayload {
                x402_version: X402_VERSION,
                resource: None,
                accepted: terms.clone(),
                payload,
                extensions: Map::new(),
                other: Map::new(),
            },
            payment_requirements: terms,
            other: Map::new(),
        };
        Some(Self { payment, network, body: serde_json::to_vec(&request).ok()? })
    }
}

/// A transaction that the facilitator says has settled the payment: where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) transaction: String,
    /// It was told of before this process first asked: somebody else has it settled, too.
    pub(crate) to_others: bool,
}

/// A payment that is being asked about, until this is dropped.
pub(crate) struct Asking {
    remote: Arc<Remote>,
    metrics: Arc<Metrics>,
    question: Arc<Question>,
    /// An earlier life, or another process, may have asked.
    resumed: bool,
    task: Option<AbortOnDropHandle<()>>,
    tell: mpsc::Sender<Named>,
    heard: mpsc::Receiver<Named>,
}

impl Asking {
    pub(crate) fn new(
        remote: &Arc<Remote>,
        metrics: &Arc<Metrics>,
        question: Question,
        resumed: bool,
    ) -> Self {
        let (tell, heard) = mpsc::channel(1);
        let (remote, metrics, question) = (Arc::clone(remote), Arc::clone(metrics), Arc::new(question));
        Self { remote, metrics, question, resumed, task: None, tell, heard }
    }

    /// Begins, if it has not begun.
    pub(crate) fn begin(&mut self) {
        if self.task.is_none() {
            let (remote, metrics) = (Arc::clone(&self.remote), Arc::clone(&self.metrics));
            let (question, tell) = (Arc::clone(&self.question), self.tell.clone());
            let repeats = repeat(remote, metrics, question, self.resumed, tell);
            self.task = Some(AbortOnDropHandle::new(tokio::spawn(repeats)));
        }
    }

    /// What is named next.
    pub(crate) async fn heard(&mut self) -> Option<Named> {
        self.heard.recv().await
    }
}

/// Until it is dropped: the chain has the last word, and the deadline comes with it.
async fn repeat(
    remote: Arc<Remote>,
    metrics: Arc<Metrics>,
    question: Arc<Question>,
    resumed: bool,
    tell: mpsc::Sender<Named>,
) {
    let (mut pause, mut said, mut is_first) = (Remote::PAUSE_MIN, "", !resumed);
    loop {
        let answer = remote.settle(&question).await;
        metrics.facilitator_answer(&question.network, answer.word());
        // Once per episode: it is asked again and again.
        if answer.word() != said {
            note(&question, &answer);
            said = answer.word();
        }
        let wanted = match &answer {
            Answer::Pending { retry_after, .. } | Answer::Unknown { retry_after, .. } => *retry_after,
            Answer::Settled(_) | Answer::Duplicate(_) | Answer::Refused(_) => None,
        };
        let to_others = is_first && matches!(answer, Answer::Duplicate(_));
        is_first = false;
        let named = match answer {
            Answer::Settled(transaction) | Answer::Duplicate(transaction) => Some(transaction),
            Answer::Pending { transaction, .. } => transaction,
            Answer::Refused(_) | Answer::Unknown { .. } => None,
        };
        // A driver that has not read the last one yet reads this one when it is said again.
        if let Some(transaction) = named {
            let _ = tell.try_send(Named { transaction, to_others });
        }
        let asked = wanted.map_or(pause, |seconds| pause.max(Duration::from_secs(seconds)));
        tokio::time::sleep(asked.min(remote.pause_max)).await;
        pause = pause.saturating_mul(2).min(remote.pause_max);
    }
}

fn note(question: &Question, answer: &Answer) {
    let (payment, network) = (&question.payment, &question.network);
    match answer {
        Answer::Settled(transaction) | Answer::Duplicate(transaction) => {
            tracing::debug!(%payment, %network, transaction, answer = answer.word(), "the facilitator names a transaction");
        }
        Answer::Pending { .. } => tracing::debug!(%payment, %network, "the facilitator has no outcome yet"),
        Answer::Refused(code) => {
            tracing::warn!(%payment, %network, code, "the facilitator refuses a payment that was claimed; it may land until its deadline, and is asked for again");
        }
        Answer::Unknown { why, .. } => {
            tracing::warn!(%payment, %network, why, "the facilitator has not answered; the same payment is sent again");
        }
    }
}

impl Remote {
    async fn settle(&self, question: &Question) -> Answer {
        let name = question.payment.to_string();
        Answer::of(self.post("/settle", Some(&name), question.body.clone()).await)
    }
}

#[cfg(test)]
mod tests;
