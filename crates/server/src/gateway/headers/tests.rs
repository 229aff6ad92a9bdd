use http::header::AUTHORIZATION;

use super::*;

const KEY: &str = "Bearer the-key-of-the-gateway";

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn key() -> Vec<(HeaderName, HeaderValue)> {
    vec![(AUTHORIZATION, KEY.parse().unwrap())]
}

const STRANGER: Peer<'_> = Peer { address: Some("192.0.2.7"), is_trusted: false };
const PROXY: Peer<'_> = Peer { address: Some("10.0.0.1"), is_trusted: true };

fn theirs(lines: &[(&str, &str)], peer: Peer<'_>) -> HeaderMap {
    outgoing(&map(lines), peer, &Shows::Theirs)
}

fn ours(lines: &[(&str, &str)]) -> HeaderMap {
    let credentials = key();
    let account_headers = ["X-API-Key".to_owned()];
    outgoing(
        &map(lines),
        STRANGER,
        &Shows::Ours { credentials: &credentials, account_headers: &account_headers },
    )
}

#[test]
fn what_belongs_to_a_connection_stays_there() {
    let headers = theirs(
        &[
            ("host", "api.example.com"),
            ("connection", "keep-alive, X-Only-Here, content-type, upgrade"),
            ("keep-alive", "timeout=5"),
            ("x-only-here", "1"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("proxy-authorization", "Basic eA=="),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("expect", "100-continue"),
            ("content-type", "application/json"),
            ("accept", "*/*"),
        ],
        STRANGER,
    );
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(
        names,
        ["content-type", "accept", "x-forwarded-for", "via"],
        "a Connection takes away nothing that says what the body is"
    );
}

/// WSGI, CGI and PHP hand `X_Quittance_Payer` on under the name of `X-Quittance-Payer`.
#[test]
fn nobody_writes_in_the_gateways_place() {
    for name in [
        "payment-signature",
        "x-payment",
        "x_payment",
        "x-quittance-payer",
        "x_quittance_payer",
        "X-Quittance_Payment-Id",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x-original-url",
        "x-http-method-override",
        "content_length",
        "content_type",
        "content_encoding",
        "if_none_match",
    ] {
        for headers in [theirs(&[(name, "forged")], STRANGER), ours(&[(name, "forged")])] {
            assert!(!headers.values().any(|value| value == "forged"), "{name}");
        }
    }
    // Proxies hand these on as they came from anybody.
    for name in ["x-forwarded-prefix", "x-forwarded-user", "forwarded", "x-real-ip", "x_forwarded_host"] {
        let headers = theirs(&[(name, "forged")], PROXY);
        assert!(!headers.values().any(|value| value == "forged"), "{name}");
    }
    let sneaking = theirs(&[("connection", "X_Only-Here"), ("x-only-here", "1")], STRANGER);
    assert!(!sneaking.contains_key("x-only-here"));
}

#[test]
fn who_called_is_said_honestly() {
    let line = |headers: &HeaderMap| headers[&X_FORWARDED_FOR].to_str().unwrap().to_owned();
    let said = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https"), ("host", "a.example")];
    let stranger = theirs(&said, STRANGER);
    assert_eq!(line(&stranger), "192.0.2.7");
    // The client's own word for where it is.
    for name in [X_FORWARDED_PROTO, X_FORWARDED_HOST] {
        assert!(!stranger.contains_key(&name), "{name}");
    }
    let proxied = theirs(&said, PROXY);
    assert_eq!(line(&proxied), "203.0.113.9, 10.0.0.1");
    assert_eq!(proxied[&X_FORWARDED_PROTO], "https");
    assert!(!proxied.contains_key(X_FORWARDED_HOST), "a Host is a client's");
    let mut told = theirs(&[("x-forwarded-host", "a.example"), ("x-forwarded-port", "8443"), said[1]], PROXY);
    assert_eq!(
        (&told[X_FORWARDED_HOST], &told[X_FORWARDED_PORT]),
        (&"a.example".parse().unwrap(), &"8443".parse().unwrap())
    );
    Public::of("https://api.example.com:8443/x").unwrap().say(&mut told);
    assert_eq!(
        (&told[X_FORWARDED_HOST], &told[X_FORWARDED_PROTO]),
        (&"api.example.com:8443".parse().unwrap(), &"https".parse().unwrap())
    );
    assert!(!told.contains_key(X_FORWARDED_PORT));
    let two = theirs(&[said[0], ("x-forwarded-for", "203.0.113.10")], PROXY);
    assert_eq!(line(&two), "203.0.113.9, 203.0.113.10, 10.0.0.1");
    let forged = theirs(&[("x_forwarded_for", "203.0.113.9")], PROXY);
    assert_eq!(line(&forged), "10.0.0.1");
}

#[test]
fn credentials_are_the_customers_or_the_gateways_and_never_both() {
    let shown = [("authorization", "Bearer theirs"), ("x-api-key", "theirs"), ("x_api_key", "theirs")];
    let account = theirs(&shown, STRANGER);
    assert_eq!(account.values().filter(|value| value.as_bytes().ends_with(b"theirs")).count(), 3);
    let paid = ours(&shown);
    assert!(!paid.values().any(|value| value.as_bytes().ends_with(b"theirs")), "{paid:?}");
    assert_eq!(paid.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), [KEY]);
}

