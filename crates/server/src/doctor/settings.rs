//! What can be told from the configuration and the machine, without asking anybody.

use std::path::Path;

use quittance_facilitator::config::{Config, ConfigExam, ProblemKind, Warning, WarningKind};
use reqwest::Url;

use super::finding::{Code, Report};

/// Mode bits of a file that everybody on the machine may read, write or run.
const OTHERS: u32 = 0o007;

/// All that is wrong with the file, and what it says as far as it can be used.
pub(super) fn examine(path: &Path, report: &mut Report) -> Option<Config> {
    let ConfigExam { config, problems } = Config::examine(path);
    for problem in &problems {
        let code = match problem.kind {
            ProblemKind::Unreadable => Code::ConfigUnreadable,
            ProblemKind::UnknownKey => Code::ConfigUnknownKey,
            ProblemKind::Value => Code::ConfigValue,
            ProblemKind::Secret => Code::SecretUnresolved,
        };
        report.found(code, problem.key.clone(), problem.text.clone());
    }
    match &config {
        Some(config) if problems.is_empty() => {
            let networks = config.networks.len();
            report.well("configuration", path.display().to_string(), format!("{networks} networks"));
        }
        Some(_) => {}
        None => report.unchecked("everything else", "", "too much of the configuration cannot be read"),
    }
    config
}

/// What works, and should be known.
pub(super) fn warnings(config: &Config, report: &mut Report) {
    let bound = config.server.listen.parse().ok().as_ref().and_then(Warning::of_bound);
    for warning in config.warnings().into_iter().chain(bound) {
        let code = match warning.kind {
            WarningKind::PlainHttp => Code::PlainHttp,
            WarningKind::NoChecksum => Code::AddressWithoutChecksum,
            WarningKind::FixedRate => Code::RateFixed,
            WarningKind::ListensEverywhere => Code::ListensEverywhere,
        };
        report.found(code, warning.key, warning.text);
    }
    machine(config, report);
}

/// What a start does not say by itself.
pub(super) fn machine(config: &Config, report: &mut Report) {
    secret_files(config, report);
    public_url(config, report);
}

fn secret_files(config: &Config, report: &mut Report) {
    use std::os::unix::fs::PermissionsExt as _;
    for (key, path) in config.secret_files() {
        // One that cannot be read is a problem of the configuration, told there.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        match mode & OTHERS {
            0 => report.well("secrets", key, format!("its file has mode {mode:o}")),
            _ => report.found(Code::SecretFileOpen, key, format!("its file has mode {mode:o}")),
        }
    }
}

/// How customers are told to come.
fn public_url(config: &Config, report: &mut Report) {
    const KEY: &str = "server.public_url";
    let Some(text) = &config.server.public_url else {
        if !config.gateway.upstreams.is_empty() {
            report.found(Code::PublicUrlMissing, KEY, "nothing is said, so offers name what clients ask for");
        }
        return;
    };
    // What is no URL is a problem of the configuration.
    let Ok(url) = Url::parse(text) else { return };
    let place = Place::of(&url);
    match (url.scheme(), place) {
        ("http", Place::Public) => {
            report.found(Code::PublicUrlPlain, KEY, "http: whoever is between can change offers and answers");
        }
        ("https", Place::ThisHost | Place::Private) => {
            report.found(Code::PublicUrlPrivate, KEY, "https, and an address that no customer can reach");
        }
        (scheme, _) => report.well("public_url", KEY, scheme),
    }
    let here = config.server.listen.parse::<std::net::SocketAddr>().is_ok_and(|at| at.ip().is_loopback());
    if here && place != Place::ThisHost && config.server.trusted_proxies.is_empty() {
        let seen = "is empty, and customers come through a proxy on this machine";
        report.found(Code::ProxyUntrusted, "server.trusted_proxies", seen);
    }
}

/// From where a URL can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    ThisHost,
    Private,
    Public,
}

impl Place {
    pub(super) fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        match host.parse::<std::net::IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) if ip.is_loopback() => Self::ThisHost,
            Ok(std::net::IpAddr::V4(ip)) if ip.is_private() || ip.is_link_local() => Self::Private,
            // Unique local addresses (RFC 4193).
            Ok(std::net::IpAddr::V6(ip)) if ip.segments()[0] & 0xfe00 == 0xfc00 => Self::Private,
            Ok(_) => Self::Public,
            Err(_) if host == "localhost" || host.ends_with(".localhost") => Self::ThisHost,
            // Names for one's own network only (RFC 6762, RFC 9476 and custom).
            Err(_) if [".local", ".internal", ".lan"].iter().any(|end| host.ends_with(end)) => Self::Private,
            Err(_) if !host.contains('.') => Self::Private,
            Err(_) => Self::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_no_customer_can_reach_is_known() {
        for (text, place) in [
            ("https://api.example.com", Place::Public),
            ("https://203.0.113.7", Place::Public),
            ("https://10.0.0.7", Place::Private),
            ("https://192.168.1.1:8443", Place::Private),
            ("https://[fd00::1]", Place::Private),
            ("https://api", Place::Private),
            ("https://api.internal", Place::Private),
            ("http://127.0.0.1:4402", Place::ThisHost),
            ("http://localhost", Place::ThisHost),
            ("http://[::1]", Place::ThisHost),
        ] {
            assert_eq!(Place::of(&Url::parse(text).unwrap()), place, "{text}");
        }
    }
}
