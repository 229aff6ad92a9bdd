//! `quittance gateway`: the gate in front of APIs in any language.
//!
//! A request passes `front` (monitors, other protocols), the gate, and `forward`, which hands it to
//! its upstream. `health` and `circuit` say which upstreams are sold now.

mod answer;
mod circuit;
mod demo;
mod forward;
mod front;
mod headers;
mod health;
mod metrics;
mod pricer;
mod sizes;
mod upload;
mod upstream;
mod usage;
mod watch;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use clap::Args;
use quittance_actix::{AccountSecurity, Connections, Gate, Identity, Limits, Mount as _, notice_hang_ups};
use quittance_facilitator::config::{Config, UpstreamConfig};
use quittance_facilitator::{Callers, Facilitator};
use quittance_quote::{Pricer as _, Pricing};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::gateway::forward::{Forwarding, forward};
use crate::gateway::front::Front;
use crate::gateway::metrics::Metrics;
use crate::gateway::pricer::Catalogues;
use crate::gateway::upstream::Upstream;
use crate::gateway::watch::Watcher;
use crate::monitor::Monitor;
use crate::page::calls::Calls;
use crate::{CommandError, admin, doctor, say_listening};

/// The name of the upstream that stands on the command line.
const ONLY: &str = "api";

#[derive(Args)]
pub(crate) struct GatewayArgs {
    /// Configuration file (TOML).
    #[arg(long, default_value = "quittance.toml")]
    config: PathBuf,
    /// Price catalogue (TOML) of the upstream; instead of the configuration's.
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// URL of the API, e.g. `http://127.0.0.1:8000`; instead of the configuration's.
    #[arg(long)]
    upstream: Option<String>,
    /// Address and port; instead of `server.listen`.
    #[arg(long)]
    listen: Option<String>,
    /// Start local chains and a sample API and sell it there: nothing needs to be configured.
    #[arg(long, conflicts_with_all = ["catalog", "upstream", "config"])]
    demo: bool,
    /// Show the last calls at `/status/calls`, each as a sequence: what was offered, signed, checked,
    /// settled and answered. Only where it listens on loopback.
    #[arg(long)]
    debug: bool,
    /// The program that runs the local chains; found by itself in a checkout.
    #[arg(long, requires = "demo", value_name = "PROGRAM")]
    demo_devnet: Option<PathBuf>,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: GatewayArgs) -> Result<ExitCode, CommandError> {
    let calls = args.debug.then(Calls::default);
    if args.demo {
        return actix_web::rt::System::new().block_on(async {
            let demo = demo::begin(args.demo_devnet.as_deref(), args.listen.as_deref()).await?;
            start(&demo.config, calls).await
        });
    }
    let mut config = load(&args.config)?;
    override_with(&mut config, args)?;
    config.check()?;
    doctor::at_start(&config);
    actix_web::rt::System::new().block_on(start(&config, calls))
}

/// Reads a configuration; catalogues of upstreams lie beside it.
fn load(path: &Path) -> Result<Config, CommandError> {
    let mut config = Config::load(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for upstream in config.gateway.upstreams.values_mut() {
        upstream.catalogue = upstream.catalogue.take().map(|catalogue| folder.join(catalogue));
    }
    Ok(config)
}

/// What the command line says stands in for the only upstream's configuration.
fn override_with(config: &mut Config, args: GatewayArgs) -> Result<(), CommandError> {
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if args.catalog.is_none() && args.upstream.is_none() {
        return Ok(());
    }
    let upstreams = &mut config.gateway.upstreams;
    if upstreams.len() > 1 {
        return Err("--catalog and --upstream are for one upstream; the configuration has several".into());
    }
    if upstreams.is_empty() {
        upstreams.insert(ONLY.to_owned(), UpstreamConfig::default());
    }
    for upstream in upstreams.values_mut() {
        if let Some(url) = &args.upstream {
            upstream.url.clone_from(url);
        }
        upstream.catalogue = args.catalog.clone().or(upstream.catalogue.take());
    }
    Ok(())
}

async fn start(config: &Config, calls: Option<Calls>) -> Result<ExitCode, CommandError> {
    if calls.is_some() {
        watch::check(config)?;
    }
    let catalogues = Arc::new(catalogues(config)?);
    let facilitator = Facilitator::start(config).await?;
    let served = serve(config, catalogues, facilitator.clone(), calls).await;
    facilitator.shutdown().await;
    served?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn catalogues(config: &Config) -> Result<Catalogues, CommandError> {
    let upstreams = &config.gateway.upstreams;
    if upstreams.is_empty() {
        return Err("no upstream: pass --upstream URL, or write [gateway.upstreams.NAME]".into());
    }
    let public_url = config.server.public_url.as_deref();
    let made = upstreams.iter().map(|(name, upstream)| {
        Ok((name.clone(), Arc::new(Upstream::new(name, upstream)?.behind(public_url))))
    });
    let made: BTreeMap<_, _> = made.collect::<Result<_, CommandError>>()?;
    pricer::read(made, config.gate.catalogue.as_deref())
}

async fn serve(
    config: &Config,
    catalogues: Arc<Catalogues>,
    facilitator: Facilitator,
    calls: Option<Calls>,
) -> Result<(), CommandError> {
    let metrics = Metrics::new(&facilitator.registry())?;
    health::first(&catalogues, &metrics).await;
    let watches: Vec<_> = catalogues
        .upstreams()
        .map(|upstream| tokio::spawn(health::watch(Arc::clone(upstream), metrics.clone())))
        .collect();
    let monitor = Monitor::new(facilitator.clone(), config, calls.clone())?;
    let watcher = calls.map(|calls| Data::new(Watcher::new(calls, facilitator.clone())));
    let server = api(config, &catalogues, &facilitator, (metrics, monitor.clone(), watcher))?;
    let admin = admin::server(config, &monitor)?;
    let handles = [Some(server.handle()), admin.as_ref().map(Server::handle)].into_iter().flatten().collect();
    let stopped = until_stopped(facilitator, handles)?;
    let admin = async {
        match admin {
            Some(admin) => admin.await,
            None => Ok(()),
        }
    };
    let (served, administered, ()) = tokio::join!(server, admin, stopped);
    watches.iter().for_each(tokio::task::JoinHandle::abort);
    served.and(administered)?;
    Ok(())
}

/// Stops the servers when the program is told to: requests in flight are finished first.
fn until_stopped(
    facilitator: Facilitator,
    handles: Vec<ServerHandle>,
) -> Result<impl Future<Output = ()>, std::io::Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        facilitator.stop_begins();
        futures::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
    })
}

