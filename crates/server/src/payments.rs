//! `quittance payments`: the ledger, for people. Opens the ledger for reading.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{Books, DeliveryState, Origin, Payment, PaymentFilter, PaymentState};
use quittance_protocol::PaymentId;
use serde_json::{Value, json};

use crate::{CommandError, accounts, erase, margin, print, usage};

pub(crate) use crate::ledger_url::open_books;

#[derive(Subcommand)]
pub(crate) enum PaymentsCommand {
    /// The newest payments, one JSON document a line.
    List {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Only with this delivery, e.g. `owed`: settled by another ledger at a
        /// shared payout address, to be refunded.
        #[arg(long, value_parser = delivery)]
        delivery: Option<DeliveryState>,
        /// Only those of this merchant; `default` for calls without a key.
        #[arg(long)]
        merchant: Option<String>,
        /// Only those to be refunded: owed, a refusal of the handler, delivered in
        /// part, or a credit that has used up its runs.
        #[arg(long)]
        refundable: bool,
        #[command(flatten)]
        range: Box<ListRange>,
    },
    /// One payment with its journal.
    Show {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Payment id (`pay_…`).
        id: String,
    },
    /// All payments of a time with what each cost, oldest first, and their sums: a table, CSV, JSON
    /// lines or Parquet.
    Export(Box<accounts::ExportArgs>),
    /// What each seller's payments moved and cost by UTC day; adds up to what is on chain.
    Statement(Box<accounts::StatementArgs>),
    /// Deletes one payment's answer from ledger and store, while the program runs.
    /// Payment, receipt and journal stay.
    Erase {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// Payment id (`pay_…`).
        id: String,
    },
    /// What settling cost against what was charged, by network and hour.
    Margin {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// How far to look back.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=HOURS_MAX))]
        hours: u32,
        /// One JSON document, amounts in atomic units, instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// What prepaid work (text) used of what it reserved, by endpoint and model.
    Usage {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
        /// How far to look back.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=HOURS_MAX))]
        hours: u32,
        /// One JSON document, amounts in atomic units, instead of a table.
        #[arg(long)]
        json: bool,
    },
}

/// Which of them, by what every payment has.
#[derive(Args)]
pub(crate) struct ListRange {
    /// Claimed from then on: `2026-11-01`, `2026-11-01T12:00:00Z` (UTC), or `7d`, `24h`, `30m` ago.
    #[arg(long, value_parser = accounts::moment, value_name = "TIME")]
    since: Option<i64>,
    /// Claimed before then, in the same forms.
    #[arg(long, value_parser = accounts::moment, value_name = "TIME")]
    until: Option<i64>,
    /// Only on this network: a name of the configuration, or CAIP-2.
    #[arg(long)]
    network: Option<String>,
    /// Only in this state, e.g. `settled`.
    #[arg(long, value_parser = accounts::state)]
    state: Option<PaymentState>,
}

/// Longest look back of `margin`: a year.
const HOURS_MAX: i64 = 8_784;

const HOUR_MS: i64 = 3_600_000;

pub(crate) fn run(command: &PaymentsCommand) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            PaymentsCommand::List { config, limit, delivery, merchant, refundable, range } => {
                let merchant = merchant.clone();
                let filter =
                    PaymentFilter { limit: *limit, delivery: *delivery, merchant, ..Default::default() };
                list(config, filter, range, *refundable).await
            }
            PaymentsCommand::Show { config, id } => show(config, id).await,
            PaymentsCommand::Export(args) => accounts::export(args).await,
            PaymentsCommand::Statement(args) => accounts::statement(args).await,
            PaymentsCommand::Erase { config, id } => erase::erase(config, id).await,
            PaymentsCommand::Margin { config, hours, json } => show_margin(config, *hours, *json).await,
            PaymentsCommand::Usage { config, hours, json } => show_usage(config, *hours, *json).await,
        }
    })
}

async fn open(path: &Path) -> Result<Box<dyn Books>, CommandError> {
    open_books(&Config::load(path)?).await
}

fn delivery(text: &str) -> Result<DeliveryState, String> {
    let words: Vec<&str> = DeliveryState::ALL.iter().map(|state| state.as_str()).collect();
    let found = DeliveryState::ALL.iter().find(|state| state.as_str() == text);
    found.copied().ok_or_else(|| format!("one of {}", words.join(", ")))
}