/// Upstreams scope keys by account, and read sessions, projects and betas as the account's.
#[test]
fn nothing_of_a_customers_speaks_for_the_operators_account() {
    for name in [
        "idempotency-key",
        "idempotency_key",
        "x-idempotency-key",
        "X_Idempotency-Key",
        "cookie",
        "proxy-authorization",
        "openai-organization",
        "openai-project",
        "anthropic-beta",
        "x-goog-user-project",
        "x-envoy-original-path",
        "prefer",
        "x-model",
        "user_agent",
    ] {
        let headers = ours(&[(name, "theirs")]);
        assert!(!headers.values().any(|value| value == "theirs"), "{name}");
    }
    let account = theirs(&[("idempotency-key", "theirs"), ("cookie", "theirs")], STRANGER);
    assert_eq!(account.values().filter(|value| *value == "theirs").count(), 2);
    for name in ["accept", "accept-language", "content-type", "user-agent", "traceparent", "last-event-id"] {
        assert_eq!(ours(&[(name, "theirs")])[name], "theirs");
    }
    // A credential's name has other spellings, too.
    let credentials = vec![(HeaderName::from_static("x_key"), HeaderValue::from_static("ours"))];
    let shows = Shows::Ours { credentials: &credentials, account_headers: &[] };
    let headers = outgoing(&map(&[("x-key", "theirs"), ("x_key", "theirs")]), STRANGER, &shows);
    assert!(!headers.values().any(|value| value == "theirs"));
}

#[test]
fn what_was_priced_as_json_goes_out_as_json() {
    let typed = |lines: &[(&str, &str)], reads_json| {
        let mut headers = ours(lines);
        make_whole(&mut headers, reads_json, false);
        headers
            .get_all(CONTENT_TYPE)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (said, expected) in [
        ("application/json; charset=utf-16", "application/json"),
        ("application/vnd.api+json; charset=utf-7", "application/vnd.api+json"),
        ("Application/JSON", "application/json"),
    ] {
        assert_eq!(typed(&[("content-type", said)], true), [expected]);
        assert_eq!(typed(&[("content-type", said)], false), [said], "nothing was read of it");
    }
    // Rack reads a form where there is no type.
    assert_eq!(typed(&[], true), ["application/json"]);
    assert!(typed(&[], false).is_empty());
}

fn facts() -> PaidFacts {
    PaidFacts {
        payment_id: quittance_protocol::PaymentId::from_stored("pay_1"),
        request_id: quittance_protocol::RequestId::from_stored("req_1"),
        payer: "0xabc".to_owned(),
        amount: quittance_protocol::Amount::new(12_345),
        service: quittance_protocol::Amount::new(10_000),
        network: "eip155:8453".parse().unwrap(),
        transaction: "0xdef".to_owned(),
        run: 2,
    }
}

#[test]
fn a_run_learns_who_paid_and_reads_what_was_priced() {
    let mut headers = ours(&[
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
        ("accept-encoding", "gzip"),
        ("x-quittance-payer", "forged"),
    ]);
    make_whole(&mut headers, true, true);
    say_facts(&mut headers, &facts());
    assert_eq!(headers.get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["application/json"]);
    for (name, value) in [
        ("x-quittance-payment-id", "pay_1"),
        ("x-quittance-request-id", "req_1"),
        ("x-quittance-payer", "0xabc"),
        ("x-quittance-amount", "12345"),
        ("x-quittance-service", "10000"),
        ("x-quittance-network", "eip155:8453"),
        ("x-quittance-transaction", "0xdef"),
        ("x-quittance-run", "2"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
    for name in ["if-none-match", "range", "accept-encoding"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[test]
fn an_answer_brings_no_secret_and_no_session_of_the_operators() {
    let lines = [
        ("content-type", "text/plain"),
        ("content-length", "7"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("set-cookie", "session=operator"),
        ("x-debug", "you sent Bearer the-key-of-the-gateway"),
        ("alt-svc", "h3=\":443\""),
        ("location", "http://127.0.0.1:8000/base/next?x=1"),
    ];
    let place = ("http://127.0.0.1:8000", "/base");
    let mut paid = map(&lines);
    returning(&mut paid, place, Some(&key()));
    let names: Vec<_> = paid.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "location"]);
    assert_eq!(paid[LOCATION], "/next?x=1");
    let mut account = map(&lines);
    returning(&mut account, place, None);
    assert_eq!(account[SET_COOKIE], "session=operator", "of their own session");
    let mut elsewhere = map(&[("location", "https://cdn.example.com/x")]);
    returning(&mut elsewhere, place, None);
    assert_eq!(elsewhere[LOCATION], "https://cdn.example.com/x");
}
