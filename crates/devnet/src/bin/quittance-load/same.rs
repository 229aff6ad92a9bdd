//! Requests to one place, again and again; only their bodies differ.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Failure;
use crate::http::{Connection, Target};
use crate::tally::{Latencies, Outcomes, own_cpu_ms};

/// How to load.
#[derive(Debug, Args)]
pub(crate) struct SameArguments {
    /// Where to POST.
    #[arg(long)]
    url: String,
    /// JSON bodies, one a line; each request takes the next one.
    #[arg(long, value_name = "FILE")]
    bodies: PathBuf,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Default)]
struct Seen {
    latencies: Latencies,
    outcomes: Outcomes,
    answer_bytes: u64,
}

/// Loads, then reports.
pub(crate) async fn run(arguments: SameArguments) -> Result<Value, Failure> {
    let target = Target::parse(&arguments.url)?;
    let bodies = std::fs::read(&arguments.bodies)?;
    let bodies = bodies.split(|byte| *byte == b'\n').filter(|body| !body.is_empty());
    let requests: Arc<[Vec<u8>]> = bodies.map(|body| target.post(&[], body)).collect();
    if requests.is_empty() {
        return Err("the file holds no body".into());
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (begun, cpu_before) = (Instant::now(), own_cpu_ms());
    let until = begun + Duration::from_secs(arguments.seconds);
    let mut tasks = JoinSet::new();
    for number in 0..arguments.connections {
        let mut connection = Connection::new(&target, false);
        let (requests, seen) = (Arc::clone(&requests), Arc::clone(&seen));
        tasks.spawn(async move {
            // Each connection starts elsewhere in the file.
            let first = number * requests.len() / arguments.connections;
            let mut next = requests.iter().cycle().skip(first);
            while let Some(request) = next.next().filter(|_| Instant::now() < until) {
                let sent = Instant::now();
                let answer = connection.send(request).await?;
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.latencies.add(sent.elapsed());
                seen.outcomes.add(&answer.status.to_string());
                seen.answer_bytes += answer.wire_bytes as u64;
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let (wall_ms, cpu_ms) = (begun.elapsed().as_millis(), own_cpu_ms().saturating_sub(cpu_before));
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(json!({
        "connections": arguments.connections,
        "wall_ms": u64::try_from(wall_ms)?,
        "generator_cpu_ms": cpu_ms,
        "answer_bytes": seen.answer_bytes,
        "statuses": seen.outcomes.json(),
        "latency_us": seen.latencies.summary(),
    }))
}
