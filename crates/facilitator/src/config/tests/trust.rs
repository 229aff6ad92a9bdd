//! Tokens that are no dollars, and what is warned of.

use super::*;
use crate::rates::Coin;

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
    assert_eq!(warned(&MINIMAL.replace("0000001\"", "000000a\"")), ["networks.base.pay_to"], "no checksum");
    let plain = MINIMAL
        .replace("0x0000000000000000000000000000000000000001", "0x627306090abaB3A6e1400e9345bC60c78a8BEf57");
    assert_eq!(warned(&plain), none);
    for local in ["http://localhost:1", "http://[::1]:1", "http://127.9.9.9:1", "https://127.0.0.1:1"] {
        assert_eq!(warned(&plain.replace("http://127.0.0.1:1", local)), none, "{local}");
    }
    let away = plain.replace("http://127.0.0.1:1", "https://rpc.example");
    assert_eq!(warned(&away), ["rates.eth_usd"], "a fixed rate on a mainnet");
    assert_eq!(warned(&away.replace("https", "HTTP")), ["networks.base.rpc_urls[0]", "rates.eth_usd"]);
    for open in ["0.0.0.0:4402", "[::]:4402"] {
        assert_eq!(warned(&format!("{plain}\n[server]\nlisten = \"{open}\"")), ["server.listen"]);
    }
    let source = "[[rates.sources]]\nkind = \"http\"\npair = \"eth_usd\"\nurl = \"http://x.example/p\"\npointer = \"/p\"\n";
    let live = format!("{}\n{source}", plain.replace("eth_usd = \"2500\"", ""));
    assert_eq!(warned(&live), ["rates.sources[0].url"]);
}

#[test]
fn a_fixed_rate_ages_where_coins_are_worth_something() {
    let ages = |text: &str, coin| load(text).unwrap().is_fixed_on_a_mainnet(coin);
    let away = MINIMAL.replace("http://127.0.0.1:1", "https://rpc.example");
    assert!(!ages(MINIMAL, Coin::Eth), "a chain on this machine");
    assert!(ages(&away, Coin::Eth));
    assert!(!ages(&away, Coin::Sol), "no network of that coin");
    let some_local = MINIMAL.replace("rpc_urls = [", "rpc_urls = [\"https://rpc.example\", ");
    assert!(ages(&some_local, Coin::Eth));
    let sepolia = away
        .replace("eip155:8453", "eip155:84532")
        .replace("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    assert!(!ages(&sepolia, Coin::Eth));
    let fixed = "[[rates.sources]]\nkind = \"static\"\npair = \"eth_usd\"\nvalue = \"2500\"\n";
    assert!(ages(&format!("{}\n{fixed}", away.replace("eth_usd = \"2500\"", "")), Coin::Eth));
}
