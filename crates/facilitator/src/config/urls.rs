//! What can be told from a URL without calling it.

use reqwest::Url;

/// Whether a URL leads to this machine. `None` where it is no URL.
pub(crate) fn is_loopback(url: &str) -> Option<bool> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    Some(host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()))
}

/// A URL as all its spellings have it in common; `None` where it is none.
pub(super) fn without_spelling(url: &str) -> Option<String> {
    // Parsing lowers scheme and host and drops a port that is the scheme's own.
    Url::parse(url).ok().map(|url| url.as_str().trim_end_matches('/').to_owned())
}

/// Whether what is sent to a URL crosses a network in the clear.
pub(super) fn is_plain_off_loopback(url: &str) -> bool {
    let plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    plain && is_loopback(url) != Some(true)
}
