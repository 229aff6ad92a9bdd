//! Paths, and the URL that an offer repeats.

use std::sync::Arc;

use http::Request;
use quittance_protocol::Amount;
use quittance_quote::{EndpointInfo, Price, PriceRequest, Pricer, Refusal, Route};

use super::{Ask, Runs, call, counting};
use crate::Entry;
use crate::head::{Arrival, canonical_path, decoded_path, resource_url};
use crate::testing::{Double, gate, gate_of};

/// A client that took the wrong verb is told the right one, and nothing is sold to it.
#[tokio::test]
async fn what_is_listed_by_another_method_is_405_and_names_it() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = counting(gate(&double), &runs);
    for (method, path, allowed) in [
        ("GET", "/gen", "POST"),
        ("PUT", "/gen", "POST"),
        ("OPTIONS", "/gen", "POST"),
        ("HEAD", "/gen", "POST"),
        ("DELETE", "/items/7", "POST"),
        ("POST", "/free", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("DELETE", "/v1/x402", "GET, HEAD"),
    ] {
        let answer = call(&app, Ask::new(method, path)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        assert_eq!(answer.json()["error"], "method_not_allowed", "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
    }
    assert_eq!(runs.get(), 0);
    assert!(double.log().is_empty());
}

#[tokio::test]
async fn routes_not_listed_are_404_whatever_is_mounted_behind() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = counting(gate(&double), &runs);
    for (method, path) in [
        ("POST", "/other"),
        ("POST", "/"),
        ("POST", "//gen"),
        ("POST", "/gen/"),
        ("POST", "/./gen"),
        ("POST", "/x/../gen"),
        ("POST", "/free/../gen"),
        ("GET", "/free/%2e%2e/gen"),
        ("POST", "/items/a%2Fb"),
        ("POST", "/items/a%5Cb"),
        ("POST", "/items/%00"),
        ("POST", "/items/%zz"),
        ("POST", "/items/%ff"),
        ("POST", "/items/%"),
        ("POST", "/GEN"),
        // The router matches these bytes, and would find no such route.
        ("POST", "/%67en"),
    ] {
        let answer = call(&app, Ask::new(method, path)).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.json()["error"], "unknown_endpoint", "{method} {path}");
    }
    assert_eq!(call(&app, Ask::post("/items/a%20b")).await.status, 402, "an escape that has to be one");
    assert_eq!(runs.get(), 0);
    assert!(double.log().is_empty());
}

/// Sells one path with characters that may be escaped and need not be, one that is escaped
/// always, and whatever else is a model's; like a catalogue it knows no `%`.
struct Spelled;

impl Pricer for Spelled {
    fn route(&self, _: &str, path: &str) -> Route {
        match path {
            _ if path.contains('%') => Route::Unknown,
            "/v1/a:make" => Route::Paid(0),
            "/v1/a b" => Route::Paid(1),
            "/models/a@1" => Route::Paid(2),
            _ if path.starts_with("/models/") => Route::Paid(3),
            _ => Route::Unknown,
        }
    }

    fn price(&self, _: &PriceRequest<'_>) -> Result<Price, Refusal> {
        Ok(Price { service: Amount::new(10_000), lines: Vec::new(), reserve: None, reads_json: false })
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        Vec::new()
    }
}

/// The router behind has no `/v1/a%3Amake`: who pays for it would get a 404 for his money.
#[tokio::test]
async fn what_only_decoding_makes_a_sold_path_is_refused_before_any_price() {
    let gate = gate_of(&Arc::new(Double::default()), Arc::new(Spelled)).build();
    for (raw, decoded, is_sold) in [
        ("/v1/a:make", "/v1/a:make", true),
        ("/v1/a%3Amake", "/v1/a:make", false),
        ("/v1/a%3amake", "/v1/a:make", false),
        ("/v1/a%20b", "/v1/a b", false),
        ("/models/a@1", "/models/a@1", true),
        ("/models/a%401", "/models/a@1", false),
        ("/models/b%401", "/models/b@1", true),
        ("/models/a%20b%3A%C3%BC", "/models/a b:ü", true),
    ] {
        for (path, is_sold) in [(None, is_sold), (Some(decoded), true)] {
            for paying in [false, true] {
                let mut request = Request::post(raw);
                if paying {
                    request = request.header("payment-signature", "x");
                }
                let head = request.body(()).unwrap().into_parts().0;
                let arrival = Arrival { path, ..Arrival::default() };
                match gate.enter(head, &arrival).await {
                    Entry::Unpriced(_) => assert!(is_sold, "{raw}"),
                    Entry::Answered(answer) => {
                        assert!(!is_sold && answer.status() == 404, "{raw}: {}", answer.status());
                    }
                    Entry::Pass { .. } => panic!("{raw} is not free"),
                }
            }
        }
    }
}

