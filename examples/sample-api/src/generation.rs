//! `POST /v1/generation-requests` and `GET /v1/generation-requests/{request_id}`.

pub(crate) mod order;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use quittance_quote::Body;

pub use order::{ITEMS_MAX, Item, Make, Order, Wait};

use crate::answer::{self, Answer};
use crate::body;
use crate::buyer::Buyer;
use crate::call::{Answered, Call};
use crate::error::ApiError;
use crate::host::Host;
use crate::jobs::{Job, JobFacts, Output, Started, State, Ticket};
use crate::media::{self, MediaError};

/// Makes images and films, now or in the background.
pub(crate) async fn submit(host: Arc<Host>, call: Call) -> Answered {
    let buyer = Buyer::of(call.paid.as_ref(), &call.headers, &host.keys)?;
    // The catalogue's rules once more: a way around the gate is not a way around them.
    let body = Body::new(&call.body);
    host.price(&call, &body)?;
    let wait = Wait::parse(&call.query)?;
    let order = Order::read(body::read(&body)?)?;
    host.runs.count(&buyer);
    let job = start(&host, &buyer, order)?;
    wait_for(job, wait).await
}

/// Shows a job to whoever knows its id.
pub(crate) async fn poll(host: Arc<Host>, call: Call) -> Answered {
    let job = host
        .jobs
        .get(call.last_segment())
        .ok_or_else(|| ApiError::not_found("no such request; finished ones are kept for a while only"))?;
    Ok(show(&job))
}

fn start(host: &Host, buyer: &Buyer, order: Order) -> Result<Job, ApiError> {
    let facts = JobFacts {
        request_id: buyer.request_id(crate::host::random()?),
        client_request_id: order.client_request_id.clone(),
        billing_source: buyer.billing_source(),
        created_at: crate::host::unix_seconds(),
    };
    match host.jobs.start(facts) {
        Started::Known(job) => Ok(job),
        Started::Full => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many unfinished requests; send the same request again",
        )),
        Started::New(ticket, job) => {
            // Not awaited: the work goes on when the caller hangs up. A panic
            // drops the ticket, and the job has failed.
            drop(tokio::task::spawn_blocking(move || work(ticket, &order)));
            Ok(job)
        }
    }
}

fn work(ticket: Ticket, order: &Order) {
    ticket.begin();
    match order.items.iter().enumerate().map(|(nth, item)| make(nth, item)).collect() {
        Ok(outputs) => ticket.complete(outputs),
        // The ticket is dropped: the job has failed.
        Err(error) => tracing::error!(%error, "a medium could not be made"),
    }
}

fn make(nth: usize, item: &Item) -> Result<Output, MediaError> {
    let (model, prompt, seed, aspect) = (&item.model, &item.prompt, &item.seed, &item.aspect);
    let (kind, output_format, mime_type, bytes, duration_seconds) = match item.make {
        Make::Image { detail } => {
            ("image", "png", "image/png", media::picture(model, prompt, seed, aspect, detail)?, None)
        }
        Make::Video { seconds } => {
            ("video", "gif", "image/gif", media::film(model, prompt, seed, aspect, seconds)?, Some(seconds))
        }
    };
    Ok(Output {
        id: item.id.clone().unwrap_or_else(|| format!("item-{nth}")),
        kind,
        model: model.clone(),
        status: "completed",
        output_format,
        mime_type,
        url: format!("data:{mime_type};base64,{}", STANDARD.encode(bytes)),
        duration_seconds,
    })
}

async fn wait_for(mut job: Job, wait: Wait) -> Answered {
    if let Wait::Seconds(seconds) = wait {
        // Too slow is not an error: the answer says `processing`, and the id is polled.
        let _ = tokio::time::timeout(Duration::from_secs(seconds), job.finished()).await;
        if job.state() == State::Failed {
            return Err(ApiError::internal("generation_failed"));
        }
    }
    Ok(show(&job))
}

fn show(job: &Job) -> Answer {
    answer::json(StatusCode::OK, &job.json())
}
