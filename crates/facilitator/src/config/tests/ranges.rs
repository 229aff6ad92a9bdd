//! Every number: its lowest, its highest, one below, one above.

use super::*;

/// All sections, with every list that has numbers.
const WHOLE: &str = r#"
    [server]
    [ledger]
    url = "sqlite://books.sqlite"
    [networks.base]
    network = "eip155:8453"
    rpc_urls = ["http://127.0.0.1:1"]
    asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    pay_to = "0x0000000000000000000000000000000000000001"
    wallets = ["env:BASE_WALLET"]
    [networks.solana]
    network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
    rpc_urls = ["http://127.0.0.1:1"]
    asset = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    pay_to = "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE"
    wallets = ["env:SOLANA_WALLET"]
    [rates]
    [[rates.sources]]
    kind = "http"
    pair = "eth_usd"
    url = "http://127.0.0.1:1"
    pointer = "/price"
    age_max_seconds = 30
    [[rates.sources]]
    kind = "http"
    pair = "sol_usd"
    url = "http://127.0.0.1:1"
    pointer = "/price"
    [quote]
    [gate]
    [gateway.upstreams.api]
    url = "http://127.0.0.1:1"
    [merchants]
    [callers]
    [answers]
"#;

/// `WHOLE` with one key set to what is written in `value`.
fn with(key: &str, value: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap();
    let (header, line) = match section {
        "rates.sources[0]" => ("[[rates.sources]]".to_owned(), format!("{name} = {value}")),
        section => (format!("[{section}]"), format!("{name} = {value}")),
    };
    let text = WHOLE.replace(
        "    age_max_seconds = 30\n",
        if name == "age_max_seconds" && section != "rates" { "" } else { "    age_max_seconds = 30\n" },
    );
    assert!(text.contains(&header), "no section for {key}");
    text.replacen(&header, &format!("{header}\n{line}"), 1)
}

fn refused(key: &str, value: &str) -> Option<String> {
    let error = load(&with(key, value)).err()?.to_string();
    error.contains(key).then_some(error)
}

#[test]
fn every_number_has_a_range_and_a_message_that_says_it() {
    let whole = load(WHOLE).unwrap();
    let ranges = whole.ranges();
    assert!(ranges.len() > 35, "{}", ranges.len());
    for range in &ranges {
        let (low, high) = (range.text(range.low), range.text(range.high));
        for good in [&low, &high] {
            // Another rule may forbid it beside the rest; its range does not.
            let error = load(&with(&range.key, good)).err().map(|error| error.to_string());
            let out = error.filter(|error| error.contains("must be between"));
            assert_eq!(out, None, "{} = {good}", range.key);
        }
        let above = range.text(range.high.checked_add(1).unwrap());
        let below = range.low.checked_sub(1).map_or_else(
            || if low.starts_with('"') { "\"-1\"".to_owned() } else { "-1".to_owned() },
            |below| range.text(below),
        );
        for bad in [above, below, "1000000000000000000".to_owned(), "18446744073709551616".to_owned()] {
            if bad.len() >= 20 {
                assert!(load(&with(&range.key, &bad)).is_err(), "more than 64 bits: {}", range.key);
                continue;
            }
            let error = refused(&range.key, &bad).unwrap_or_else(|| panic!("{} = {bad} is taken", range.key));
            if !bad.contains('-') && bad.len() < 19 {
                assert!(error.contains(&format!("must be between {low} and {high}")), "{error}");
            }
        }
    }
}

#[test]
fn the_shipped_configuration_has_every_key_with_a_range() {
    let shipped = include_str!("../../../../../deploy/quittance.toml");
    for range in load(WHOLE).unwrap().ranges() {
        let key = range.key.rsplit('.').next().unwrap();
        assert!(shipped.contains(&format!("{key} = ")), "deploy/quittance.toml lacks {key}");
    }
}

#[test]
fn impossible_values_are_refused() {
    for (key, value) in [
        ("quote.base_fee_headroom", "\"0.99\""),
        ("quote.markup", "\"0.9999\""),
        ("ledger.lease_seconds", "2"),
        ("gate.runs_max", "0"),
        ("gate.runs_interrupted_max", "0"),
        ("gate.runs_interrupted_max", "1001"),
        ("networks.base.poll_interval_ms", "0"),
        ("networks.base.rpc_timeout_ms", "0"),
        ("networks.base.head_age_seconds_max", "1"),
        ("networks.base.head_look_seconds", "0"),
        ("networks.base.max_timeout_seconds", "1000000000000000000"),
        ("networks.base.confirmations", "1000000"),
        ("networks.base.asset_decimals", "18"),
        ("server.workers", "0"),
        ("gateway.upstreams.api.credit_statuses", "[299]"),
        ("gateway.upstreams.api.credit_statuses", "[600]"),
        ("gateway.upstreams.api.credentials", r#"[{ header = "X-Key", secret = "sk-live-abcdef" }]"#),
        ("gateway.upstreams.api.credentials", r#"[{ header = "X-Key", secret = "env:sk_live_abcdef" }]"#),
    ] {
        assert!(refused(key, value).is_some(), "{key} = {value}");
        assert!(!refused(key, value).unwrap_or_default().contains("live"), "{key} is repeated");
    }
    assert!(load(&with("gateway.upstreams.api.credit_statuses", "[300, 599]")).is_ok());
    let secret = r#"[{ header = "X-Key", secret = "env:UPSTREAM_KEY" }]"#;
    assert!(load(&with("gateway.upstreams.api.credentials", secret)).is_ok());
}
