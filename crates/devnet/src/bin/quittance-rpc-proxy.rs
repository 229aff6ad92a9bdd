//! A JSON-RPC proxy that counts, delays and fails calls, for tests and benchmarks.

use std::{io::Write, net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use quittance_devnet::{
    DevnetError,
    proxy::{Proxy, ProxyOptions},
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Forwards JSON-RPC over HTTP; counts calls, adds a delay and injects faults.
///
/// Prints one JSON line `{"url", "upstream"}` on stdout when ready. Control:
/// GET /__proxy/counts, GET /__proxy/sent, POST /__proxy/reset, GET|POST|DELETE /__proxy/faults,
/// POST|DELETE /__proxy/forgetting, POST|DELETE /__proxy/frozen, GET /__proxy/profiles,
/// POST|DELETE /__proxy/profile.
#[derive(Debug, Parser)]
#[command(name = "quittance-rpc-proxy")]
struct Arguments {
    /// The JSON-RPC endpoint the calls go to.
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Where to listen; port 0 means a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What every request waits before it goes upstream.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    delay_ms: u64,
}

async fn run(arguments: Arguments) -> Result<(), DevnetError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| DevnetError::Io { what, source }
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io("signals"))?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(io("listen"))?;
    let url = format!("http://{}", listener.local_addr().map_err(io("listen"))?);
    let proxy = Proxy::new(ProxyOptions {
        upstream: arguments.upstream.clone(),
        delay: Duration::from_millis(arguments.delay_ms),
    })?;
    let line = format!("{}\n", json!({"url": url, "upstream": arguments.upstream}));
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).map_err(io("stdout"))?;
    tokio::select! {
        () = proxy.serve(listener) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rpc-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}
