//! `[rates]`: what is refused, and what the message says to do.

use figment::providers::Format as _;

use crate::config::ConfigError;
use crate::config::RatesConfig;
use crate::config::ranges::Range;
use crate::prices::Coin;

const CHAINLINK: &str = "[[sources]]\nkind = \"chainlink\"\npair = \"eth_usd\"\nurl = \"http://127.0.0.1:1\"\naddress = \"0x71041dddad3595F9CEd3DcCFBe3D1F4b0a16Bb70\"\n";
const PYTH: &str = "[[sources]]\nkind = \"pyth\"\npair = \"sol_usd\"\nurl = \"http://127.0.0.1:1\"\naccount = \"7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE\"\n";
const HTTP: &str = "[[sources]]\nkind = \"http\"\npair = \"eth_usd\"\nurl = \"env:FEED_URL\"\npointer = \"/data/amount\"\ntime_pointer = \"/time\"\n";
const STATIC: &str = "[[sources]]\nkind = \"static\"\npair = \"eth_usd\"\nvalue = \"2500\"\n";

fn check(text: &str) -> Result<(), String> {
    let provider = figment::providers::Toml::string(text);
    let config: RatesConfig = figment::Figment::new().merge(provider).extract().map_err(|e| e.to_string())?;
    let ranges = crate::config::ranges::of_rates(&config);
    ranges.iter().try_for_each(Range::check).map_err(|error| error.to_string())?;
    config.check(&[Coin::ETH]).map_err(|error: ConfigError| error.to_string())
}

#[test]
fn what_makes_sense_is_taken() {
    for good in [
        "eth_usd = \"2500.00\"",
        "eth_usd = \"2500.00\"\nsol_usd = \"150\"",
        "eth_usd = 2500.5\nsol_usd = 150",
        CHAINLINK,
        HTTP,
        STATIC,
        &format!("{CHAINLINK}{HTTP}{PYTH}"),
        // Fixed for one coin, live for the other.
        &format!("eth_usd = \"2500\"\n{PYTH}"),
        &format!(
            "sources_min = 2\ndeviation_max = \"0.01\"\nrefresh_seconds = 5\nage_max_seconds = 30\n{CHAINLINK}age_max_seconds = 4000\n{HTTP}name = \"exchange\"\n"
        ),
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    for (bad, says) in [
        ("", "add [[rates.sources]] with pair = \"eth_usd\", or set rates.eth_usd"),
        ("sol_usd = \"150\"", "rates.eth_usd"),
        ("eth_usd = \"0\"", "rates.eth_usd must be between"),
        ("eth_usd = \"1e3\"", "rates.eth_usd must be between"),
        ("eth_usd = -2500.0", "rates.eth_usd must be between"),
        ("btc_usd = \"1\"", "btc_usd"),
        (&format!("eth_usd = \"2500\"\n{CHAINLINK}"), "remove one of them"),
        (&format!("{CHAINLINK}{STATIC}"), "never goes stale"),
        (&format!("sources_min = 2\n{CHAINLINK}"), "only 1"),
        (&format!("sources_min = 0\n{CHAINLINK}"), "sources_min"),
        (&format!("refresh_seconds = 0\n{CHAINLINK}"), "refresh_seconds"),
        (&format!("timeout_ms = 0\n{CHAINLINK}"), "timeout_ms"),
        (&format!("refresh_seconds = 60\n{CHAINLINK}"), "stale before the next reading"),
        (&format!("deviation_max = \"0.6\"\n{CHAINLINK}"), "deviation_max"),
        (&format!("deviation_max = \"2%\"\n{CHAINLINK}"), "deviation_max"),
        (&format!("{CHAINLINK}pointer = \"/x\"\n"), "takes no pointer"),
        (&format!("{CHAINLINK}heartbeat = 1\n"), "heartbeat"),
        (&CHAINLINK.replace("0x71", "71"), "40 hex digits"),
        (&CHAINLINK.replace("address", "account"), "needs address"),
        (&CHAINLINK.replace("chainlink", "oracle"), "oracle"),
        (&CHAINLINK.replace("eth_usd", "btc_usd"), "pair = \"eth_usd\""),
        (&CHAINLINK.replace("eth_usd", "eth_eur"), "no pair"),
        (&format!("eth_usd = \"1\"\n{}", PYTH.replace("7UV", "0UV")), "base58"),
        (&HTTP.replace("/data", "data"), "starts with a slash"),
        (&HTTP.replace("/time", "time"), "starts with a slash"),
        (&HTTP.replace("url = \"env:FEED_URL\"\n", ""), "needs url"),
        (&STATIC.replace("2500", "-1"), "decimal above zero"),
        (&format!("{HTTP}name = \"A name\"\n"), "name"),
        (&format!("{HTTP}name = \"one\"\n{CHAINLINK}name = \"one\"\n"), "two sources"),
        (&HTTP.repeat(17), "more than 16"),
    ] {
        let error = check(bad).unwrap_err();
        assert!(error.contains(says), "{bad}\n→ {error}");
    }
}
