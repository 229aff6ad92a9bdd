//! What only one family of networks has, and gas coins.

use super::*;
use crate::prices::Coin;

const SOLANA: &str = r#"
    [networks.solana]
    network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
    rpc_urls = ["http://127.0.0.1:1"]
    asset = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    pay_to = "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE"
    wallets = ["env:SOLANA_WALLET"]
"#;

/// An EVM network whose transactions are not paid with ether.
const POLYGON: &str = r#"
    [networks.polygon]
    network = "eip155:137"
    rpc_urls = ["http://127.0.0.1:1"]
    asset = "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"
    dollar = true
    pay_to = "0x0000000000000000000000000000000000000001"
    wallets = ["env:POLYGON_WALLET"]
    gas_coin = "POL"
    in_flight_native = "5"
    in_flight_payer_native = "1"
    uncollected_day_native = "2"
"#;

const POL_RATE: &str = "\n[rates.fixed]\npol_usd = \"0.25\"\n";

const EVM_KEYS: [(&str, &str); 20] = [
    ("asset_name", "\"USD Coin\""),
    ("asset_version", "\"2\""),
    ("gas_coin", "\"SOL\""),
    ("gas_coin_decimals", "9"),
    ("gas_coin_rate", "\"sol_usd\""),
    ("confirmations", "1"),
    ("settle_gas_limit", "150000"),
    ("settle_gas_expected", "88000"),
    ("multicall", "\"0xcA11bde05977b3631167028862bE2a173976CA11\""),
    ("transaction_gas_max", "16777216"),
    ("check_gas_max", "16000000"),
    ("max_fee_per_gas_wei", "1"),
    ("priority_fee_wei", "1"),
    ("authorization_seconds_max", "900"),
    ("batch_size_max", "8"),
    ("batch_margin_seconds", "20"),
    ("batch_wait_ms", "50"),
    ("contract_payers", "false"),
    ("contract_payers_in_flight_max", "4"),
    ("unwedge_budget_native_per_day", "\"0.001\""),
];

const SOLANA_KEYS: [(&str, &str); 5] = [
    ("token_account", "\"at_start\""),
    ("priority_fee_lamports_max", "1000"),
    ("transaction_v1", "true"),
    ("account_lamports_per_day", "50000000"),
    ("account_lamports_per_payer_day", "5000000"),
];

fn refusal(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn keys_of_another_family_are_refused_and_named() {
    let both = format!("{MINIMAL}{SOLANA}");
    load(&both).unwrap();
    for (keys, section, family) in
        [(&EVM_KEYS[..], "[networks.solana]", "EVM"), (&SOLANA_KEYS[..], "[networks.base]", "Solana")]
    {
        for (key, value) in keys {
            let error = refusal(&both.replace(section, &format!("{section}\n{key} = {value}")));
            let says = format!("{key} belongs to {family} networks");
            assert!(error.contains(&says), "{key}: {error}");
        }
    }
    for (key, value) in EVM_KEYS.iter().filter(|(key, _)| !key.starts_with("gas_coin")) {
        let with = format!("[networks.base]\n{key} = {value}");
        load(&both.replace("[networks.base]", &with)).unwrap_or_else(|error| panic!("{key}: {error}"));
    }
}

#[test]
fn another_gas_coin_is_configuration() {
    let config = load(&format!("{MINIMAL}{POLYGON}{POL_RATE}")).unwrap();
    let polygon = &config.networks["polygon"];
    let coin = polygon.gas_coin();
    assert_eq!((coin.name.as_str(), coin.decimals, coin.pair.as_str()), ("POL", 18, "pol_usd"));
    assert_eq!(config.rates.fixed_of(polygon.coin()), Some("0.25"));
    let limits = polygon.exposure_limits(&config.quote).unwrap();
    assert_eq!(limits.network_in_flight.native, 5_000_000_000_000_000_000);
    assert_eq!(config.networks["base"].gas_coin().name, "ETH");
    assert_eq!(config.ageing_coins(), [Coin::ETH, Coin::of_ticker("pol").unwrap()], "both are mainnets");
    let told: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|told| told.contains("rates.fixed.pol_usd")), "{told:?}");
}

#[test]
fn a_gas_coin_needs_a_rate_and_ceilings_of_its_own() {
    let whole = format!("{MINIMAL}{POLYGON}{POL_RATE}");
    assert!(refusal(&whole.replace(POL_RATE, "")).contains("rates.fixed.pol_usd"));
    for key in ["in_flight_native", "in_flight_payer_native", "uncollected_day_native"] {
        let lines = whole.lines().filter(|line| !line.trim_start().starts_with(key));
        let error = refusal(&lines.collect::<Vec<_>>().join("\n"));
        assert!(error.contains(&format!("{key} is missing")), "{error}");
    }
    // With another name for the rate, or the rate of ether.
    let named = whole.replace("gas_coin = \"POL\"", "gas_coin = \"WPOL\"\ngas_coin_rate = \"pol_usd\"");
    assert_eq!(load(&named).unwrap().networks["polygon"].gas_coin().pair, "pol_usd");
    let other = whole.replace("gas_coin = \"POL\"", "gas_coin = \"WPOL\"");
    assert!(refusal(&other).contains("wpol_usd"));
    for (bad, says) in [
        ("gas_coin = \"P O L\"", "gas_coin must be a ticker"),
        ("gas_coin = \"POL\"\ngas_coin_rate = \"POL_usd\"", "gas_coin_rate must be a pair"),
        ("gas_coin = \"POL\"\ngas_coin_decimals = 8", "gas_coin_decimals must be between 9 and 18"),
    ] {
        let error = refusal(&whole.replace("gas_coin = \"POL\"", bad));
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn rates_of_further_coins_are_written_and_read_as_those_of_ether_are() {
    let with = |rates: &str| load(&format!("{MINIMAL}{POLYGON}{rates}"));
    let live = "\n[[rates.sources]]\nkind = \"http\"\npair = \"pol_usd\"\nurl = \"http://127.0.0.1:1\"\npointer = \"/p\"\n";
    with(live).unwrap();
    let pyth = "\n[[rates.sources]]\nkind = \"pyth\"\npair = \"pol_usd\"\nurl = \"http://127.0.0.1:1\"\naccount = \"7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE\"\n";
    assert!(with(pyth).unwrap_err().to_string().contains("needs feed"));
    with(&format!("{pyth}feed = \"{}\"\n", "ab".repeat(32))).unwrap();
    assert!(with(&format!("{pyth}feed = \"ab\"\n")).unwrap_err().to_string().contains("64 hex digits"));
    for (bad, says) in [
        (&format!("{POL_RATE}{live}"), "rates.fixed.pol_usd is fixed and"),
        (&POL_RATE.replace("\"0.25\"", "\"0\""), "rates.fixed.pol_usd must be between"),
        (&format!("{POL_RATE}eth_usd = \"1\"\n"), "rates.fixed.eth_usd is written rates.eth_usd"),
        (&format!("{POL_RATE}POL_USD = \"1\"\n"), "each key is a pair in lower case"),
        (&live.replace("pol_usd", "pol"), "ticker and the dollar"),
    ] {
        let error = with(bad).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}