/// The API with its gate.
fn api(
    config: &Config,
    catalogues: &Arc<Catalogues>,
    facilitator: &Facilitator,
    (metrics, monitor, watcher): (Metrics, Monitor, Option<Data<Watcher>>),
) -> Result<Server, CommandError> {
    let gate = gate(config, catalogues, facilitator)?;
    let connections = Connections::new(&config.server)?;
    let forwarding = Data::new(Forwarding {
        catalogues: Arc::clone(catalogues),
        callers: Callers::new(&config.server)?,
        metrics,
        upload: upload::Limits {
            bytes_max: config.gate.body_bytes_max,
            silence_max: Duration::from_secs(config.gate.body_seconds_max),
        },
    });
    let front = Data::new(Front { monitor, shows_all: config.admin_listen().is_none() });
    let server = notice_hang_ups!(HttpServer::new(move || {
        let app = App::new().app_data(forwarding.clone()).app_data(front.clone());
        let app = match &watcher {
            Some(watcher) => app.app_data(watcher.clone()),
            None => app,
        };
        app.wrap(gate.middleware()).wrap(from_fn(front::front)).default_service(web::to(forward))
    }))
    .workers(config.server.workers.max(1))
    .max_connections(connections.per_worker())
    .on_connect(connections.counter())
    .client_request_timeout(Duration::from_secs(config.server.header_seconds_max))
    .keep_alive(Duration::from_secs(config.server.keep_alive_seconds))
    // The gate reads on by itself where it answered early.
    .client_disconnect_timeout(Duration::ZERO)
    .shutdown_timeout(config.server.shutdown_seconds)
    .tcp_nodelay(true)
    .disable_signals()
    .bind(&config.server.listen)
    .map_err(|error| format!("cannot listen on server.listen: {error}"))?;
    say_listening(&server.addrs());
    Ok(server.run())
}

fn gate(
    config: &Config,
    catalogues: &Arc<Catalogues>,
    facilitator: &Facilitator,
) -> Result<Gate, CommandError> {
    let sold = Arc::clone(catalogues);
    let mut gate = Gate::builder(facilitator.clone(), Arc::clone(catalogues) as _)
        .limits(Limits::from(&config.gate))
        .callers(Callers::new(&config.server)?)
        .exact_paths()
        .closed_for(move |method, path| sold.upstream(method, path)?.circuit.closed_for(Instant::now()));
    if let Some(url) = &config.server.public_url {
        gate = gate.public_url(url);
    }
    gate = gate.receipts(&config.receipts)?;
    let mut accounts = BTreeSet::new();
    for endpoint in catalogues.endpoints().into_iter().filter(|endpoint| endpoint.pricing == Pricing::Paid) {
        let Some(upstream) = catalogues.upstream(&endpoint.method, &endpoint.example_path()) else {
            continue;
        };
        let names = upstream.config.account_headers.clone();
        if names.is_empty() {
            continue;
        }
        accounts.extend(names.iter().cloned());
        gate = gate.authenticate(&endpoint.method, &endpoint.path, move |headers| {
            // The upstream checks them: they go on without the gateway's own credentials.
            let shows = forward::shows_account(&names, |name| headers.contains_key(name));
            std::future::ready(shows.then(|| Identity("account".to_owned())))
        });
    }
    let security = accounts.into_iter().map(|name| {
        let scheme = serde_json::json!({ "type": "apiKey", "in": "header", "name": name });
        AccountSecurity::from([(name.to_ascii_lowercase(), scheme)])
    });
    Ok(gate.account_security(security).build())
}
