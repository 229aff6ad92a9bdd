//! `quittance payments export` and `statement`: the books for accountants, in pages, to standard output
//! or a file. What is printed was written by payers, too: no field of a CSV starts a formula.

mod cells;
mod parquet;
mod range;
mod rows;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{AccountFilter, Books, PaymentState, RangeOf, Seller};
use quittance_protocol::Network;

use self::cells::{Column, Sheet};
use crate::CommandError;
use crate::ledger_url::open_books;

pub(crate) use self::range::{moment, rfc3339};

/// Payments that are read, and held, at a time.
const PAGE: u32 = 1_000;

/// The gate, where a merchant's name is asked for.
const GATE: &str = "gate";

/// Which payments.
#[derive(Args)]
pub(crate) struct Which {
    /// From then on: `2026-11-01`, `2026-11-01T12:00:00Z` (UTC), or `7d`, `24h`, `30m` ago.
    #[arg(long, value_parser = range::moment, value_name = "TIME")]
    since: Option<i64>,
    /// Before then, in the same forms.
    #[arg(long, value_parser = range::moment, value_name = "TIME")]
    until: Option<i64>,
    /// Only on this network: a name of the configuration, or CAIP-2.
    #[arg(long)]
    network: Option<String>,
    /// Only this merchant's; `default` for calls without a key, `gate` for the gate's own.
    #[arg(long)]
    merchant: Option<String>,
}

/// In which form.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Form {
    /// Comma-separated values instead of a table.
    #[arg(long)]
    csv: bool,
    /// One JSON document a line.
    #[arg(long)]
    json: bool,
    /// A Parquet file; it must not exist yet.
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
}

/// `quittance payments export`
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The times are those of settlements, not of claims: what adds up to the statement. Reads every
    /// payment.
    #[arg(long)]
    settled: bool,
    /// Only in this state, e.g. `settled`.
    #[arg(long, value_parser = state)]
    state: Option<PaymentState>,
    /// Only the sums.
    #[arg(long)]
    totals: bool,
    #[command(flatten)]
    form: Form,
}

/// `quittance payments statement`
#[derive(Args)]
pub(crate) struct StatementArgs {
    /// Configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    form: Form,
}

pub(crate) fn state(text: &str) -> Result<PaymentState, String> {
    let words: Vec<&str> = PaymentState::ALL.iter().map(|state| state.as_str()).collect();
    let found = PaymentState::ALL.iter().find(|state| state.as_str() == text);
    found.copied().ok_or_else(|| format!("one of {}", words.join(", ")))
}

/// A network by its name in the configuration, or in CAIP-2: of one that left the configuration.
pub(crate) fn network(config: &Config, name: &str) -> Result<Network, CommandError> {
    match config.networks.get(name) {
        Some(section) => Ok(section.network.clone()),
        None => name.parse().map_err(|_| format!("no network {name} in the configuration").into()),
    }
}

impl Which {
    fn filter(&self, config: &Config, range: RangeOf) -> Result<AccountFilter, CommandError> {
        let seller = self.merchant.as_deref().map(|name| match name {
            GATE => Seller::Gate,
            name => Seller::Merchant(name.to_owned()),
        });
        Ok(AccountFilter {
            since_ms: self.since.unwrap_or(0),
            until_ms: self.until.unwrap_or(i64::MAX),
            range,
            network: self.network.as_deref().map(|name| network(config, name)).transpose()?,
            seller,
            state: None,
        })
    }
}

/// Where rows go; finished, it has them all.
enum Out<W: Write> {
    Table(W),
    Csv(W),
    Json(W),
    Parquet(Box<parquet::Writer>),
}

impl<W: Write> Out<W> {
    fn new(form: &Form, columns: &'static [Column], mut to: W) -> Result<Self, CommandError> {
        Ok(match form {
            Form { parquet: Some(path), .. } => {
                Self::Parquet(Box::new(parquet::Writer::create(path, columns)?))
            }
            Form { csv: true, .. } => {
                cells::write_titles(&mut to, columns)?;
                Self::Csv(to)
            }
            Form { json: true, .. } => Self::Json(to),
            Form { .. } => Self::Table(to),
        })
    }