/// A host that hands the request's own bytes to another server matches nothing that is
/// decoded first: that one would decode it anew.
#[tokio::test]
async fn with_exact_paths_no_escape_is_matched() {
    let (double, runs) = (Arc::new(Double::default()), Runs::default());
    let app = counting(gate(&double).exact_paths(), &runs);
    for (method, path) in [("POST", "/items/a%20b"), ("POST", "/%67en"), ("GET", "/fre%65")] {
        let decoded = path.replace("%20", " ").replace("%67", "g").replace("%65", "e");
        // As a router decodes it, and as it stands.
        for path_seen in [Some(decoded.as_str()), None] {
            let arrival = Arrival { path: path_seen, ..Arrival::default() };
            let head = Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0;
            let Entry::Answered(answer) = app.gate.enter(head, &arrival).await else { panic!("{path}") };
            assert_eq!(answer.status(), 404, "{method} {path}");
        }
    }
    assert_eq!(call(&app, Ask::post("/gen").body("{}")).await.status, 402);
}

#[test]
fn a_path_has_one_spelling() {
    for good in ["/", "/a", "/a/b.c", "/a/..b", "/a/b+c", "/ü"] {
        assert_eq!(canonical_path(good), Some(good));
    }
    for bad in ["", "a", "//", "/a/", "/a//b", "/.", "/../a", "/a/.", "/a%2Fb", "/a\\b", "/a\0", "/\u{fffd}"]
    {
        assert_eq!(canonical_path(bad), None, "{bad:?}");
    }
}

#[test]
fn an_escape_stands_for_what_needs_one() {
    for (path, decoded) in [
        ("/a", Some("/a")),
        ("/a%20b", Some("/a b")),
        ("/%C3%BC", Some("/ü")),
        ("/a%2fb", None),
        ("/%61", None),
        ("/%2E%2E", None),
        ("/%2", None),
        ("/%+1", None),
        ("/%FF", None),
    ] {
        assert_eq!(decoded_path(path).as_deref(), decoded, "{path}");
    }
}

#[test]
fn the_url_is_what_the_connection_and_trusted_proxies_before_it_say() {
    let url =
        |uri: &str, headers: &[(&str, &str)], arrival: Arrival<'_>, public_url: Option<&str>, trusted| {
            let mut request = Request::builder().uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            resource_url(&request.body(()).unwrap().into_parts().0, &arrival, public_url, trusted)
        };
    let plain = Arrival { host: "here:80", ..Arrival::default() };
    let secure = Arrival { secure: true, ..plain };
    for (uri, headers, expected) in [
        ("/a?b=c", &[][..], "http://here:80/a?b=c"),
        ("/a", &[("host", "a.test")], "http://a.test/a"),
        ("https://d.test/a", &[], "https://d.test/a"),
        ("/a", &[("host", "a.test"), ("x-forwarded-proto", "https")], "https://a.test/a"),
        ("/a", &[("host", "a.test"), ("x-forwarded-host", "c.test, d.test")], "http://c.test/a"),
        ("/a", &[("forwarded", "for=1.1.1.1;Proto=\"https\", host=e.test")], "https://e.test/a"),
        ("/a", &[("host", "10.0.0.7:80"), ("x-forwarded-host", "192.168.0.2")], "http://192.168.0.2/a"),
    ] {
        assert_eq!(url(uri, headers, plain, None, true), expected);
    }
    assert_eq!(url("/a", &[("host", "a.test")], secure, None, false), "https://a.test/a");
    let evil = [("host", "evil.test"), ("x-forwarded-host", "evil.test")];
    assert_eq!(url("/a", &evil, plain, Some("https://api.test"), true), "https://api.test/a");
    assert_eq!(
        url("/a", &[("host", "a.test"), ("x-forwarded-host", "b.test")], plain, None, false),
        "http://a.test/a"
    );
}

/// A proxy's default is to call this server by the address where it finds it.
#[test]
fn an_offer_never_names_the_address_behind_a_proxy() {
    let arrival = Arrival { host: "here:80", ..Arrival::default() };
    let url = |headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri("/a?b=c");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        resource_url(&request.body(()).unwrap().into_parts().0, &arrival, None, false)
    };
    for inside in [
        "127.0.0.1:4402",
        "10.0.0.7",
        "192.168.1.2:80",
        "172.16.0.1",
        "[::1]:80",
        "[fd00::1]",
        "gateway:4402",
        "localhost",
    ] {
        let host = ("host", inside);
        assert_eq!(url(&[host]), format!("http://{inside}/a?b=c"), "who is here itself may say so");
        assert_eq!(url(&[host, ("x-forwarded-for", "203.0.113.9")]), "/a?b=c", "{inside}");
        assert_eq!(
            url(&[host, ("via", "1.1 proxy"), ("x-forwarded-host", "10.0.0.8")]),
            "/a?b=c",
            "{inside}"
        );
        let said = [host, ("x-forwarded-host", "api.test"), ("x-forwarded-proto", "https")];
        assert_eq!(url(&said), "https://api.test/a?b=c", "{inside}");
    }
    assert_eq!(url(&[("host", "api.test"), ("x-forwarded-for", "203.0.113.9")]), "http://api.test/a?b=c");
}
