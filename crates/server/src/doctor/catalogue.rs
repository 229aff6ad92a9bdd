//! What is sold, and whether the host has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quittance_facilitator::config::{Config, UpstreamConfig};
use quittance_quote::{Catalogue, EndpointInfo, Pricing};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::Value;

use super::finding::{Code, Report};
use crate::init::openapi;

/// How long a host may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Longest document that is read.
const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// The catalogues of the configuration, or the one of the command line, read; with whose each is.
pub(super) fn read(
    config: &Config,
    folder: &Path,
    given: Option<&Path>,
    report: &mut Report,
) -> Vec<(Option<String>, Catalogue)> {
    let mut found = Vec::new();
    let upstreams = &config.gateway.upstreams;
    let mut wanted: Vec<(String, Option<String>, PathBuf)> = Vec::new();
    if let Some(path) = given {
        let only = (upstreams.len() == 1).then(|| upstreams.keys().next().cloned()).flatten();
        wanted.push(("--catalog".to_owned(), only, path.to_owned()));
    } else {
        for (name, upstream) in upstreams {
            match (&upstream.catalogue, &config.gate.catalogue) {
                (Some(path), _) => {
                    wanted.push((
                        format!("gateway.upstreams.{name}.catalogue"),
                        Some(name.clone()),
                        folder.join(path),
                    ));
                }
                (None, Some(path)) if upstreams.len() == 1 => {
                    wanted.push(("gate.catalogue".to_owned(), Some(name.clone()), path.clone()));
                }
                (None, _) => {
                    let about = format!("gateway.upstreams.{name}");
                    report.found(
                        Code::CatalogueMissing,
                        about,
                        "has no catalogue: nothing of it can be sold",
                    );
                }
            }
        }
        if upstreams.is_empty() {
            let path = config.gate.catalogue.iter();
            wanted.extend(path.map(|path| ("gate.catalogue".to_owned(), None, path.clone())));
        }
    }
    for (about, upstream, path) in wanted {
        if let Some(catalogue) = one(&about, &path, report) {
            found.push((upstream, catalogue));
        }
    }
    found
}

fn one(about: &str, path: &Path, report: &mut Report) -> Option<Catalogue> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            report.found(Code::CatalogueUnreadable, about, format!("{}: {}", path.display(), error.kind()));
            return None;
        }
    };
    match Catalogue::from_toml(&text) {
        Ok(catalogue) => {
            let paid = catalogue.endpoints().iter().filter(|one| one.pricing == Pricing::Paid).count();
            match paid {
                0 => report.found(Code::CatalogueSellsNothing, about, "lists no paid endpoint"),
                paid => report.well("catalogue", about, format!("sells {paid} endpoints")),
            }
            Some(catalogue)
        }
        Err(error) => {
            report.found(Code::CatalogueUnreadable, about, format!("{}: {error}", path.display()));
            None
        }
    }
}

/// Asks each host whether it is there, and for its own list of endpoints.
pub(super) async fn hosts(config: &Config, catalogues: &[(Option<String>, Catalogue)], report: &mut Report) {
    let client = Client::builder().timeout(ANSWER_MAX).redirect(redirect::Policy::none()).no_proxy().build();
    let Ok(client) = client else { return };
    for (name, upstream) in &config.gateway.upstreams {
        let about = format!("gateway.upstreams.{name}.url");
        // What is no URL is a problem of the configuration.
        let Ok(url) = Url::parse(&upstream.url) else { continue };
        match document(&client, &url, upstream).await {
            Err(why) => {
                report.found(Code::UpstreamUnreachable, about, why);
            }
            Ok(document) => {
                report.well("upstream", about.clone(), "answers");
                let own = catalogues.iter().find(|(of, _)| of.as_ref() == Some(name));
                if let Some((_, catalogue)) = own {
                    body(&client, &url, catalogue, config.gate.body_bytes_max, report).await;
                }
                match (own, document.filter(openapi::is_one)) {
                    (Some((_, catalogue)), Some(document)) => routes(name, catalogue, &document, report),
                    _ => report.unchecked(
                        "routes",
                        about,
                        "it shows no /openapi.json to compare the catalogue with",
                    ),
                }
            }
        }
    }
}

/// `None`: it answers, and not with JSON.
async fn document(client: &Client, url: &Url, upstream: &UpstreamConfig) -> Result<Option<Value>, String> {
    let path = [url.path().trim_end_matches('/'), "/openapi.json"].concat();
    let mut at = url.clone();
    at.set_path(&path);
    let patience = ANSWER_MAX.max(Duration::from_millis(upstream.connect_ms));
    let sent = client.get(at).timeout(patience).send().await;
    let mut answer = sent.map_err(|error| match error.is_timeout() {
        true => "does not answer in time".to_owned(),
        false => "cannot be reached".to_owned(),
    })?;
    if !answer.status().is_success() {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len().saturating_add(chunk.len()) > DOCUMENT_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(serde_json::from_slice(&body).ok())
}

/// Whether the host takes bodies as long as those that are sold: one of blanks, which is no request
/// and shows no credentials, so that nothing is made of it.
async fn body(client: &Client, url: &Url, catalogue: &Catalogue, bytes_max: usize, report: &mut Report) {
    const KEY: &str = "gate.body_bytes_max";
    let endpoints = catalogue.endpoints();
    let takes_body = |one: &&EndpointInfo| one.pricing == Pricing::Paid && one.method == "POST";
    let Some(endpoint) = endpoints.iter().find(takes_body) else { return };
    let mut at = url.clone();
    at.set_path(&[url.path().trim_end_matches('/'), &endpoint.example_path()].concat());
    let asking = client.post(at).header(CONTENT_TYPE, "application/json").body(vec![b' '; bytes_max]);
    match asking.send().await {
        Ok(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let seen = format!("{} {} answers 413 to {bytes_max} bytes", endpoint.method, endpoint.path);
            report.found(Code::UpstreamBodyLimit, KEY, seen);
        }
        Ok(answer) if !answer.status().is_server_error() => {
            report.well("upstream bodies", KEY, format!("{} takes {bytes_max} bytes", endpoint.path));
        }
        _ => report.unchecked("upstream bodies", KEY, format!("{} did not answer", endpoint.path)),
    }
}

/// Paid endpoints that the host's own list lacks.
fn routes(name: &str, catalogue: &Catalogue, document: &Value, report: &mut Report) {
    let listed = openapi::operations(document);
    let mut unknown = 0_usize;
    for endpoint in catalogue.endpoints().iter().filter(|one| one.pricing == Pricing::Paid) {
        if !listed.iter().any(|one| one.method == endpoint.method && is_same(&one.path, endpoint)) {
            unknown = unknown.saturating_add(1);
            let about = format!("{} {}", endpoint.method, endpoint.path);
            report.found(
                Code::RouteUnknown,
                about,
                format!("is sold, and {name}'s /openapi.json does not list it"),
            );
        }
    }
    if unknown == 0 {
        report.well("routes", format!("gateway.upstreams.{name}"), "lists every path that is sold");
    }
}

/// Parameters may have other names.
fn is_same(path: &str, endpoint: &EndpointInfo) -> bool {
    let parts = |path: &str| -> Vec<String> {
        let part = |one: &str| if one.starts_with('{') { "{}".to_owned() } else { one.to_owned() };
        path.split('/').map(part).collect()
    };
    parts(path) == parts(&endpoint.path)
}
