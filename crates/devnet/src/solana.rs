//! Local Solana: an embedded surfpool without any upstream, with the real SPL
//! Token, associated token account and Memo programs, USDC's mint and funded
//! actors.

use std::{thread, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use solana_sdk::{
    hash::hashv,
    pubkey,
    pubkey::Pubkey,
    signer::{Signer, keypair::Keypair},
};
use surfpool_core::{
    runloops::start_local_surfnet_runloop,
    surfnet::{
        locker::SurfnetSvmLocker,
        svm::{SurfnetSvm, SurfnetSvmConfig},
    },
};
use surfpool_types::{
    BlockProductionMode, RpcConfig, SimnetCommand, SimnetConfig, SimnetEvent, SurfpoolConfig,
    SvmFeatureConfig,
};

use crate::{DevnetError, ports::Port, rpc::Rpc};

/// USDC's mint.
pub const MINT: Pubkey = pubkey!("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
const TOKEN_PROGRAM: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const ASSOCIATED_TOKEN_PROGRAM: Pubkey = pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const MINT_DECIMALS: u8 = 6;

/// What each payer gets: 10,000 USDC, in atomic units.
pub const PAYER_USDC: u64 = 10_000_000_000;
/// What the wallet gets: 100 SOL.
pub const WALLET_LAMPORTS: u64 = 100_000_000_000;
/// Rent-exempt minimum of a token account (165 bytes).
const TOKEN_ACCOUNT_LAMPORTS: u64 = 2_039_280;
/// Rent-exempt minimum of a mint (82 bytes).
const MINT_LAMPORTS: u64 = 1_461_600;
const READY_SECONDS_MAX: u64 = 30;

/// How local Solana is built.
#[derive(Debug, Clone)]
pub struct SolanaOptions {
    /// The HTTP port; `None` means a free one. The WebSocket port is always a free one.
    pub port: Option<u16>,
    /// Length of a slot. A blockhash lives for 150 of them, finality takes 31.
    pub slot_ms: u64,
    /// How many further funded payers there are.
    pub payers: u32,
}

/// What the JSON line says about Solana. Keys are 64 bytes (seed and public
/// key) in base58 and follow from public words, see [`actor`].
#[derive(Debug, Clone, Serialize)]
pub struct SolanaInfo {
    /// HTTP endpoint.
    pub rpc_url: String,
    /// WebSocket endpoint.
    pub ws_url: String,
    /// The token's mint.
    pub mint: String,
    /// Key of the funded payer: 10,000 USDC, no SOL.
    pub payer_key: String,
    /// Key of the facilitator's wallet: 100 SOL, no token account.
    pub wallet_key: String,
    /// Where payments go: the wallet's address (owner of the token account).
    pub pay_to: String,
    /// Key of the wallet of an API that runs beside: 100 SOL, no token account. One
    /// ledger per fee payer, so it gets one of its own.
    pub api_wallet_key: String,
    /// Where that API's payments go: its wallet's address.
    pub api_pay_to: String,
    /// Keys of further payers, each funded like the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub payers: Vec<String>,
}

/// The key of a role: its seed is the hash of a public phrase. Worthless anywhere else.
pub fn actor(role: &str) -> Keypair {
    Keypair::new_from_array(hashv(&[b"quittance devnet solana ", role.as_bytes()]).to_bytes())
}

/// A running surfpool. It lives in threads of this process and ends with it.
#[derive(Debug)]
pub struct Surfnet {
    rpc: Rpc,
    _ports: [Port; 2],
}

/// Starts surfpool, creates the mint, funds and checks.
pub async fn start(options: &SolanaOptions) -> Result<(Surfnet, SolanaInfo), DevnetError> {
    let http = Port::claim(options.port)?;
    let websocket = Port::claim(None)?;
    launch(http.number(), websocket.number(), options.slot_ms).await?;
    let rpc_url = format!("http://127.0.0.1:{}", http.number());
    let ws_url = format!("ws://127.0.0.1:{}", websocket.number());
    let surfnet = Surfnet { rpc: Rpc::new(rpc_url.clone())?, _ports: [http, websocket] };

    let payer = actor("payer");
    let wallet = actor("wallet");
    let api_wallet = actor("api wallet");
    let payers: Vec<Keypair> = (0..options.payers).map(|index| actor(&format!("payer {index}"))).collect();
    let funded: Vec<Pubkey> = std::iter::once(&payer).chain(&payers).map(Signer::pubkey).collect();
    let wallets = [wallet.pubkey(), api_wallet.pubkey()];
    surfnet.set_up(&wallets, &funded).await?;
    surfnet.check(&wallets, &funded).await?;
    let info = SolanaInfo {
        rpc_url,
        ws_url,
        mint: MINT.to_string(),
        payer_key: payer.to_base58_string(),
        wallet_key: wallet.to_base58_string(),
        pay_to: wallet.pubkey().to_string(),
        api_wallet_key: api_wallet.to_base58_string(),
        api_pay_to: api_wallet.pubkey().to_string(),
        payers: payers.iter().map(Keypair::to_base58_string).collect(),
    };
    Ok((surfnet, info))
}

/// Starts surfpool's threads and waits until its RPC servers are bound.
///
/// Built on surfpool-core and not on its SDK: the SDK chooses the ports itself,
/// waits without a limit when a port is taken, profiles every instruction and
/// keeps every event in memory.
async fn launch(http: u16, websocket: u16, slot_ms: u64) -> Result<(), DevnetError> {
    let simnet = SimnetConfig {
        offline_mode: true,
        remote_rpc_url: None,
        slot_time: slot_ms,
        block_production_mode: BlockProductionMode::Clock,
        instruction_profiling_enabled: false,
        skip_blockhash_check: false,
        ..Default::default()
    };
    let svm_config = SurfnetSvmConfig {
        surfnet_id: simnet.surfnet_id.clone(),
        feature_config: SvmFeatureConfig::default(),
        slot_time: slot_ms,
        instruction_profiling_enabled: false,
        max_profiles: simnet.max_profiles,
        log_bytes_limit: simnet.log_bytes_limit,
        skip_blockhash_check: false,
    };
    let config = SurfpoolConfig {
        simnets: vec![simnet],
        rpc: RpcConfig {
            bind_host: "127.0.0.1".into(),
            bind_port: http,
            ws_port: websocket,
            ..Default::default()
        },
        ..Default::default()
    };
    let (ready_sender, ready) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("surfnet".into())
        .spawn(move || run(svm_config, config, ready_sender))
        .map_err(DevnetError::io("surfpool's thread"))?;
    match tokio::time::timeout(Duration::from_secs(READY_SECONDS_MAX), ready).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(DevnetError::Surfpool("its thread ended during the start".into())),
        Err(_) => Err(DevnetError::Timeout { what: "surfpool", seconds: READY_SECONDS_MAX }),
    }
}

type Ready = tokio::sync::oneshot::Sender<Result<(), DevnetError>>;

fn run(svm_config: SurfnetSvmConfig, config: SurfpoolConfig, ready: Ready) {
    let (svm, events, geyser_events) = match SurfnetSvm::new(svm_config) {
        Ok(parts) => parts,
        Err(error) => {
            let _ = ready.send(Err(DevnetError::Surfpool(error.to_string())));
            return;
        }
    };
    let (commands, command_queue) = crossbeam_channel::unbounded::<SimnetCommand>();
    let watcher = thread::Builder::new().name("surfnet-events".into()).spawn(move || {
        let mut ready = Some(ready);
        // Read to the end for ever: the queue is unbounded.
        for event in events {
            let outcome = match event {
                SimnetEvent::CoreStarted(_) => Ok(()),
                SimnetEvent::Aborted(error) => Err(DevnetError::Surfpool(error)),
                SimnetEvent::Shutdown => Err(DevnetError::Surfpool("shut down during the start".into())),
                _ => continue,
            };
            if let Some(ready) = ready.take() {
                let _ = ready.send(outcome);
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match (watcher, runtime) {
        (Ok(_), Ok(runtime)) => {
            let run = start_local_surfnet_runloop(
                SurfnetSvmLocker::new(svm),
                config,
                commands,
                command_queue,
                geyser_events,
            );
            if let Err(error) = runtime.block_on(run) {
                eprintln!("surfpool ended: {error}");
            }
        }
        (Err(error), _) | (_, Err(error)) => eprintln!("surfpool did not start: {error}"),
    }
}

impl Surfnet {
    async fn set_up(&self, wallets: &[Pubkey], funded: &[Pubkey]) -> Result<(), DevnetError> {
        let system = Pubkey::default();
        for wallet in wallets {
            self.set_account(*wallet, WALLET_LAMPORTS, &[], system).await?;
        }
        let count = u64::try_from(funded.len()).unwrap_or(u64::MAX);
        let mint = mint_data(actor("mint authority").pubkey(), PAYER_USDC.saturating_mul(count));
        self.set_account(MINT, MINT_LAMPORTS, &mint, TOKEN_PROGRAM).await?;
        for owner in funded {
            let data = token_account_data(*owner, PAYER_USDC);
            self.set_account(token_account(*owner), TOKEN_ACCOUNT_LAMPORTS, &data, TOKEN_PROGRAM).await?;
        }
        Ok(())
    }

    async fn set_account(
        &self,
        address: Pubkey,
        lamports: u64,
        data: &[u8],
        owner: Pubkey,
    ) -> Result<(), DevnetError> {
        let data: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        let update = json!({
            "lamports": lamports, "data": data, "owner": owner.to_string(), "executable": false, "rentEpoch": 0,
        });
        let _: Value = self.rpc.call("surfnet_setAccount", json!([address.to_string(), update])).await?;
        Ok(())
    }

    async fn check(&self, wallets: &[Pubkey], funded: &[Pubkey]) -> Result<(), DevnetError> {
        let processed = json!({"commitment": "processed"});
        for wallet in wallets {
            let balance: Value = self.rpc.call("getBalance", json!([wallet.to_string(), processed])).await?;
            if balance["value"] != json!(WALLET_LAMPORTS) {
                return Err(DevnetError::SelfCheck(format!("the wallet's balance is {}", balance["value"])));
            }
        }
        for owner in funded {
            let account = token_account(*owner).to_string();
            let amount: Value = self.rpc.call("getTokenAccountBalance", json!([account, processed])).await?;
            let amount = &amount["value"];
            if amount["amount"] != json!(PAYER_USDC.to_string()) || amount["decimals"] != json!(MINT_DECIMALS)
            {
                return Err(DevnetError::SelfCheck(format!("the payer's token balance is {amount}")));
            }
        }
        Ok(())
    }
}

/// The associated token account of `owner` for [`MINT`].
pub fn token_account(owner: Pubkey) -> Pubkey {
    let seeds = [owner.as_ref(), TOKEN_PROGRAM.as_ref(), MINT.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED_TOKEN_PROGRAM).0
}

/// SPL Token's `Mint`, packed: authority (option), supply, decimals, initialized, freeze authority (option).
fn mint_data(authority: Pubkey, supply: u64) -> Vec<u8> {
    let mut data = Vec::with_capacity(82);
    data.extend(1u32.to_le_bytes());
    data.extend(authority.to_bytes());
    data.extend(supply.to_le_bytes());
    data.extend([MINT_DECIMALS, 1]);
    data.resize(82, 0);
    data
}

/// SPL Token's `Account`, packed: mint, owner, amount, no delegate, initialized, not native, no close authority.
fn token_account_data(owner: Pubkey, amount: u64) -> Vec<u8> {
    let mut data = Vec::with_capacity(165);
    data.extend(MINT.to_bytes());
    data.extend(owner.to_bytes());
    data.extend(amount.to_le_bytes());
    data.resize(108, 0);
    data.push(1);
    data.resize(165, 0);
    data
}
