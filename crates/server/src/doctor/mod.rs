//! `quittance doctor`: everything that could be wrong, looked at at once, before customers see it.
//!
//! It asks and reads: nothing is sent to a chain, nothing is signed, and the ledger is opened for
//! reading. Each look ends within its own time; what could not be looked at is said.
//! One file for each room: `settings` (the file and the machine), `network` and `money` (nodes, token,
//! wallets, rates), `books` (the ledger), `catalogue` (what is sold, and the host), `outside` (the
//! program as it runs).

mod books;
mod catalogue;
mod finding;
mod money;
mod network;
mod outside;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quittance_facilitator::config::Config;
use quittance_facilitator::{Clock, examine_networks, examine_rates};

use crate::doctor::finding::{Report, Severity};
use crate::{CommandError, print};

/// Exit code where there are warnings and no errors, and where there are errors.
const WARNINGS: u8 = 1;
const ERRORS: u8 = 2;

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
    /// Price catalogue (TOML), instead of the configuration's.
    #[arg(long)]
    catalog: Option<PathBuf>,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(examine(&args.config, args.catalog.as_deref()));
    match args.json {
        true => print(&serde_json::to_string_pretty(&report.document())?)?,
        false => print(report.text().trim_end())?,
    }
    Ok(match (report.count(Severity::Error), report.count(Severity::Warning)) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(WARNINGS),
        _ => ExitCode::from(ERRORS),
    })
}

async fn examine(path: &Path, catalog: Option<&Path>) -> Report {
    let mut report = Report::default();
    let Some(config) = settings::examine(path, &mut report) else { return report };
    settings::warnings(&config, &mut report);
    let folder = path.parent().unwrap_or(Path::new(""));
    let clock = Clock::system();
    let now_ms = || clock.now_ms();
    let (mut ledger, mut program, mut hosts) = (Report::default(), Report::default(), Report::default());
    let catalogues = catalogue::read(&config, folder, catalog, &mut hosts);
    let (networks, rates, (), (), ()) = tokio::join!(
        examine_networks(&config, &now_ms),
        examine_rates(&config, &now_ms),
        books::examine(&config, &mut ledger),
        outside::examine(&config, &mut program),
        catalogue::hosts(&config, &catalogues, &mut hosts),
    );
    for exam in &networks {
        network::examine(exam, &config, &mut report);
        money::examine(exam, &config, &rates, &mut report);
    }
    money::rates(&rates, &mut report);
    for part in [ledger, hosts, program] {
        report.append(part);
    }
    report
}

/// What costs no question to anybody, told in the log at the start. What the start says itself is left
/// out.
pub(crate) fn at_start(config: &Config) {
    let mut report = Report::default();
    settings::machine(config, &mut report);
    books::disk(config, &mut report);
    for finding in report.findings.iter().filter(|finding| finding.severity > Severity::NotChecked) {
        let (code, about, todo) = (finding.code, &finding.about, finding.todo);
        tracing::warn!(code, about, todo, "{}", finding.seen);
    }
}
