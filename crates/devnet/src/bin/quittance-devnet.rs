//! Local Base and Solana with real token programs and funded actors: prints one
//! JSON line when ready and holds until killed.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use quittance_devnet::{
    DevnetError,
    anvil::Anvil,
    base::{self, BaseInfo, BaseOptions},
};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Local Base and Solana with the real token programs and funded actors.
///
/// Prints one JSON line on stdout when ready, then holds until SIGINT or
/// SIGTERM. Keys are public: never use them elsewhere.
#[derive(Debug, Parser)]
#[command(name = "quittance-devnet")]
struct Arguments {
    /// Only Base.
    #[arg(long, conflicts_with = "solana_only")]
    base_only: bool,
    /// Only Solana.
    #[arg(long)]
    solana_only: bool,
    /// Port of Base's RPC; free by default.
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Port of Solana's RPC; free by default.
    #[arg(long, value_name = "PORT")]
    solana_port: Option<u16>,
    /// Seconds between Base blocks; the default is what Base does.
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = parse_seconds)]
    base_block_time: String,
    /// Base fee of the first Base blocks, in wei per gas.
    #[arg(long, value_name = "WEI", default_value_t = 5_000_000)]
    base_fee_wei: u64,
    /// Milliseconds per Solana slot. A blockhash lives for 150 slots, finality takes 31.
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    solana_slot_ms: u64,
    /// Further funded payers on each network, as `payers` in the JSON.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    payers: u32,
    /// Where the npm packages of tests/clients are installed.
    #[arg(long, env = "QUITTANCE_NODE_MODULES", default_value = "tests/clients/node_modules")]
    node_modules: PathBuf,
    /// End when the process that started this one ends, however it ends.
    #[arg(long)]
    exit_with_parent: bool,
    /// The parent's process id, noted by scripts/devnet before the build: the
    /// parent may be gone by the time this program starts.
    #[arg(long, env = "QUITTANCE_DEVNET_PARENT", hide = true)]
    parent: Option<u32>,
}

/// Kept as text, because that is how anvil takes it.
fn parse_seconds(text: &str) -> Result<String, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.05..=3_600.0).contains(&seconds) {
        Ok(text.to_owned())
    } else {
        Err("allowed: 0.05 to 3600".into())
    }
}

#[cfg(feature = "solana")]
use quittance_devnet::solana::{self, SolanaInfo, SolanaOptions, Surfnet};

/// Nothing: this build has no Solana.
#[cfg(not(feature = "solana"))]
type SolanaInfo = ();
/// Nothing: this build has no Solana.
#[cfg(not(feature = "solana"))]
type Surfnet = ();

#[derive(Serialize)]
struct Ready {
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<BaseInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    solana: Option<SolanaInfo>,
}

/// The running chains; dropping them ends them.
struct Chains {
    anvil: Option<Anvil>,
    _surfnet: Option<Surfnet>,
}

async fn start_base(arguments: &Arguments) -> Result<Option<(Anvil, BaseInfo)>, DevnetError> {
    if arguments.solana_only {
        return Ok(None);
    }
    let options = BaseOptions {
        node_modules: arguments.node_modules.clone(),
        port: arguments.base_port,
        block_time: arguments.base_block_time.clone(),
        base_fee_wei: arguments.base_fee_wei,
        payers: arguments.payers,
    };
    base::start(&options).await.map(Some)
}

#[cfg(feature = "solana")]
async fn start_solana(arguments: &Arguments) -> Result<Option<(Surfnet, SolanaInfo)>, DevnetError> {
    if arguments.base_only {
        return Ok(None);
    }
    let options = SolanaOptions {
        port: arguments.solana_port,
        slot_ms: arguments.solana_slot_ms,
        payers: arguments.payers,
    };
    solana::start(&options).await.map(Some)
}

#[cfg(not(feature = "solana"))]
async fn start_solana(arguments: &Arguments) -> Result<Option<(Surfnet, SolanaInfo)>, DevnetError> {
    if arguments.base_only {
        return Ok(None);
    }
    Err(DevnetError::Surfpool("this binary was built without Solana; pass --base-only".into()))
}

async fn start(arguments: &Arguments) -> Result<(Chains, Ready), DevnetError> {
    let (base, solana) = tokio::try_join!(start_base(arguments), start_solana(arguments))?;
    let (anvil, base) = base.unzip();
    let (surfnet, solana) = solana.unzip();
    Ok((Chains { anvil, _surfnet: surfnet }, Ready { base, solana }))
}

struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    parent: Option<u32>,
}

impl Stop {
    fn listen(arguments: &Arguments) -> Result<Self, DevnetError> {
        let listen = |kind| signal(kind).map_err(|source| DevnetError::Io { what: "signals".into(), source });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            parent: arguments
                .exit_with_parent
                .then(|| arguments.parent.unwrap_or_else(std::os::unix::process::parent_id)),
        })
    }

    async fn requested(&mut self) {
        let parent = self.parent;
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            () = parent_gone(parent) => {}
        }
    }
}

async fn parent_gone(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn hold(anvil: &mut Option<Anvil>) -> DevnetError {
    match anvil {
        Some(anvil) => anvil.ended().await,
        None => std::future::pending().await,
    }
}

async fn run(arguments: &Arguments) -> Result<(), DevnetError> {
    let mut stop = Stop::listen(arguments)?;
    let (mut chains, ready) = tokio::select! {
        started = start(arguments) => started?,
        () = stop.requested() => return Ok(()),
    };
    let mut line = serde_json::to_string(&ready)
        .map_err(|source| DevnetError::Json { what: "the ready line".into(), source })?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|source| DevnetError::Io { what: "stdout".into(), source })?;
    tokio::select! {
        error = hold(&mut chains.anvil) => return Err(error),
        () = stop.requested() => {}
    }
    match chains.anvil.take() {
        Some(anvil) => anvil.stop().await,
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("devnet: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(&arguments));
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome {
        // surfpool's threads do not end by themselves.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("devnet: {error}");
            std::process::exit(1)
        }
    }
}
