//! Who is calling: the client's address, as far as it can be known.
//!
//! A header is the client's own word unless a proxy of the operator's wrote it, so
//! forwarding headers count only on connections from configured proxies, and of
//! what stands in them only what those proxies added: from the right, the first
//! address that is not one of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Deserialize;

/// Addresses of a forwarding header that are looked at, from the right: no chain of
/// proxies is longer, and the rest is the client's to write.
const HOPS_MAX: usize = 16;

/// Bits of an IPv6 address that name a customer: the rest is one's own to choose.
const V6_BITS: u32 = 64;

/// The client behind a request: an IPv4 address, or the first 64 bits of an IPv6 one.
///
/// The default is an unknown caller, which no limit per address counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(Option<IpAddr>);

impl Caller {
    /// The client at an address.
    pub fn at(address: IpAddr) -> Self {
        Self(Some(match plain(address) {
            IpAddr::V6(v6) => {
                let kept = u128::MAX << (u128::BITS - V6_BITS);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & kept))
            }
            v4 @ IpAddr::V4(_) => v4,
        }))
    }

    /// What limits count by; `None` for an unknown caller.
    pub fn address(&self) -> Option<IpAddr> {
        self.0
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// The header in which trusted proxies say who is calling. One only: a proxy passes
/// on what a client wrote into the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses, separated by commas.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): its `for` parameters.
    Forwarded,
}

impl ForwardedHeader {
    /// The header's name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// Tells callers apart as `[server]` says.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    proxies: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Callers {
    /// Behind these proxies, addresses or networks; `None` where one is neither.
    pub(crate) fn behind(proxies: &[String], header: ForwardedHeader) -> Option<Self> {
        let proxies = proxies.iter().map(|text| network(text)).collect::<Option<_>>()?;
        Some(Self { proxies, header })
    }

    /// The header that is to be shown to [`Self::caller`].
    pub fn header(&self) -> ForwardedHeader {
        self.header
    }

    /// Who is calling on a connection from `peer`; `lines` are the values of
    /// [`Self::header`] in the order of the request.
    pub fn caller<'a>(
        &self,
        peer: Option<IpAddr>,
        lines: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Caller {
        let Some(peer) = peer.map(plain) else { return Caller::default() };
        if !self.is_trusted(peer) {
            return Caller::at(peer);
        }
        // The nearest hop that is known; a hop that cannot be read ends the chain,
        // for whoever wrote it was not one of ours.
        let mut nearest = peer;
        let hops = lines.rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX);
        for hop in hops {
            let Some(address) = self.read(hop.trim()) else { break };
            nearest = address;
            if !self.is_trusted(address) {
                break;
            }
        }
        Caller::at(nearest)
    }

    /// Whether a connection from there is a proxy of the operator's.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.proxies.iter().any(|proxy| proxy.contains(&address))
    }

    fn read(&self, hop: &str) -> Option<IpAddr> {
        match self.header {
            ForwardedHeader::XForwardedFor => node(hop),
            ForwardedHeader::Forwarded => {
                let mut pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
                let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
                node(value.trim().trim_matches('"'))
            }
        }
    }
}

/// An address, with or without a port, as proxies write it.
fn node(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let bracketed = || text.strip_prefix('[')?.split_once(']')?.0.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.rsplit_once(':')?.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    bare().or_else(bracketed).or_else(with_port).map(plain)
}

/// Whom the operator's pages are shown to beside this host.
#[derive(Clone, Debug, Default)]
pub struct AdminFrom(Vec<IpNet>);

impl AdminFrom {
    /// Addresses or networks; `None` where one is neither.
    pub(crate) fn parse(texts: &[String]) -> Option<Self> {
        texts.iter().map(|text| network(text)).collect::<Option<_>>().map(Self)
    }

    /// Whether a peer is one of them.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.0.iter().any(|network| network.contains(&plain(peer))))
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(network.trunc())
}

/// An IPv4 client of a socket that speaks both is the IPv4 client.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers(proxies: &[&str], header: ForwardedHeader) -> Callers {
        let trusted_proxies: Vec<_> = proxies.iter().map(|&text| text.to_owned()).collect();
        Callers::behind(&trusted_proxies, header).unwrap()
    }

    fn caller(callers: &Callers, peer: &str, lines: &[&str]) -> String {
        callers.caller(Some(peer.parse().unwrap()), lines.iter().copied()).to_string()
    }

    #[test]
    fn a_header_of_a_stranger_says_nothing() {
        let none = Callers::default();
        assert_eq!(caller(&none, "192.0.2.7", &["198.51.100.1"]), "192.0.2.7");
        assert_eq!(caller(&none, "127.0.0.1", &["198.51.100.1"]), "127.0.0.1", "nor of a neighbour");
        let proxied = callers(&["10.0.0.0/8"], ForwardedHeader::XForwardedFor);
        assert_eq!(caller(&proxied, "192.0.2.7", &["198.51.100.1"]), "192.0.2.7");
        assert_eq!(proxied.caller(None, std::iter::empty()), Caller::default());
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        let proxied = callers(&["10.0.0.0/8", "::1"], ForwardedHeader::XForwardedFor);
        for (lines, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            (&["203.0.113.9, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["203.0.113.9", "198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["[2001:db8:1:2:3::4]:80"], "2001:db8:1:2::"),
            // What a client wrote further left is not looked at, whatever it is.
            (&["nonsense, 198.51.100.1"], "198.51.100.1"),
            // A hop that cannot be read: whoever the last known one was.
            (&["203.0.113.9, unknown"], "10.0.0.1"),
            (&["203.0.113.9, unknown, 10.2.2.2"], "10.2.2.2"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(caller(&proxied, "10.0.0.1", lines), expected, "{lines:?}");
        }
        let long = vec!["10.9.9.9"; 1_000].join(",");
        assert_eq!(caller(&proxied, "::1", &["198.51.100.1", &long]), "10.9.9.9");
    }

    #[test]
    fn the_standard_header_is_read_where_it_is_the_one() {
        let proxied = callers(&["10.0.0.1"], ForwardedHeader::Forwarded);
        for (line, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("for=203.0.113.9, For=\"198.51.100.1:80\";proto=https", "198.51.100.1"),
            ("proto=http; for=\"[2001:db8::1]\"", "2001:db8::"),
            ("for=_hidden", "10.0.0.1"),
            ("198.51.100.1", "10.0.0.1"),
        ] {
            assert_eq!(caller(&proxied, "10.0.0.1", &[line]), expected, "{line}");
        }
    }

    #[test]
    fn neighbours_of_one_ipv6_customer_are_one_caller() {
        let at = |text: &str| Caller::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let with = |text: &str| Callers::behind(&[text.to_owned()], ForwardedHeader::default());
        for good in ["10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "::1", "fd00::/8"] {
            assert!(with(good).is_some(), "{good}");
        }
        for bad in ["", "proxy", "10.0.0.0/33", "10.0.0.1:80"] {
            assert!(with(bad).is_none(), "{bad}");
        }
    }
}
