//! Payments, each signed once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quittance_protocol::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequired,
    PaymentRequirements, SettleResponse, VerifyRequest, VerifyResponse, X402_VERSION, decode_header,
    encode_header,
};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::Failure;
use crate::blocks::Blocks;
use crate::http::{Answer, Connection, Target};
use crate::plan::{Mode, Plan};
use crate::signer::Signer;
use crate::tally::{Latencies, Outcomes, now_ms, own_cpu_ms};

/// Pause before a payment whose outcome is unknown is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A payment that was answered with a transaction.
struct Settled {
    transaction: String,
    answered_at_ms: u64,
}

#[derive(Default)]
struct Seen {
    latencies: Latencies,
    offers: Latencies,
    outcomes: Outcomes,
    settled: Vec<Settled>,
}

struct Run {
    plan: Plan,
    target: Target,
    signer: Arc<Signer>,
    /// Bodies for `/verify`, signed before the clock starts.
    ready: Vec<Vec<u8>>,
    next: AtomicUsize,
    until: Instant,
    seen: Mutex<Seen>,
}

/// Signs, loads, then reports.
pub(crate) async fn run(plan: Plan) -> Result<Value, Failure> {
    let (target, rpc) = (Target::parse(&plan.url)?, Target::parse(&plan.rpc_url)?);
    let signer = Signer::new(&plan.network, &plan.payers)?;
    signer.refresh(&mut Connection::new(&rpc, false)).await?;
    let mut ready = Vec::new();
    if plan.mode == Mode::Verify {
        for number in 0..plan.count {
            ready.push(to_facilitator(&signer, terms(&plan)?, number)?);
        }
    }
    let blocks = Blocks::new(&plan.network, &rpc)?;
    let mut helpers = JoinSet::new();
    if plan.watch_blocks {
        helpers.spawn(blocks.clone().watch());
    }
    if plan.mode != Mode::Verify {
        helpers.spawn(Arc::clone(&signer).keep_fresh(rpc));
    }
    let (begun, cpu_before) = (Instant::now(), own_cpu_ms());
    let until = begun + Duration::from_secs(plan.seconds);
    let run = Arc::new(Run {
        plan,
        target,
        signer,
        ready,
        next: AtomicUsize::new(0),
        until,
        seen: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..run.plan.connections {
        tasks.spawn(Arc::clone(&run).connection());
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let wall_ms = u64::try_from(begun.elapsed().as_millis())?;
    let cpu_ms = own_cpu_ms().saturating_sub(cpu_before);
    helpers.shutdown().await;
    report(&run, &blocks, wall_ms, cpu_ms).await
}

async fn report(run: &Run, blocks: &Blocks, wall_ms: u64, cpu_ms: u64) -> Result<Value, Failure> {
    let seen = std::mem::take(&mut *run.seen.lock().unwrap_or_else(PoisonError::into_inner));
    let transactions: Vec<String> = seen.settled.iter().map(|one| one.transaction.clone()).collect();
    let places = if run.plan.watch_blocks { blocks.places(&transactions).await? } else { Default::default() };
    let settled: Vec<Value> = seen
        .settled
        .iter()
        .map(|one| {
            let place = places.get(&one.transaction);
            json!({
                "transaction": one.transaction,
                "answered_at_ms": one.answered_at_ms,
                "block": place.map(|(block, _)| block),
                "block_seen_at_ms": place.map(|(_, at)| at),
            })
        })
        .collect();
    Ok(json!({
        "connections": run.plan.connections,
        "wall_ms": wall_ms,
        "generator_cpu_ms": cpu_ms,
        "outcomes": seen.outcomes.json(),
        "latency_us": seen.latencies.summary(),
        "offer_latency_us": seen.offers.summary(),
        "settled": settled,
    }))
}

fn terms(plan: &Plan) -> Result<&PaymentRequirements, Failure> {
    Ok(plan.requirements.as_ref().ok_or("the plan has no requirements")?)
}

fn to_facilitator(signer: &Signer, terms: &PaymentRequirements, number: usize) -> Result<Vec<u8>, Failure> {
    Ok(serde_json::to_vec(&VerifyRequest {
        x402_version: X402_VERSION,
        payment_payload: signer.sign(terms, number)?,
        payment_requirements: terms.clone(),
        other: Map::new(),
    })?)
}

impl Run {
    async fn connection(self: Arc<Self>) -> Result<(), Failure> {
        let mut connection = Connection::new(&self.target, self.plan.mode == Mode::Gate);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.plan.count || Instant::now() >= self.until {
                return Ok(());
            }
            match self.plan.mode {
                Mode::Verify => self.verify(&mut connection, number).await?,
                Mode::Settle => self.settle(&mut connection, number).await?,
                Mode::Gate => self.buy(&mut connection, number).await?,
            }
        }
    }

    fn note(&self, took: Duration, outcome: &str, transaction: Option<String>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.outcomes.add(outcome);
        seen.latencies.add(took);
        if let Some(transaction) = transaction {
            seen.settled.push(Settled { transaction, answered_at_ms: now_ms() });
        }
    }

    async fn verify(&self, connection: &mut Connection, number: usize) -> Result<(), Failure> {
        let request = self.target.post(&[], self.ready.get(number).ok_or("not signed")?);
        let sent = Instant::now();
        let answer = connection.send(&request).await?;
        let took = sent.elapsed();
        let said: VerifyResponse = serde_json::from_slice(&answer.body)?;
        let reason = said.invalid_reason.map_or("valid".to_owned(), |code| code.as_str().to_owned());
        self.note(took, &reason, None);
        Ok(())
    }

    async fn settle(&self, connection: &mut Connection, number: usize) -> Result<(), Failure> {
        let body = to_facilitator(&self.signer, terms(&self.plan)?, number)?;
        let request = self.target.post(&[], &body);
        let sent = Instant::now();
        loop {
            let answer = connection.send(&request).await?;
            let said: SettleResponse = serde_json::from_slice(&answer.body)?;
            let reason = said.error_reason.map(|code| code.as_str().to_owned());
            match reason.as_deref() {
                Some("settlement_pending") => tokio::time::sleep(AGAIN_AFTER).await,
                Some(reason) => {
                    self.note(sent.elapsed(), reason, None);
                    return Ok(());
                }
                None => {
                    self.note(sent.elapsed(), "settled", Some(said.transaction));
                    return Ok(());
                }
            }
        }
    }

    /// As a client does it: ask, sign the offer, ask again with the payment.
    async fn buy(&self, connection: &mut Connection, number: usize) -> Result<(), Failure> {
        let body = self.plan.body.as_bytes();
        let asked = Instant::now();
        let unpaid = connection.send(&self.target.post(&[], body)).await?;
        let took = asked.elapsed();
        let offer = self.offer(&unpaid)?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).offers.add(took);
        let payment: PaymentPayload = self.signer.sign(&offer, number)?;
        let header = encode_header(&payment)?;
        let request = self.target.post(&[(PAYMENT_SIGNATURE, &header)], body);
        let sent = Instant::now();
        loop {
            let answer = connection.send(&request).await?;
            if answer.status == 503 {
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
            let took = sent.elapsed();
            match answer.header(PAYMENT_RESPONSE).map(decode_header::<SettleResponse>).transpose()? {
                Some(receipt) if receipt.success && answer.status == 200 => {
                    self.note(took, "settled", Some(receipt.transaction));
                }
                _ => self.note(took, &format!("status {}", answer.status), None),
            }
            return Ok(());
        }
    }

    fn offer(&self, unpaid: &Answer) -> Result<PaymentRequirements, Failure> {
        let header = unpaid.header(PAYMENT_REQUIRED).ok_or_else(|| {
            format!("no offer, status {}: {}", unpaid.status, String::from_utf8_lossy(&unpaid.body))
        })?;
        let required: PaymentRequired = decode_header(header)?;
        let offer = required.accepts.into_iter().find(|offer| offer.network == self.plan.network);
        Ok(offer.ok_or("the network is not offered")?)
    }
}
