//! The anvil process: found, started, and never left behind.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep},
};

use crate::{DevnetError, ports::Port, rpc::Rpc};

const READY_SECONDS_MAX: u64 = 15;
/// Base's id (EIP-155).
pub const CHAIN_ID: u64 = 8453;
/// Base's order of magnitude; anvil's own default (30 million) is too small for large batches.
const BLOCK_GAS_LIMIT: u64 = 150_000_000;

/// Waits for its standard input to close, then kills the node. The pipe's other
/// end is held by this process, so the node ends however this process ends,
/// SIGKILL included.
const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
node=$!
{ cat <&3 >/dev/null; kill "$node" 2>/dev/null; } &
exec 3<&- </dev/null
wait "$node"
"#;

/// How the node is started.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    /// Seconds between blocks, as anvil takes it (`2`, `0.5`).
    pub block_time: String,
    /// Base fee of the first blocks, wei per gas.
    pub base_fee_wei: u64,
    /// Genesis timestamp, unix seconds.
    pub genesis_timestamp: u64,
}

/// A running anvil.
#[derive(Debug)]
pub struct Anvil {
    guard: Child,
    /// Kept apart: waiting for a child closes the standard input it still has,
    /// and here that would end the node.
    lifeline: Option<ChildStdin>,
    rpc: Rpc,
    _port: Port,
}

impl Anvil {
    /// Starts anvil on `port` and waits until it answers.
    pub async fn start(binary: &Path, port: Port, options: &AnvilOptions) -> Result<Self, DevnetError> {
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "anvil-guard"])
            .arg(binary)
            .args(["--host", "127.0.0.1", "--port", &port.number().to_string()])
            .args(["--chain-id", &CHAIN_ID.to_string()])
            .args(["--block-time", &options.block_time])
            .args(["--timestamp", &options.genesis_timestamp.to_string()])
            .args(["--slots-in-an-epoch", "1"])
            .args(["--gas-limit", &BLOCK_GAS_LIMIT.to_string()])
            .args(["--block-base-fee-per-gas", &options.base_fee_wei.to_string()])
            .args(["--accounts", "1", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            // Ctrl-C reaches the whole group; the node must outlive the signal
            // until this process has decided to stop.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(DevnetError::io(binary.display().to_string()))?;
        let rpc = Rpc::new(format!("http://127.0.0.1:{}", port.number()))?;
        let lifeline = guard.stdin.take();
        let mut anvil = Self { guard, lifeline, rpc, _port: port };
        anvil.wait_ready().await?;
        Ok(anvil)
    }

    /// The node's endpoint.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    async fn wait_ready(&mut self) -> Result<(), DevnetError> {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        loop {
            if let Some(status) = self.guard.try_wait().map_err(DevnetError::io("anvil"))? {
                return Err(DevnetError::AnvilEnded(status.to_string()));
            }
            if self.rpc.call::<String>("web3_clientVersion", ()).await.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DevnetError::Timeout { what: "anvil", seconds: READY_SECONDS_MAX });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resolves when the node ends by itself.
    pub async fn ended(&mut self) -> DevnetError {
        match self.guard.wait().await {
            Ok(status) => DevnetError::AnvilEnded(status.to_string()),
            Err(source) => DevnetError::Io { what: "anvil".into(), source },
        }
    }

    /// Ends the node and waits until it is gone.
    pub async fn stop(mut self) -> Result<(), DevnetError> {
        drop(self.lifeline.take());
        self.guard.wait().await.map(|_| ()).map_err(DevnetError::io("anvil"))
    }
}

/// `QUITTANCE_ANVIL`, else `anvil` on `PATH`, else the npm package's binary.
pub fn find_anvil(node_modules: &Path) -> Result<PathBuf, DevnetError> {
    if let Some(path) = env::var_os("QUITTANCE_ANVIL").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let on_path = env::var_os("PATH").and_then(|paths| {
        env::split_paths(&paths).map(|folder| folder.join("anvil")).find(|file| file.is_file())
    });
    if let Some(path) = on_path {
        return Ok(path);
    }
    let packaged = node_modules.join("@foundry-rs/anvil-linux-amd64/bin/anvil");
    if packaged.is_file() { Ok(packaged) } else { Err(DevnetError::AnvilMissing(packaged)) }
}
