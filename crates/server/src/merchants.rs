//! `quittance merchants`: who sells through `/verify` and `/settle` under a name of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use quittance_facilitator::config::{Config, LimitTexts};
use quittance_facilitator::{Clock, Random, new_api_key};
use quittance_ledger::{FeePolicy, Ledger, Merchant, MerchantState};
use quittance_protocol::Secret;
use serde_json::{Value, json};

use crate::ledger_url::ledger_url;
use crate::{CommandError, print, statement};

/// Name of these commands in the journal.
const INSTANCE: &str = "merchants-command";

/// Payments of one merchant under way, unless said otherwise.
const IN_FLIGHT_MAX: u32 = 256;

/// Token accounts whose rent is paid for one merchant, unless said otherwise.
const ACCOUNTS_MAX: u32 = 2;

/// How long other keys still live after a rotation, unless said otherwise.
const OVERLAP_SECONDS: u32 = 3_600;

#[derive(Subcommand)]
pub(crate) enum MerchantsCommand {
    /// Create a merchant, and show its first key: once, it is stored nowhere.
    Create {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Lower-case letters, digits and hyphens; given once.
        name: String,
        #[command(flatten)]
        terms: Box<Terms>,
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Every merchant, one JSON document a line.
    List {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// One JSON document a line; always so.
        #[arg(long)]
        json: bool,
    },
    /// One merchant, with its terms, limits and the public halves of its keys.
    Show {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Its name.
        name: String,
        /// One JSON document; always so.
        #[arg(long)]
        json: bool,
    },
    /// Change terms and limits; what is not named stays. What is claimed is finished as it was.
    Set {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Its name.
        name: String,
        #[command(flatten)]
        terms: Box<Terms>,
        /// Sell nothing on this network any more.
        #[arg(long, value_name = "NETWORK")]
        remove: Vec<String>,
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Make a further key, and show it: once. The others end after the overlap.
    Rotate {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Its name.
        name: String,
        /// How long the other keys still live; 0: they end at once.
        #[arg(long, default_value_t = OVERLAP_SECONDS)]
        overlap_seconds: u32,
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Close a merchant for good: its keys are none any more, what is claimed is finished.
    Close {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Its name.
        name: String,
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// What a merchant sold, what settling cost and what it owes, by UTC day and network.
    Statement {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Its name.
        name: String,
        /// How many days, today included.
        #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=3_660))]
        days: u32,
        /// One JSON document, amounts in atomic units, instead of a table.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Terms {
    /// Where the merchant is paid; NETWORK is a name of the configuration, or CAIP-2.
    #[arg(long, value_name = "NETWORK=ADDRESS", value_parser = pair)]
    pay_to: Vec<(String, String)>,
    /// The token; it must be the one that the configuration has for the network.
    #[arg(long, value_name = "NETWORK=ASSET", value_parser = pair)]
    asset: Vec<(String, String)>,
    /// Who carries what settling costs: `added` to the price (the payer), `absorbed` (you), or
    /// `billed` (the merchant, by its statement) [default: added].
    #[arg(long, value_parser = policy)]
    fee_policy: Option<FeePolicy>,
    /// Payments under way, on all networks [default: 256].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight_max: Option<u32>,
    /// Token accounts whose rent is ever paid for it, on Solana [default: 2].
    #[arg(long)]
    accounts_max: Option<u32>,
    /// What its payments may move in a day, by network [default: 10000].
    #[arg(long, value_name = "NETWORK=USDC", value_parser = pair)]
    amount_day_usdc: Vec<(String, String)>,
    /// What settling them may cost in a day, by network [default: a quarter of
    /// quote.spent_network_day_usdc].
    #[arg(long, value_name = "NETWORK=USDC", value_parser = pair)]
    cost_day_usdc: Vec<(String, String)>,
    /// The same in whole native coins, by network [default: 0.05 on EVM chains, 1 on Solana].
    #[arg(long, value_name = "NETWORK=COINS", value_parser = pair)]
    native_day: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (network, value) = text.split_once('=').ok_or("write it as NETWORK=VALUE")?;
    Ok((network.to_owned(), value.to_owned()))
}

fn policy(text: &str) -> Result<FeePolicy, String> {
    let words: Vec<&str> = FeePolicy::ALL.iter().map(|policy| policy.as_str()).collect();
    let found = FeePolicy::ALL.iter().find(|policy| policy.as_str() == text);
    found.copied().ok_or_else(|| format!("one of {}", words.join(", ")))
}

pub(crate) fn run(command: &MerchantsCommand) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            MerchantsCommand::Create { config, name, terms, json } => {
                create(config, name, terms, *json).await
            }
            MerchantsCommand::List { config, json: _ } => list(config).await,
            MerchantsCommand::Show { config, name, json: _ } => show(config, name).await,
            MerchantsCommand::Set { config, name, terms, remove, json } => {
                set(config, name, terms, remove, *json).await
            }
            MerchantsCommand::Rotate { config, name, overlap_seconds, json } => {
                rotate(config, name, *overlap_seconds, *json).await
            }
            MerchantsCommand::Close { config, name, json } => close(config, name, *json).await,
            MerchantsCommand::Statement { config, name, days, json } => {
                let (config, ledger) = open(config).await?;
                let found = one(&ledger, name).await?;
                statement::show(&config, &ledger, &found, *days, *json).await?;
                ledger.close().await;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

/// Beside the program that has the ledger.
async fn open(path: &Path) -> Result<(Config, Ledger), CommandError> {
    let config = Config::load(path)?;
    let ledger = Ledger::open_beside(&ledger_url(&config)?, INSTANCE).await?;
    Ok((config, ledger))
}

/// The same for the first merchant: where no program of this version ever had the ledger, it is
/// made first.
async fn open_or_make(path: &Path) -> Result<(Config, Ledger), CommandError> {
    if let Ok((config, ledger)) = open(path).await {
        if ledger.list_merchants(now_ms()).await.is_ok() {
            return Ok((config, ledger));
        }
        ledger.close().await;
    }
    quittance_ledger::migrate(&ledger_url(&Config::load(path)?)?, INSTANCE).await?;
    open(path).await
}

fn now_ms() -> i64 {
    Clock::system().now_ms()
}

async fn one(ledger: &Ledger, name: &str) -> Result<Merchant, CommandError> {
    let found = ledger.list_merchants(now_ms()).await?.into_iter().find(|merchant| merchant.name == name);
    found.ok_or_else(|| "no merchant of this name; see quittance merchants list".into())
}

async fn create(path: &Path, name: &str, terms: &Terms, as_json: bool) -> Result<ExitCode, CommandError> {
    let (config, ledger) = open_or_make(path).await?;
    let now_ms = now_ms();
    let mut merchant = Merchant {
        name: name.to_owned(),
        state: MerchantState::Open,
        fee_policy: FeePolicy::Added,
        in_flight_max: IN_FLIGHT_MAX,
        accounts_max: ACCOUNTS_MAX,
        created_at_ms: now_ms,
        changed_at_ms: now_ms,
        networks: Vec::new(),
        keys: Vec::new(),
    };
    put_terms(&config, &mut merchant, terms)?;
    if merchant.networks.is_empty() {
        return Err("say where it is paid: --pay-to NETWORK=ADDRESS, once for each network".into());
    }
    let (secret, key) = new_api_key(&Random::system(), now_ms);
    if !ledger.create_merchant(&merchant, &key, now_ms).await? {
        return Err("a merchant of this name was created before; names are given once".into());
    }
    let merchant = one(&ledger, name).await?;
    ledger.close().await;
    say_key(&merchant, &secret, as_json)?;
    Ok(ExitCode::SUCCESS)
}

/// What was named, over what stands.
fn put_terms(config: &Config, merchant: &mut Merchant, terms: &Terms) -> Result<(), CommandError> {
    let of = |list: &[(String, String)], network: &str| {
        let id = |name: &str| config.network_called(name).map(|known| known.network.clone());
        let found = list.iter().find(|(name, _)| matches!((id(name), id(network)), (Ok(a), Ok(b)) if a == b));
        found.map(|(_, value)| value.clone())
    };
    for (network, pay_to) in &terms.pay_to {
        let asset = of(&terms.asset, network);
        let mut fresh = config.merchant_network(network, pay_to, asset.as_deref(), LimitTexts::default())?;
        let stands = merchant.networks.iter().position(|one| one.network == fresh.network);
        match stands.and_then(|at| merchant.networks.get_mut(at)) {
            Some(stands) => {
                fresh.limits = stands.limits;
                *stands = fresh;
            }
            None => merchant.networks.push(fresh),
        }
    }
    let named = [&terms.amount_day_usdc, &terms.cost_day_usdc, &terms.native_day, &terms.asset];
    for (network, _) in named.into_iter().flatten() {
        let known = config.network_called(network)?;
        let missing = "this merchant is not paid on that network; name it with --pay-to";
        let own = merchant.networks.iter_mut().find(|one| one.network == known.network).ok_or(missing)?;
        let (amount, cost) = (of(&terms.amount_day_usdc, network), of(&terms.cost_day_usdc, network));
        let native = of(&terms.native_day, network);
        let texts = LimitTexts {
            amount_day_usdc: amount.as_deref(),
            cost_day_usdc: cost.as_deref(),
            native_day: native.as_deref(),
        };
        own.limits = config.merchant_limits(known, Some(own.limits), texts)?;
    }
    merchant.fee_policy = terms.fee_policy.unwrap_or(merchant.fee_policy);
    merchant.in_flight_max = terms.in_flight_max.unwrap_or(merchant.in_flight_max);
    merchant.accounts_max = terms.accounts_max.unwrap_or(merchant.accounts_max);
    Ok(())
}

/// The one place where a key is shown.
fn say_key(merchant: &Merchant, secret: &Secret, as_json: bool) -> Result<(), CommandError> {
    let key = secret.expose_str().unwrap_or_default();
    if as_json {
        let mut shown = shown(merchant);
        shown["api_key"] = json!(key);
        print(&shown.to_string())?;
    } else {
        print(&format!(
            "{key}\n\nThis is the key of the merchant {}. It is shown once and stored nowhere: give it to the \
             merchant's server, as X-API-Key or Authorization: Bearer. It works within seconds.",
            merchant.name
        ))?;
    }
    Ok(())
}

async fn list(path: &Path) -> Result<ExitCode, CommandError> {
    let (_, ledger) = open(path).await?;
    for merchant in ledger.list_merchants(now_ms()).await? {
        print(&shown(&merchant).to_string())?;
    }
    ledger.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn show(path: &Path, name: &str) -> Result<ExitCode, CommandError> {
    let (_, ledger) = open(path).await?;
    let merchant = one(&ledger, name).await?;
    ledger.close().await;
    print(&serde_json::to_string_pretty(&shown(&merchant))?)?;
    Ok(ExitCode::SUCCESS)
}

async fn set(
    path: &Path,
    name: &str,
    terms: &Terms,
    remove: &[String],
    as_json: bool,
) -> Result<ExitCode, CommandError> {
    let (config, ledger) = open(path).await?;
    let mut merchant = one(&ledger, name).await?;
    for network in remove {
        let id = config.network_called(network).map_or_else(|_| network.clone(), |of| of.network.to_string());
        merchant.networks.retain(|one| one.network.as_str() != id);
    }
    put_terms(&config, &mut merchant, terms)?;
    if !ledger.set_merchant(&merchant, now_ms()).await? {
        return Err("this merchant is closed, for good".into());
    }
    let merchant = one(&ledger, name).await?;
    ledger.close().await;
    say(&merchant, as_json, "changed; the running program follows within seconds")?;
    Ok(ExitCode::SUCCESS)
}

async fn rotate(
    path: &Path,
    name: &str,
    overlap_seconds: u32,
    as_json: bool,
) -> Result<ExitCode, CommandError> {
    let (_, ledger) = open(path).await?;
    let now_ms = now_ms();
    let (secret, key) = new_api_key(&Random::system(), now_ms);
    let others_end_at_ms = now_ms.saturating_add(i64::from(overlap_seconds).saturating_mul(1_000));
    if !ledger.add_merchant_key(name, &key, others_end_at_ms, now_ms).await? {
        return Err("no open merchant of this name; see quittance merchants list".into());
    }
    let merchant = one(&ledger, name).await?;
    ledger.close().await;
    say_key(&merchant, &secret, as_json)?;
    Ok(ExitCode::SUCCESS)
}

async fn close(path: &Path, name: &str, as_json: bool) -> Result<ExitCode, CommandError> {
    let (_, ledger) = open(path).await?;
    if !ledger.close_merchant(name, now_ms()).await? {
        return Err("no open merchant of this name; see quittance merchants list".into());
    }
    let merchant = one(&ledger, name).await?;
    ledger.close().await;
    say(&merchant, as_json, "closed; its keys end within seconds")?;
    Ok(ExitCode::SUCCESS)
}

fn say(merchant: &Merchant, as_json: bool, words: &str) -> Result<(), CommandError> {
    match as_json {
        true => print(&shown(merchant).to_string())?,
        false => print(&format!("{}: {words}", merchant.name))?,
    }
    Ok(())
}

/// What people see: of keys their public halves.
fn shown(merchant: &Merchant) -> Value {
    let networks: Vec<Value> = merchant
        .networks
        .iter()
        .map(|one| {
            json!({
                "network": one.network,
                "pay_to": one.pay_to,
                "asset": one.asset,
                "amount_day_max": one.limits.amount_day,
                "cost_day_max": one.limits.cost_day,
                "native_day_max": one.limits.native_day.to_string(),
            })
        })
        .collect();
    let keys: Vec<Value> = merchant
        .keys
        .iter()
        .map(|key| json!({ "id": key.id, "created_at_ms": key.created_at_ms, "ends_at_ms": key.ends_at_ms }))
        .collect();
    json!({
        "name": merchant.name,
        "state": merchant.state,
        "fee_policy": merchant.fee_policy,
        "in_flight_max": merchant.in_flight_max,
        "accounts_max": merchant.accounts_max,
        "networks": networks,
        "keys": keys,
        "created_at_ms": merchant.created_at_ms,
        "changed_at_ms": merchant.changed_at_ms,
    })
}
