//! The program as it runs, and how it looks from outside.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use quittance_facilitator::config::Config;
use quittance_protocol::{HEADER_BYTES_MAX, PAYMENT_SIGNATURE};
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::Value;

use super::finding::{Code, Report};
use crate::status;

/// How long the program, or what stands before it, may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Payments with a contract's signature come near the limit; most proxies take 8 KiB unless told.
const HEADER_BYTES: usize = HEADER_BYTES_MAX - 1_024;

pub(super) async fn examine(config: &Config, report: &mut Report) {
    let program = status::ask(config).await;
    match &program {
        Ok(program) => running(program, report),
        Err(error) => {
            listen(config, report);
            report.unchecked("program", "server.listen", error.to_string());
            report.unchecked("metrics", "/metrics", "the program does not run here");
        }
    }
    let Ok(client) =
        Client::builder().timeout(ANSWER_MAX).redirect(redirect::Policy::none()).no_proxy().build()
    else {
        return;
    };
    if program.is_ok() {
        metrics(&client, config, report).await;
        public(&client, config, report).await;
    } else if config.server.public_url.is_some() {
        report.unchecked("public_url", "server.public_url", "the program does not run here");
    }
}

/// Whether the port is free for it.
pub(super) fn listen(config: &Config, report: &mut Report) {
    const KEY: &str = "server.listen";
    let addresses: Vec<SocketAddr> =
        config.server.listen.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    if addresses.is_empty() {
        return report.found(Code::ListenUnavailable, KEY, "its host has no address");
    }
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(_) => report.well("listen", KEY, format!("{address} is free")),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let seen = format!("{address} is taken, and not by a program that answers as this one");
                report.found(Code::ListenTaken, KEY, seen);
            }
            Err(error) => report.found(Code::ListenUnavailable, KEY, format!("{address}: {}", error.kind())),
        }
    }
}

fn running(program: &Value, report: &mut Report) {
    let late = status::late(program);
    for task in &late {
        report.found(Code::WorkLate, task.clone(), "has not ended well for long");
    }
    for (network, reason) in program["closed"].as_object().into_iter().flatten() {
        report.found(Code::NetworkClosed, network.clone(), reason.as_str().unwrap_or_default());
    }
    if late.is_empty() {
        report.well("program", "server.listen", "answers, and its background work is on time");
    }
}

/// As Prometheus asks.
async fn metrics(client: &Client, config: &Config, report: &mut Report) {
    let listen = config.admin_listen();
    let url = format!("http://{}/metrics", status::here(listen.unwrap_or(&config.server.listen)));
    let text = match client.get(&url).send().await {
        Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
        Ok(answer) => {
            return report.found(
                Code::MetricsSilent,
                "/metrics",
                format!("{url} answers {}", answer.status()),
            );
        }
        Err(_) => return report.found(Code::MetricsSilent, "/metrics", format!("{url} cannot be reached")),
    };
    let series = text.lines().filter(|line| line.starts_with("quittance_")).count();
    match series {
        0 => report.found(Code::MetricsSilent, "/metrics", format!("{url} shows no series of this program")),
        _ => report.well("metrics", "/metrics", format!("{url} shows {series} series")),
    }
}

/// As a customer comes.
async fn public(client: &Client, config: &Config, report: &mut Report) {
    const KEY: &str = "server.public_url";
    let Some(url) = config.server.public_url.as_deref().and_then(|url| Url::parse(url).ok()) else { return };
    let Ok(there) = url.join("/healthz") else { return };
    let here = format!("http://{}/healthz", status::here(&config.server.listen));
    match client.get(there.clone()).send().await {
        Ok(answer) if answer.status().is_success() => report.well("public_url", KEY, "leads to the program"),
        Ok(answer) => {
            let seen =
                format!("answers {} to /healthz, which the program answers well here", answer.status());
            return report.found(Code::PublicUrlUnreachable, KEY, seen);
        }
        Err(error) => {
            let why =
                if error.is_timeout() { "does not answer in time" } else { "cannot be reached from here" };
            return report.found(Code::PublicUrlUnreachable, KEY, why);
        }
    }
    // As long as a payment may be, and none: what the program itself says to it is the measure.
    let long = "A".repeat(HEADER_BYTES);
    let ask = |url: String| client.get(url).header(PAYMENT_SIGNATURE, long.clone()).send();
    let (outside, inside) = (ask(there.to_string()).await, ask(here).await);
    let status = |answer: &Result<reqwest::Response, reqwest::Error>| {
        answer.as_ref().ok().map(reqwest::Response::status)
    };
    match (status(&outside), status(&inside)) {
        (outside, inside) if outside == inside => {
            report.well("headers", KEY, format!("a header of {HEADER_BYTES} bytes arrives"));
        }
        (outside, _) => {
            let said =
                outside.map_or_else(|| "no answer".to_owned(), |status: StatusCode| status.to_string());
            let seen = format!("a header of {HEADER_BYTES} bytes is answered {said} on the way");
            report.found(Code::ProxyHeaderLimit, KEY, seen);
        }
    }
}