async fn list(
    path: &Path,
    filter: PaymentFilter,
    range: &ListRange,
    refundable: bool,
) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    let books = open_books(&config).await?;
    let refundable = refundable.then(|| config.gate.run_limits());
    let network = range.network.as_deref().map(|name| accounts::network(&config, name)).transpose()?;
    let (since_ms, until_ms) = (range.since, range.until);
    let filter = PaymentFilter { refundable, network, state: range.state, since_ms, until_ms, ..filter };
    for payment in books.payments(filter).await? {
        print(&shown(&payment).to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(config: &Path, id: &str) -> Result<ExitCode, CommandError> {
    let books = open(config).await?;
    let id = PaymentId::from_stored(id);
    let payment = books.payment(&id).await?.ok_or_else(|| format!("no payment {id}"))?;
    let mut value = shown(&payment);
    let lines: Vec<Value> = books
        .journal(&id)
        .await?
        .into_iter()
        .map(|line| json!({ "at_ms": line.at_ms, "event": line.event, "detail": line.detail }))
        .collect();
    let costs = books.costs(&id).await?;
    value["costs"] = costs
        .iter()
        .map(|cost| {
            json!({
                "transaction": cost.transaction,
                "native": cost.native.to_string(),
                "usdc": cost.usdc,
                "earned": cost.earned,
            })
        })
        .collect();
    value["margin"] = json!(margin::of_payment(payment.due(), &costs).map(|margin| margin.to_string()));
    if let Some(usage) = books.usage(&id).await? {
        value["usage"] = json!(usage);
    }
    value["aliases"] = json!(books.aliases(&id).await?);
    value["answer"] = json!(books.answer(&id).await?.map(|answer| {
        json!({
            "status": answer.status,
            "bytes": answer.body_bytes(),
            "kept": match (&answer.object, answer.truncated) {
                (_, true) => None,
                (Some(_), _) => Some("store"),
                (None, _) => Some("ledger"),
            },
            "refundable": answer.refundable,
            "delivered_at_ms": payment.first_answer_at_ms,
        })
    }));
    value["journal"] = json!(lines);
    if payment.pruned_at_ms.is_some() {
        value["pruned"] = json!(
            "it ended long ago: its journal, attempts and payload were deleted (ledger.keep_finished_days)"
        );
    }
    print(&serde_json::to_string_pretty(&value)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Start of the whole hours to show: the one under way, and those before it.
fn since_ms(hours: u32) -> i64 {
    let hour = Clock::system().now_ms().div_euclid(HOUR_MS);
    hour.saturating_add(1).saturating_sub(i64::from(hours)).saturating_mul(HOUR_MS)
}

async fn show_margin(path: &Path, hours: u32, as_json: bool) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    let markup_bps = config.quote.markup_bps()?;
    let since_ms = since_ms(hours);
    let books = open_books(&config).await?;
    let (rows, shares) = (books.margins(since_ms).await?, books.cost_shares(since_ms).await?);
    if as_json {
        print(&serde_json::to_string_pretty(&margin::document(&rows, &shares, markup_bps))?)?;
    } else {
        print(margin::table(&rows, &shares, markup_bps).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_usage(path: &Path, hours: u32, as_json: bool) -> Result<ExitCode, CommandError> {
    let rows = open(path).await?.usages(since_ms(hours)).await?;
    if as_json {
        print(&serde_json::to_string_pretty(&usage::document(&rows))?)?;
    } else {
        print(usage::table(&rows).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What people see; the payer's signature is not in it.
fn shown(payment: &Payment) -> Value {
    json!({
        "id": payment.id,
        "network": payment.network,
        "state": payment.state,
        "delivery": payment.delivery,
        "merchant": match &payment.origin {
            Origin::Gate => None,
            Origin::Merchant(name) => Some(name),
        },
        "payer": payment.payer,
        "pay_to": payment.pay_to,
        "amount": payment.amount,
        "service": payment.service,
        "gas": payment.gas,
        "fee": payment.fee.map(|fee| json!({ "policy": fee.policy, "carried": fee.carried })),
        "transaction": payment.transaction,
        "resource": payment.resource,
        "request_id": payment.request_id,
        "runs": payment.runs,
        "runs_interrupted": payment.runs_interrupted,
        "runs_crashed": payment.runs_crashed,
        "created_at_ms": payment.created_at_ms,
        "verdict_at_ms": payment.verdict_at_ms,
        "finality": payment.finality,
        "finality_at_ms": payment.finality_at_ms,
        "pruned_at_ms": payment.pruned_at_ms,
        "refusal": payment.refusal.as_ref().map(|(code, reason)| json!({ "code": code, "reason": reason })),
    })
}
