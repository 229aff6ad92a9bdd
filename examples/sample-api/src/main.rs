//! The sample API as a program; see the crate's README.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer};
use clap::{Parser, ValueEnum};
use quittance_actix::{Connections, Mount as _, notice_hang_ups};
use quittance_facilitator::config::Config;
use quittance_facilitator::{Facilitator, LOG_TARGETS_WITH_REQUESTS};
use quittance_gate::{Callers, Gate, Identity, Limits, Monitor};
use quittance_quote::Catalogue;
use sample_api::host::Host;
use sample_api::keys::ApiKeys;
use sample_api::paths::{CHAT_PATH, GENERATION_PATH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A generation API paid per call with x402.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration, the same file that `quittance serve` reads.
    #[arg(long)]
    config: PathBuf,
    /// Address and port; instead of `[server] listen`.
    #[arg(long)]
    listen: Option<String>,
    /// Accounts that need not pay per call: `[[keys]]` with `name`, `key`, `secret_sha256`.
    #[arg(long)]
    api_keys: Option<PathBuf>,
    /// Also serve the endpoints under /test/. Never in public.
    #[arg(long)]
    test_hooks: bool,
    /// Which server the gate and the routes are mounted in.
    #[arg(long, value_enum, default_value_t)]
    mount: Mount,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Mount {
    /// actix-web.
    #[default]
    Actix,
    /// axum, over HTTP/1.1 and HTTP/2.
    Tower,
}

/// The catalogue that is used when the configuration names none.
const IMGNAI: &str = include_str!("../../../catalogs/imgnai.toml");

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = LOG_TARGETS_WITH_REQUESTS
        .iter()
        .filter_map(|target| format!("{target}=info").parse().ok())
        .fold(filter, EnvFilter::add_directive);
    // What a full disk does not take is lost: told on standard error, it would end what wrote it.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sample-api: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut config = Config::load(&arguments.config)?;
    if let Some(listen) = &arguments.listen {
        config.server.listen.clone_from(listen);
    }
    let catalogue = match config.gate.catalogue.as_deref() {
        Some(path) => read_catalogue(path)?,
        None => Catalogue::from_toml(IMGNAI)?,
    };
    let keys = arguments.api_keys.as_deref().map(ApiKeys::load).transpose()?.unwrap_or_default();
    let host = Host::new(Arc::new(catalogue), keys, arguments.test_hooks, config.gate.body_bytes_max)
        .map_err(|error| format!("--test-hooks need a price for one image of the model gen: {error}"))?;
    let host = Arc::new(host);
    match arguments.mount {
        Mount::Actix => actix_web::rt::System::new().block_on(sell(Mount::Actix, &config, &host)),
        Mount::Tower => {
            let workers = config.server.workers.max(1);
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
            runtime.block_on(sell(Mount::Tower, &config, &host))
        }
    }
}

async fn sell(mount: Mount, config: &Config, host: &Arc<Host>) -> Result<(), Failure> {
    let facilitator = Facilitator::start(config).await?;
    let gate = gate(config, host, facilitator.clone())?;
    let served = match mount {
        Mount::Actix => in_actix(config, host, gate, &facilitator).await,
        Mount::Tower => in_tower(config, host, gate, &facilitator).await,
    };
    facilitator.shutdown().await;
    served
}

fn read_catalogue(path: &Path) -> Result<Catalogue, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("gate.catalogue cannot be read: {e}"))?;
    Ok(Catalogue::from_toml(&text).map_err(|e| format!("gate.catalogue: {e}"))?)
}

async fn in_actix(
    config: &Config,
    host: &Arc<Host>,
    gate: Gate,
    facilitator: &Facilitator,
) -> Result<(), Failure> {
    let connections = Connections::new(&config.server)?;
    let listen = &config.server.listen;
    let routes = Arc::clone(host);
    let server = notice_hang_ups!(HttpServer::new(move || {
        let routes = Arc::clone(&routes);
        App::new().wrap(gate.middleware()).configure(move |config| routes.configure(config))
    }))
    .workers(config.server.workers)
    .max_connections(connections.per_worker())
    .on_connect(connections.counter())
    .client_request_timeout(Duration::from_secs(config.server.header_seconds_max))
    .keep_alive(Duration::from_secs(config.server.keep_alive_seconds))
    // The gate reads on by itself where it answered early.
    .client_disconnect_timeout(Duration::ZERO)
    .shutdown_timeout(config.server.shutdown_seconds)
    .disable_signals()
    .bind(listen)
    .map_err(|e| format!("cannot listen on server.listen: {e}"))?;
    for address in server.addrs() {
        eprintln!("listening on http://{address}");
    }
    let server = server.run();
    let handle = server.handle();
    let stopped = until_stopped(facilitator)?;
    let stop = async move {
        stopped.await;
        // Graceful: requests in flight, paid ones among them, are finished first.
        handle.stop(true).await;
    };
    let (served, ()) = tokio::join!(server, stop);
    Ok(served?)
}

async fn in_tower(
    config: &Config,
    host: &Arc<Host>,
    gate: Gate,
    facilitator: &Facilitator,
) -> Result<(), Failure> {
    use quittance_tower::Mount as _;
    let app = host.router().layer(gate.layer());
    let listener = TcpListener::bind(&config.server.listen)
        .await
        .map_err(|e| format!("cannot listen on server.listen: {e}"))?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    Ok(quittance_tower::serve(listener, app, &config.server, until_stopped(facilitator)?).await?)
}

/// Until the program is told to stop; runs that end from then on are not their payers' loss.
fn until_stopped(facilitator: &Facilitator) -> Result<impl Future<Output = ()> + use<>, std::io::Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let facilitator = facilitator.clone();
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        facilitator.stop_begins();
    })
}

fn gate(config: &Config, host: &Arc<Host>, facilitator: Facilitator) -> Result<Gate, Failure> {
    let mut gate = Gate::builder(facilitator.clone(), host.pricer.clone())
        .monitors(Monitor::new(facilitator))
        .limits(Limits::from(&config.gate))
        .callers(Callers::new(&config.server)?);
    if let Some(url) = &config.server.public_url {
        gate = gate.public_url(url);
    }
    gate = gate.receipts(&config.receipts)?;
    if !host.keys.is_empty() {
        for path in [GENERATION_PATH, CHAT_PATH] {
            let keys = Arc::clone(&host.keys);
            gate = gate.authenticate("POST", path, move |headers| {
                let identity = keys.authenticate(&headers).map(|name| Identity(name.to_owned()));
                std::future::ready(identity)
            });
        }
        gate = gate.account_security(ApiKeys::openapi());
    }
    Ok(gate.build())
}
