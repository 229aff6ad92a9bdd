mod families;
mod hidden;
mod ranges;
mod rates;
mod trust;

use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::read::text_overrides;
use super::*;

const MINIMAL: &str = r#"
    [ledger]
    url = "sqlite://books.sqlite"
    [networks.base]
    network = "eip155:8453"
    rpc_urls = ["http://127.0.0.1:1"]
    asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    pay_to = "0x0000000000000000000000000000000000000001"
    wallets = ["env:BASE_WALLET"]
    [rates]
    eth_usd = "2500"
    sol_usd = "150"
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quittance.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

#[test]
fn a_minimal_file_listens_on_loopback() {
    let config = load(MINIMAL).unwrap();
    assert!(config.server.listen.starts_with("127.0.0.1:"));
    assert_eq!(config.networks["base"].max_timeout_seconds, 120);
}

#[test]
fn unknown_keys_are_refused_and_named() {
    let error = load(&MINIMAL.replace("[rates]", "[rates]\nbtc_usd = \"1\"")).unwrap_err().to_string();
    assert!(error.contains("btc_usd"), "{error}");
    let error = load(&format!("{MINIMAL}\n[gait]\n")).unwrap_err().to_string();
    assert!(error.contains("gait"), "{error}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let error = read_secret("0x59c6995e998f97a5a0044966f0945389").unwrap_err().to_string();
    assert!(!error.contains("59c6"), "{error}");
}

/// What is signed names the seller's own host, with a key that signs nothing else.
#[test]
fn a_signing_key_is_a_reference_of_its_own_and_needs_a_public_url() {
    let with = |key: &str, url: &str| {
        load(&format!("{MINIMAL}\n[server]\n{url}\n[receipts]\nsigning_key = \"{key}\"\n"))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let url = "public_url = \"https://api.example.com\"";
    assert_eq!(with("env:RECEIPTS_KEY", url), Ok(()));
    for (key, url, words) in [
        ("env:RECEIPTS_KEY", "", "needs server.public_url"),
        ("env:BASE_WALLET", url, "not a wallet's"),
        ("0x59c6995e998f97a5a0044966f0945389", url, "env:NAME or file:PATH"),
    ] {
        let error = with(key, url).unwrap_err();
        assert!(error.contains(words) && !error.contains("59c6"), "{error}");
    }
}

#[test]
fn decimals_from_the_environment_stay_text() {
    let vars = [
        ("QUITTANCE__RATES__ETH_USD", "2500.00"),
        ("QUITTANCE__QUOTE__GAS_CEILING_USDC", "\"0.50\""),
        ("QUITTANCE__QUOTE__MARKUP", "1.25"),
        ("QUITTANCE__NETWORKS__BASE__ASSET_VERSION", "2"),
        ("QUITTANCE__QUOTE__REFRESH_SECONDS", "5"),
        ("MARKUP", "1"),
    ];
    let found = text_overrides(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let expected = [
        ("rates.eth_usd", "2500.00"),
        ("quote.gas_ceiling_usdc", "0.50"),
        ("quote.markup", "1.25"),
        ("networks.base.asset_version", "2"),
    ];
    assert_eq!(found, expected.map(|(path, value)| (path.to_owned(), value.to_owned())));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quittance.toml");
    std::fs::write(&path, MINIMAL).unwrap();
    let mut figment = Figment::new().merge(Toml::file_exact(path));
    for each in found {
        figment = figment.merge(each);
    }
    let config: Config = figment.extract().unwrap();
    assert_eq!(config.rates.eth_usd.as_deref(), Some("2500.00"));
}

#[test]
fn decimals_may_be_toml_numbers() {
    let numbers = MINIMAL.replace("\"2500\"", "2500.25").replace("\"150\"", "150");
    let config = load(&format!("{numbers}\n[quote]\nmarkup = 1.25\n")).unwrap();
    assert_eq!(config.rates.eth_usd.as_deref(), Some("2500.25"));
    assert_eq!(config.rates.sol_usd.as_deref(), Some("150"));
    assert_eq!(config.quote.markup, "1.25");
}

#[test]
fn contradictions_are_refused() {
    for (from, to) in [
        ("rpc_urls = [\"http://127.0.0.1:1\"]", "rpc_urls = []"),
        ("wallets = [\"env:BASE_WALLET\"]", "wallets = []"),
        ("eip155:8453", "eip155:base"),
        ("[rates]", "[gate]\nruns_max = 0\n[rates]"),
        ("eth_usd = \"2500\"", ""),
        ("eth_usd = \"2500\"", "eth_usd = \"-1\""),
        ("[rates]", "[quote]\ngas_floor_usdc = \"0.6\"\n[rates]"),
        ("[rates]", "[quote]\nspent_network_day_usdc = \"0\"\n[rates]"),
        ("[rates]", "[quote]\nuncollected_payer_day_usdc = \"0.0000001\"\n[rates]"),
    ] {
        assert!(load(&MINIMAL.replace(from, to)).is_err(), "{to}");
    }
}
