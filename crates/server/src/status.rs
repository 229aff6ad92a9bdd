//! `quittance status`: what is under way, by the ledger, and how the background work of
//! the program goes, by its own word (`GET /status`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::HttpRequest;
use quittance_facilitator::config::Config;
use quittance_facilitator::{Clock, Facilitator};
use quittance_ledger::Books;
use reqwest::{Client, redirect};
use serde_json::{Value, json};

use crate::columns::table;
use crate::payments::open_books;
use crate::{CommandError, print};

/// A program on the same host that does not answer within this time hangs.
const ANSWER_SECONDS: u64 = 5;

/// Longest answer that is read: some dozen tasks.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Whether a request comes from a program on this host and not through a proxy on it:
/// the words of a failure are the operator's.
pub(crate) fn is_of_this_host(req: &HttpRequest) -> bool {
    let local = req.app_config().local_addr().ip();
    let peer = req.peer_addr().map(|peer| peer.ip());
    quittance_actix::is_of_this_host(&quittance_actix::headers(req.headers()), peer, Some(local))
}

/// Whether a proxy says that it handed a request on.
pub(crate) fn is_forwarded(req: &HttpRequest) -> bool {
    // Of a peer that is this host itself, the headers alone decide.
    let here = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    !quittance_actix::is_of_this_host(&quittance_actix::headers(req.headers()), here, here)
}

/// What the program says of itself.
pub(crate) fn of_program(facilitator: &Facilitator) -> Value {
    let closed: serde_json::Map<_, _> = facilitator
        .closed()
        .into_iter()
        .map(|(network, reason)| (network.to_string(), json!(reason)))
        .collect();
    json!({
        "now_ms": Clock::system().now_ms(),
        "closed": closed,
        "upkeep": facilitator.upkeep(),
        "wallets": facilitator.wallets(),
    })
}

pub(crate) fn run(path: &Path, as_json: bool) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let books = open_books(&config).await?;
        let under_way = under_way(&*books, &config).await?;
        let program = ask(&config).await;
        let (program, silent) = match program {
            Ok(program) => (program, None),
            Err(error) => (Value::Null, Some(error.to_string())),
        };
        if as_json {
            let shown = json!({ "books": under_way, "program": program, "error": silent });
            print(&serde_json::to_string_pretty(&shown)?)?;
        } else {
            print(text(&under_way, &program, silent.as_deref()).trim_end())?;
        }
        let well = silent.is_none() && !rows(&program).iter().any(|row| row.late);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn under_way(books: &dyn Books, config: &Config) -> Result<Value, CommandError> {
    let now_ms = Clock::system().now_ms();
    let open = books.open_work(now_ms).await?;
    let counts: Vec<Value> = books
        .counts()
        .await?
        .into_iter()
        .map(|(network, state, payments)| json!({"network": network, "state": state, "payments": payments}))
        .collect();
    let mut exposure = Vec::new();
    for section in config.networks.values() {
        let sums = books.exposure(&section.network, now_ms).await?;
        exposure.push(json!({
            "network": section.network,
            "reserved_usdc": sums.reserved.usdc,
            "burnt_usdc": sums.burnt.usdc,
            "spent_usdc": sums.spent,
        }));
    }
    let oldest = open.unfinished.first().map(|payment| payment.created_at_ms);
    Ok(json!({
        "payments": counts,
        "without_verdict": open.unfinished.len(),
        "oldest_without_verdict_at_ms": oldest,
        "exposure": exposure,
    }))
}

/// Asks the program that serves with this configuration on this host.
pub(crate) async fn ask(config: &Config) -> Result<Value, CommandError> {
    let client = Client::builder()
        .timeout(Duration::from_secs(ANSWER_SECONDS))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()?;
    let listen = config.admin_listen().unwrap_or(&config.server.listen);
    let url = format!("http://{}/status", here(listen));
    let answer = client.get(&url).send().await.map_err(|error| {
        let why = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        format!("the program at {url} {why}")
    })?;
    if !answer.status().is_success() {
        return Err(format!("{url} answers {}", answer.status()).into());
    }
    if answer.content_length().is_none_or(|length| length > ANSWER_BYTES_MAX) {
        return Err(format!("{url} answers at a length that no status has").into());
    }
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}

/// The address of `server.listen` as seen from this host: all addresses are asked for
/// at the loopback one.
pub(crate) fn here(listen: &str) -> String {
    let Ok(address) = listen.parse::<SocketAddr>() else { return listen.to_owned() };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port()).to_string()
}

/// The tasks of the program that are late.
pub(crate) fn late(program: &Value) -> Vec<String> {
    let late = rows(program).into_iter().filter(|row| row.late);
    late.map(|row| format!("{} {}", row.cells[0], row.cells[1]).trim_end().to_owned()).collect()
}

/// One task of the program.
struct Row {
    cells: [String; 6],
    /// It has not ended a turn well for ten periods and ten minutes, as in the alert
    /// `QuittanceUpkeepStalled`.
    late: bool,
    failure: Option<String>,
}

const LATE_PERIODS: i64 = 10;
const LATE_SECONDS: i64 = 600;