    fn write(&mut self, sheet: &Sheet) -> Result<(), CommandError> {
        match self {
            Self::Table(to) => to.write_all(sheet.table().as_bytes())?,
            Self::Csv(to) => sheet.write_csv(to)?,
            Self::Json(to) => sheet.write_json(to)?,
            Self::Parquet(file) => file.write(sheet)?,
        }
        Ok(())
    }

    fn finish(self, totals: &Sheet) -> Result<(), CommandError> {
        match self {
            Self::Table(mut to) => {
                if !totals.is_empty() {
                    writeln!(to, "\ntotal")?;
                    to.write_all(totals.table().as_bytes())?;
                }
                to.flush()?;
            }
            Self::Csv(mut to) | Self::Json(mut to) => to.flush()?,
            Self::Parquet(file) => file.close()?,
        }
        Ok(())
    }
}

/// A file that was not there: nobody's books are written over, and others on this machine do not read
/// who paid.
fn create(path: &Path) -> Result<File, CommandError> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

pub(crate) async fn export(args: &ExportArgs) -> Result<ExitCode, CommandError> {
    let config = Config::load(&args.config)?;
    let range = if args.settled { RangeOf::Settlements } else { RangeOf::Claims };
    let filter = AccountFilter { state: args.state, ..args.which.filter(&config, range)? };
    let books = open_books(&config).await?;
    let coins = rows::Coins::of(&config);
    let stdout = BufWriter::new(io::stdout().lock());
    match args.totals {
        false => {
            let mut out = Out::new(&args.form, rows::EXPORT, stdout)?;
            let totals = each(&*books, &filter, &coins, |sheet| out.write(sheet)).await?;
            out.finish(&totals)?;
        }
        true => {
            let totals = each(&*books, &filter, &coins, |_| Ok(())).await?;
            let mut out = Out::new(&args.form, rows::TOTALS, stdout)?;
            out.write(&totals)?;
            out.finish(&Sheet::new(rows::TOTALS))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands the payments over page by page, and adds them up.
async fn each(
    books: &dyn Books,
    filter: &AccountFilter,
    coins: &rows::Coins,
    mut page_of: impl FnMut(&Sheet) -> Result<(), CommandError>,
) -> Result<Sheet, CommandError> {
    let (mut totals, mut after) = (rows::Totals::default(), None);
    loop {
        let page = books.accounts(filter, after.as_ref(), PAGE).await?;
        let mut sheet = Sheet::new(rows::EXPORT);
        for row in &page.rows {
            totals.add(row);
            sheet.push(rows::export_row(row, coins));
        }
        if !sheet.is_empty() {
            page_of(&sheet)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(totals.sheet(coins));
        }
    }
}

pub(crate) async fn statement(args: &StatementArgs) -> Result<ExitCode, CommandError> {
    let config = Config::load(&args.config)?;
    let filter = args.which.filter(&config, RangeOf::Settlements)?;
    let until_ms = filter.until_ms.min(Clock::system().now_ms().saturating_add(1));
    let books = open_books(&config).await?;
    let coins = rows::Coins::of(&config);
    let mut days = books.statement(filter.since_ms, until_ms).await?;
    days.retain(|day| {
        filter.network.as_ref().is_none_or(|network| day.network == *network)
            && filter.seller.as_ref().is_none_or(|seller| day.seller == seller.as_str())
    });
    let mut sheet = Sheet::new(rows::STATEMENT);
    days.iter().for_each(|day| sheet.push(rows::statement_row(day, &coins)));
    let mut out = Out::new(&args.form, rows::STATEMENT, BufWriter::new(io::stdout().lock()))?;
    out.write(&sheet)?;
    out.finish(&rows::statement_totals(&days, &coins))?;
    Ok(ExitCode::SUCCESS)
}
