//! Tokens that are no dollars, and what is warned of.

use super::*;
use crate::prices::Coin;

#[test]
fn an_asset_that_is_not_known_as_a_dollar_needs_the_operators_word() {
    let usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
    let eurc = "0x60a3E35Cc302bFA44Cb288Bc5a4F316Fdb1adb42";
    let euro = MINIMAL.replace(usdc, eurc);
    let error = load(&euro).unwrap_err().to_string();
    assert!(error.contains("networks.base") && error.contains("dollar = true"), "{error}");
    assert!(load(&euro.replace("asset =", "dollar = true\nasset =")).is_ok());
    assert!(load(&MINIMAL.replace(usdc, &usdc.to_lowercase().replace("0X", "0x"))).is_ok(), "in any case");
    // Known on Base is not known elsewhere.
    assert!(load(&MINIMAL.replace("eip155:8453", "eip155:84532")).is_err());
    let mint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
    let solana =
        MINIMAL.replace("eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").replace(usdc, mint);
    assert!(load(&solana).is_ok());
    assert!(load(&solana.replace("wyTDt1v", "wyTDt1V")).is_err(), "base58 is exact");
}

/// The keys that are warned of.
fn warned(text: &str) -> Vec<String> {
    load(text).unwrap().warnings().into_iter().map(|warning| warning.key).collect()
}

#[test]
fn what_is_warned_of_and_what_is_not() {
    let none: [&str; 0] = [];
    let source = |scheme: &str| {
        format!(
            "[[rates.sources]]\nkind = \"http\"\npair = \"eth_usd\"\nurl = \"{scheme}://x.example/p\"\npointer = \"/p\"\n"
        )
    };
    let live = format!("{}\n{}", MINIMAL.replace("eth_usd = \"2500\"", ""), source("https"));
    assert_eq!(warned(&live.replace("0000001\"", "000000a\"")), ["networks.base.pay_to"], "no checksum");
    let plain = live
        .replace("0x0000000000000000000000000000000000000001", "0x627306090abaB3A6e1400e9345bC60c78a8BEf57");
    assert_eq!(warned(&plain), none);
    for local in ["http://localhost:1", "http://[::1]:1", "http://127.9.9.9:1", "https://127.0.0.1:1"] {
        assert_eq!(warned(&plain.replace("http://127.0.0.1:1", local)), none, "{local}");
    }
    let away = plain.replace("http://127.0.0.1:1", "https://rpc.example");
    assert_eq!(warned(&away.replace("https://rpc", "HTTP://rpc")), ["networks.base.rpc_urls[0]"]);
    assert_eq!(warned(&plain.replace("https://x", "http://x")), ["rates.sources[0].url"]);
    let fixed = plain.replace(&source("https"), "eth_usd = \"2500\"\n");
    assert_eq!(warned(&fixed), ["rates.eth_usd"], "an operator's own node of a mainnet is on loopback");
}

#[test]
fn every_spelling_of_every_address_is_warned_of() {
    let everywhere = |text: &str| Warning::of_bound(&text.parse().unwrap()).is_some();
    for open in ["0.0.0.0:4402", "[::]:4402", "[::ffff:0.0.0.0]:4402"] {
        assert!(everywhere(open), "{open}");
    }
    for one in ["127.0.0.1:4402", "[::1]:4402", "192.0.2.1:4402", "[::ffff:127.0.0.1]:1"] {
        assert!(!everywhere(one), "{one}");
    }
}

#[test]
fn a_fixed_rate_ages_where_coins_are_worth_something() {
    let ages = |text: &str, coin| load(text).unwrap().is_fixed_on_a_mainnet(coin);
    assert!(ages(MINIMAL, Coin::ETH), "whoever's node it is");
    assert!(!ages(MINIMAL, Coin::SOL), "no network of that coin");
    let sepolia = MINIMAL
        .replace("eip155:8453", "eip155:84532")
        .replace("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    assert!(!ages(&sepolia, Coin::ETH));
    let fixed = "[[rates.sources]]\nkind = \"static\"\npair = \"eth_usd\"\nvalue = \"2500\"\n";
    assert!(ages(&format!("{}\n{fixed}", MINIMAL.replace("eth_usd = \"2500\"", "")), Coin::ETH));
}

#[test]
fn books_that_die_with_the_process_are_refused() {
    for url in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite://books.sqlite?mode=memory",
        "sqlite:file:x?mode=memory&cache=shared",
    ] {
        let error = load(&MINIMAL.replace("sqlite://books.sqlite", url)).unwrap_err().to_string();
        assert!(error.contains("ledger.url"), "{error}");
    }
}

/// Two endpoints must agree; one that is written twice agrees with itself.
#[test]
fn one_endpoint_is_not_two() {
    let with = |urls: &str| load(&MINIMAL.replace("\"http://127.0.0.1:1\"", urls));
    for twice in [
        r#""https://rpc.example/v1", "https://rpc.example/v1""#,
        r#""https://rpc.example", "https://RPC.example/""#,
        r#""https://rpc.example/", "https://rpc.example:443""#,
    ] {
        let error = with(twice).unwrap_err().to_string();
        assert!(error.contains("rpc_urls[1]") && !error.contains("rpc.example"), "{error}");
    }
    assert!(with(r#""https://rpc.example/a", "https://rpc.example/b""#).is_ok());
}

#[test]
fn a_fixed_rate_with_a_slipped_point_is_refused() {
    for value in ["0.000001", "99999999999", "-2500", "0"] {
        let error = load(&MINIMAL.replace("\"2500\"", &format!("\"{value}\""))).unwrap_err().to_string();
        assert!(error.contains("rates.eth_usd"), "{error}");
    }
}