fn rows(program: &Value) -> Vec<Row> {
    let now_ms = program["now_ms"].as_i64().unwrap_or(0);
    let since = |at: &Value| at.as_i64().map(|at| now_ms.saturating_sub(at).max(0) / 1_000);
    let ago = |at: &Value| since(at).map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s ago"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let upkeep = program["upkeep"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |run: &Value| {
        let period = run["period_seconds"].as_i64().unwrap_or(0);
        let limit = period.saturating_mul(LATE_PERIODS).saturating_add(LATE_SECONDS);
        let took = match (&run["began_at_ms"], run["took_ms"].as_u64()) {
            (Value::Null, _) => "–".to_owned(),
            (_, Some(took)) => format!("{took} ms"),
            (began, None) => format!("under way, {} s", since(began).unwrap_or(0)),
        };
        Row {
            cells: [
                text(&run["task"]),
                text(&run["network"]),
                format!("{period} s"),
                ago(&run["succeeded_at_ms"]),
                took,
                format!("{} ({} panics)", run["failures"], run["panics"]),
            ],
            late: since(&run["succeeded_at_ms"])
                .or_else(|| since(&run["started_at_ms"]))
                .is_some_and(|seconds| seconds > limit),
            failure: run["failure"].as_str().map(str::to_owned),
        }
    };
    upkeep.iter().map(row).collect()
}

fn text(under_way: &Value, program: &Value, silent: Option<&str>) -> String {
    let mut text = String::from("payments\n");
    let counts = under_way["payments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |count: &Value| {
        let word = |field: &str| count[field].as_str().unwrap_or_default().to_owned();
        [word("network"), word("state"), count["payments"].to_string()]
    };
    text.push_str(&table(["network", "state", "payments"], counts.iter().map(line)));
    text.push_str(&format!("  without a verdict: {}\n\n", under_way["without_verdict"]));
    if let Some(silent) = silent {
        text.push_str(&format!("background work: {silent}\n"));
        return text;
    }
    text.push_str("background work\n");
    let rows = rows(program);
    let titles = ["task", "network", "period", "ended well", "took", "failures"];
    text.push_str(&table(titles, rows.iter().map(|row| row.cells.clone())));
    for row in &rows {
        let [task, network, ..] = &row.cells;
        let name = format!("{task} {network}");
        let name = name.trim_end();
        if row.late {
            text.push_str(&format!("  {name}: late\n"));
        }
        if let Some(failure) = &row.failure {
            text.push_str(&format!("  {name} failed last: {failure}\n"));
        }
    }
    for wallet in program["wallets"].as_array().into_iter().flatten() {
        let word = |field: &str| wallet[field].as_str().unwrap_or_default();
        if word("role") == "active" && !matches!(word("funds"), "" | "fine") {
            text.push_str(&format!("  {} wallet {} is {}\n", word("network"), word("wallet"), word("funds")));
        }
    }
    for (network, reason) in program["closed"].as_object().into_iter().flatten() {
        text.push_str(&format!("  {network} is not offered: {}\n", reason.as_str().unwrap_or_default()));
    }
    text
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn from(peer: &str) -> TestRequest {
        TestRequest::get().uri("/status").peer_addr(peer.parse().unwrap())
    }

    #[test]
    fn only_this_host_is_told_and_no_one_through_a_proxy_on_it() {
        for peer in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(is_of_this_host(&from(peer).to_http_request()), "{peer}");
        }
        for peer in ["10.0.0.1:9", "203.0.113.7:9", "[2001:db8::1]:9"] {
            assert!(!is_of_this_host(&from(peer).to_http_request()), "{peer}");
        }
        assert!(!is_of_this_host(&TestRequest::get().to_http_request()), "nobody knows who");
        for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
            let request = from("127.0.0.1:9").insert_header((header, "203.0.113.7")).to_http_request();
            assert!(!is_of_this_host(&request), "{header}");
        }
    }

    #[test]
    fn every_address_is_asked_at_the_loopback_one() {
        assert_eq!(here("0.0.0.0:4402"), "127.0.0.1:4402");
        assert_eq!(here("[::]:4402"), "[::1]:4402");
        assert_eq!(here("10.0.0.7:4402"), "10.0.0.7:4402");
        assert_eq!(here("localhost:4402"), "localhost:4402");
    }

    fn program() -> Value {
        let run = |task: &str, succeeded: i64, took: Value, failure: Value| {
            json!({"task": task, "network": "", "period_seconds": 5, "began_at_ms": 1_000_000,
                "took_ms": took, "succeeded_at_ms": succeeded, "turns": 3, "failures": 1, "panics": 1,
                "failure": failure})
        };
        json!({"now_ms": 1_700_000, "closed": {"eip155:8453": "no_rate"}, "upkeep": [
            run("hangs", 900_000, Value::Null, Value::Null),
            run("fails", 1_690_000, json!(7), json!("database is locked")),
        ]})
    }

    #[test]
    fn a_turn_that_hangs_and_one_that_failed_are_seen() {
        let rows = rows(&program());
        assert_eq!(rows.iter().map(|row| row.late).collect::<Vec<_>>(), [true, false]);
        let shown = text(&json!({"payments": [], "without_verdict": 2}), &program(), None);
        for words in [
            "without a verdict: 2",
            "under way, 700 s",
            "800 s ago",
            "hangs: late",
            "fails failed last: database is locked",
            "eip155:8453 is not offered: no_rate",
            "1 (1 panics)",
        ] {
            assert!(shown.contains(words), "{words} in {shown}");
        }
    }

    #[test]
    fn a_program_that_does_not_answer_leaves_the_ledger() {
        let shown =
            text(&json!({"payments": [], "without_verdict": 0}), &Value::Null, Some("cannot be reached"));
        assert!(shown.contains("without a verdict: 0") && shown.contains("cannot be reached"), "{shown}");
    }
}
