//! Strangers: whole requests as they come from a file, as fast as one core sends them.
//! Whatever is answered, and whether anything is, the next one follows.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::Failure;
use crate::http::{Connection, Target};
use crate::tally::own_cpu_ms;

/// Whom to bother, and how.
#[derive(Debug, Args)]
pub(crate) struct StrangersArguments {
    /// `http://IP:PORT/` of the server.
    #[arg(long)]
    url: String,
    /// Requests, taken in turns by all connections: each a JSON string of all its bytes.
    #[arg(long, value_name = "FILE")]
    requests: PathBuf,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The address of this machine that they come from.
    #[arg(long)]
    from: Option<IpAddr>,
}

/// Sends until SIGTERM, then reports; says `begun` when it begins.
pub(crate) async fn run(arguments: StrangersArguments) -> Result<Value, Failure> {
    let target = Target::parse(&arguments.url)?;
    let file = std::fs::read_to_string(&arguments.requests)?;
    let lines = file.lines().filter(|line| !line.is_empty());
    let requests: Arc<[Vec<u8>]> = lines
        .map(|line| Ok(serde_json::from_str::<String>(line)?.into_bytes()))
        .collect::<Result<_, Failure>>()?;
    drop(file);
    if requests.is_empty() {
        return Err("the file holds no request".into());
    }
    let mut ended = signal(SignalKind::terminate())?;
    let (next, answered) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<BTreeMap<u16, u64>>>::default());
    let (begun, cpu_before) = (Instant::now(), own_cpu_ms());
    let mut tasks = JoinSet::new();
    for _ in 0..arguments.connections {
        let mut connection = Connection::new(&target, false).from(arguments.from);
        let (requests, next, answered) = (Arc::clone(&requests), Arc::clone(&next), Arc::clone(&answered));
        tasks.spawn(async move {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed).checked_rem(requests.len());
                let Some(request) = place.and_then(|place| requests.get(place)) else { return };
                // 0: cut off, by whichever side.
                let status = connection.send(request).await.map_or(0, |answer| answer.status);
                let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
                let count = answered.entry(status).or_default();
                *count = count.saturating_add(1);
            }
        });
    }
    writeln!(std::io::stdout().lock(), "begun")?;
    ended.recv().await;
    tasks.shutdown().await;
    let wall_ms = u64::try_from(begun.elapsed().as_millis())?;
    let answered = std::mem::take(&mut *answered.lock().unwrap_or_else(PoisonError::into_inner));
    let name = |status: u16| if status == 0 { "cut".to_owned() } else { status.to_string() };
    let answered: BTreeMap<String, u64> =
        answered.into_iter().map(|(status, count)| (name(status), count)).collect();
    Ok(json!({
        "connections": arguments.connections,
        "wall_ms": wall_ms,
        "generator_cpu_ms": own_cpu_ms().saturating_sub(cpu_before),
        "answered": answered,
    }))
}
