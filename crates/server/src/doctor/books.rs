//! The ledger's database, its clock, and the room on its disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quittance_facilitator::Clock;
use quittance_facilitator::config::Config;
use quittance_ledger::{LedgerExam, SchemaExam, examine as examine_ledger};
use tokio::time::timeout;

use super::finding::{Code, Report};
use crate::ledger_url::ledger_url;

const KEY: &str = "ledger.url";

/// A database that does not answer within this time is as good as none.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Leases are kept by the database's clock, payments' windows by this machine's.
const SKEW_MS_MAX: i64 = 2_000;

/// What one process uses: eight, and the one that holds its name.
const CONNECTIONS: i64 = 9;

/// Less room than this is gone within hours of trade, and SQLite needs some to tidy up.
const FREE_BYTES_MIN: u64 = 512 << 20;

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let Ok(url) = ledger_url(config) else {
        // The reference that leads nowhere is told with the configuration.
        return report.unchecked("ledger", KEY, "its URL cannot be read");
    };
    disk(config, report);
    let clock = Clock::system();
    let began_ms = clock.now_ms();
    match timeout(ANSWER_MAX, examine_ledger(&url)).await {
        Err(_) => {
            let seen = format!("no answer within {} s", ANSWER_MAX.as_secs());
            report.found(Code::LedgerUnreachable, KEY, seen);
        }
        Ok(Err(error)) => report.found(Code::LedgerUnreachable, KEY, error.to_string()),
        Ok(Ok(exam)) => {
            folder(&exam, report);
            schema(&exam, report);
            server(&exam, report);
            let middle_ms = began_ms.midpoint(clock.now_ms());
            skew(&exam, middle_ms, report);
        }
    }
}

/// A file that is not there yet is made by the first start, if its folder lets it.
fn folder(exam: &LedgerExam, report: &mut Report) {
    let Some(file) = &exam.file else { return };
    let folder = folder_of(file);
    let about = folder.display().to_string();
    match folder.metadata() {
        Err(error) => report.found(Code::LedgerFolder, KEY, format!("{about}: {}", error.kind())),
        Ok(metadata) if !metadata.is_dir() => {
            report.found(Code::LedgerFolder, KEY, format!("{about} is no folder"))
        }
        Ok(_) if rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_err() => {
            report.found(Code::LedgerFolder, KEY, format!("{about} cannot be written to by this user"));
        }
        Ok(_) => report.well("ledger folder", KEY, about),
    }
}

fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

fn schema(exam: &LedgerExam, report: &mut Report) {
    let Some(SchemaExam { applied, missing, unknown, changed }) = &exam.schema else {
        return report.well("ledger tables", KEY, "none yet: the first start makes them");
    };
    let list = |numbers: &[i64]| {
        let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
        texts.join(", ")
    };
    if !unknown.is_empty() {
        let seen = format!("has migrations {} that this version does not know", list(unknown));
        report.found(Code::LedgerNewer, KEY, seen);
    }
    if !changed.is_empty() {
        let seen = format!("migrations {} are not this version's, or broke off", list(changed));
        report.found(Code::LedgerChanged, KEY, seen);
    }
    if !missing.is_empty() {
        report.found(Code::LedgerUpgrade, KEY, format!("lacks migrations {}", list(missing)));
    }
    if unknown.is_empty() && changed.is_empty() && missing.is_empty() {
        report.well("ledger tables", KEY, format!("{applied} migrations, as this version has them"));
    }
}

/// What PostgreSQL does with a commit.
fn server(exam: &LedgerExam, report: &mut Report) {
    if exam.clock_ms.is_none() {
        return;
    }
    if exam.is_standby {
        report.found(Code::LedgerStandby, KEY, "leads to a standby, which only reads");
    }
    let is = |name: &str, wanted: &str| exam.settings.get(name).is_some_and(|value| value == wanted);
    for name in ["fsync", "full_page_writes"] {
        match is(name, "on") {
            true => report.well("ledger durability", KEY, format!("{name} is on")),
            false => report.found(Code::LedgerUnsafe, KEY, format!("{name} is off")),
        }
    }
    for (name, wanted) in [("synchronous_commit", "on"), ("default_transaction_isolation", "read committed")]
    {
        match is(name, wanted) {
            true => report.well("ledger session", KEY, format!("{name} is {wanted}, as asked for")),
            false => report.found(
                Code::LedgerSession,
                KEY,
                format!("{name} is not {wanted}, although we asked for it"),
            ),
        }
    }
    match exam.connections_left {
        Some(left) if left < CONNECTIONS => {
            report.found(Code::LedgerConnections, KEY, format!("{left} connections are left"));
        }
        Some(left) => report.well("ledger connections", KEY, format!("{left} are left")),
        None => report.unchecked("ledger connections", KEY, "the server does not say"),
    }
}

fn skew(exam: &LedgerExam, now_ms: i64, report: &mut Report) {
    let Some(clock_ms) = exam.clock_ms else { return };
    let skew_ms = now_ms.saturating_sub(clock_ms);
    let seen = format!("this machine's clock is {skew_ms} ms ahead of the database's");
    match skew_ms.abs() > SKEW_MS_MAX {
        true => report.found(Code::LedgerClock, KEY, seen),
        false => report.well("ledger clock", KEY, seen),
    }
}

/// Room where the ledger's file and kept answers lie.
pub(super) fn disk(config: &Config, report: &mut Report) {
    let url = ledger_url(config).unwrap_or_default();
    let path = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    let ledger = path.map(|path| folder_of(Path::new(path.split('?').next().unwrap_or_default())));
    let answers =
        config.answers.store.as_deref().and_then(|store| store.strip_prefix("file://")).map(PathBuf::from);
    for (key, folder) in [(KEY, ledger), ("answers.store", answers)] {
        let Some(folder) = folder else { continue };
        // A folder that is not there is told where it is used.
        let Ok(room) = rustix::fs::statvfs(&folder) else { continue };
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let seen = format!("{} MiB are free at {}", free >> 20, folder.display());
        match free < FREE_BYTES_MIN {
            true => report.found(Code::DiskLow, key, seen),
            false => report.well("disk", key, seen),
        }
    }
}
