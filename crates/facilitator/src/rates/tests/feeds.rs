//! Chainlink, Pyth and HTTP sources against a faulty server.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::server::{FaultyServer, Reply};
use crate::config::RatesConfig;
use crate::context::clock::Clock;
use crate::metrics::Metrics;
use crate::prices::Coin;
use crate::prices::error::SourceError;
use crate::prices::feed::Feed;
use crate::rates::chainlink::Chainlink;
use crate::rates::fetch::{BODY_BYTES_MAX, Fetcher};
use crate::rates::http::HttpJson;
use crate::rates::pyth::{Pyth, decode};
use crate::rates::{LiveRates, RateSource as _};

const NOW: i64 = 1_800_000_000;
const TIMEOUT_MS: u64 = 300;

fn fetcher() -> Fetcher {
    Fetcher::new(Duration::from_millis(TIMEOUT_MS)).unwrap()
}

fn word(value: i128) -> String {
    let fill = if value < 0 { "ff" } else { "00" };
    fill.repeat(16) + &format!("{value:032x}")
}

fn rpc(result: &Value) -> Reply {
    Reply::Body(json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string())
}

/// An aggregator proxy: description, decimals, answer, updated at.
fn aggregator(
    description: &'static str,
    decimals: i128,
    answer: i128,
    updated: i128,
) -> impl Fn(&str) -> Reply {
    move |request| {
        let data = if request.contains("0x7284e416") {
            let text = hex::encode(description);
            word(32) + &word(description.len() as i128) + &format!("{text:0<64}")
        } else if request.contains("0x313ce567") {
            word(decimals)
        } else {
            assert!(request.contains("0xfeaf968c"), "{request}");
            [7, answer, updated, updated, 7].map(word).concat()
        };
        rpc(&json!(format!("0x{data}")))
    }
}

async fn chainlink(
    answer: impl Fn(&str) -> Reply + Send + 'static,
) -> Result<(String, Option<i64>), SourceError> {
    let server = FaultyServer::start(answer).await;
    let feed = Chainlink::new(fetcher(), server.url, format!("0x{}", "71".repeat(20)), Coin::ETH);
    feed.read().await.map(|reading| (reading.price.rate().to_string(), reading.dated_ms))
}

#[tokio::test]
async fn a_chainlink_answer_is_scaled_by_the_feeds_own_decimals() {
    for (decimals, answer, expected) in
        [(8, 244_809_306_508, "2448.09306508"), (18, 2_448 * 10_i128.pow(18), "2448"), (0, 2_448, "2448")]
    {
        let read = chainlink(aggregator("ETH / USD", decimals, answer, NOW.into())).await.unwrap();
        assert_eq!(read, (expected.to_owned(), Some(NOW * 1_000)));
    }
}

#[tokio::test]
async fn a_chainlink_answer_that_is_no_price_is_refused() {
    let now = i128::from(NOW);
    for (decimals, answer, updated, error) in [
        (8, 0, now, SourceError::NotAPrice),
        (8, -1, now, SourceError::NotAPrice),
        (8, i128::MIN, now, SourceError::NotAPrice),
        (8, 250_000_000_000, 0, SourceError::NotAPrice),
        (19, 250_000_000_000, now, SourceError::Shape("decimals")),
        (-1, 250_000_000_000, now, SourceError::NotAPrice),
        // 10^12 dollars and more.
        (0, 10_i128.pow(12), now, SourceError::NotAPrice),
    ] {
        let read = chainlink(aggregator("ETH / USD", decimals, answer, updated)).await;
        assert_eq!(read, Err(error), "{decimals} {answer} {updated}");
    }
    let other = chainlink(aggregator("BTC / USD", 8, 250_000_000_000, now)).await;
    assert_eq!(other, Err(SourceError::WrongFeed("ETH / USD".to_owned())));
}

#[tokio::test]
async fn answers_that_are_no_answers_are_errors() {
    let oversized = SourceError::TooLong(BODY_BYTES_MAX);
    let cases: Vec<(Reply, SourceError)> = vec![
        (Reply::Body("<html>502</html>".to_owned()), SourceError::NotJson),
        (Reply::Body(String::new()), SourceError::NotJson),
        (Reply::Status(429), SourceError::Status(429)),
        (Reply::Status(500), SourceError::Status(500)),
        (Reply::Hang, SourceError::Timeout(TIMEOUT_MS)),
        (Reply::Endless, oversized),
        // Not followed: it could lead into the operator's own network.
        (Reply::Redirect("http://127.0.0.1:1/".to_owned()), SourceError::Status(302)),
    ];
    for (reply, error) in cases {
        let told = reply.clone();
        assert_eq!(chainlink(move |_| told.clone()).await, Err(error.clone()));
        let server = FaultyServer::start(move |_| reply.clone()).await;
        let document = HttpJson::new(fetcher(), server.url, "/price".to_owned(), None);
        assert_eq!(document.read().await, Err(error));
    }
    assert!(matches!(chainlink(|_| Reply::CutOff).await, Err(SourceError::Unreachable(_))));
    for (answer, error) in [
        (json!({ "error": { "code": -32005, "message": "limit" } }), SourceError::Rpc(-32_005)),
        (json!({ "id": 1 }), SourceError::Shape("no result")),
        (json!({ "result": null }), SourceError::Shape("no result")),
        (json!({ "result": 7 }), SourceError::Shape("eth_call gave no text")),
        (json!({ "result": "0x" }), SourceError::Shape("too few words")),
        (json!({ "result": "0xzz" }), SourceError::Shape("eth_call gave no hex")),
    ] {
        assert_eq!(chainlink(move |_| Reply::Body(answer.to_string())).await, Err(error));
    }
    let gone = HttpJson::new(fetcher(), "http://127.0.0.1:1/?key=SECRET".to_owned(), "/p".to_owned(), None);
    let error = gone.read().await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable(_)));
    assert!(!error.to_string().contains("SECRET"), "{error}");
}

const RECEIVER: &str = "rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ";
const SOL_FEED: &str = "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d";

struct Update {
    owner: &'static str,
    discriminator: [u8; 8],
    level: u8,
    feed: &'static str,
    price: i64,
    confidence: u64,
    exponent: i32,
    cut: usize,
}

/// As the receiver program writes it: 150.12345678 dollars, one cent of doubt.
const GOOD: Update = Update {
    owner: RECEIVER,
    discriminator: [34, 241, 35, 99, 157, 126, 244, 205],
    level: 1,
    feed: SOL_FEED,
    price: 15_012_345_678,
    confidence: 1_000_000,
    exponent: -8,
    cut: 134,
};

impl Update {
    fn account(&self) -> Value {
        let mut data = Vec::new();
        data.extend(self.discriminator);
        data.extend([9; 32]);
        data.push(self.level);
        data.extend(hex::decode(self.feed).unwrap());
        data.extend(self.price.to_le_bytes());
        data.extend(self.confidence.to_le_bytes());
        data.extend(self.exponent.to_le_bytes());
        data.extend(NOW.to_le_bytes());
        data.extend((NOW - 1).to_le_bytes());
        data.extend(self.price.to_le_bytes());
        data.extend(self.confidence.to_le_bytes());
        data.extend(77_u64.to_le_bytes());
        data.push(0);
        assert_eq!(data.len(), 134, "PriceUpdateV2::LEN");
        data.truncate(self.cut);
        json!({ "context": { "slot": 1 }, "value": {
            "owner": self.owner, "data": [STANDARD.encode(data), "base64"], "lamports": 1, "executable": false } })
    }
}

#[tokio::test]
async fn a_pyth_update_is_read_and_scaled() {
    let server = FaultyServer::start(|request| {
        assert!(request.contains("getAccountInfo") && request.contains("base64"), "{request}");
        rpc(&GOOD.account())
    })
    .await;
    let feed =
        Pyth::new(fetcher(), server.url, "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE".to_owned(), sol());
    let reading = feed.read().await.unwrap();
    assert_eq!(reading.price.rate().to_string(), "150.12345678");
    assert_eq!(reading.dated_ms, Some(NOW * 1_000));
}

fn sol() -> Feed {
    Feed::of(Coin::SOL, None).unwrap()
}

#[test]
fn a_coin_whose_feed_is_not_known_has_the_one_it_is_given() {
    let pol = Coin::of_ticker("pol").unwrap();
    assert!(Feed::of(pol, None).is_none());
    let given = Feed::of(pol, Some(&format!("0x{}", GOOD.feed.to_uppercase()))).unwrap();
    assert!(decode(&GOOD.account(), &given).is_ok());
    let other = Feed::of(pol, Some(&"ab".repeat(32))).unwrap();
    assert_eq!(decode(&GOOD.account(), &other), Err(SourceError::WrongFeed("POL/USD".to_owned())));
}

#[test]
fn a_pyth_account_must_prove_what_it_is() {
    let wrong = SourceError::WrongFeed("SOL/USD".to_owned());
    let short = SourceError::Shape("the account is too short");
    for (update, error) in [
        // Anybody can create an account that looks like a price update.
        (Update { owner: "11111111111111111111111111111111", ..GOOD }, wrong.clone()),
        (Update { discriminator: [0; 8], ..GOOD }, wrong.clone()),
        (Update { feed: "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace", ..GOOD }, wrong),
        (Update { level: 0, ..GOOD }, SourceError::Shape("the update is not fully verified")),
        (Update { price: 0, ..GOOD }, SourceError::Uncertain(200)),
        (Update { price: 0, confidence: 0, ..GOOD }, SourceError::NotAPrice),
        (Update { price: -1, ..GOOD }, SourceError::NotAPrice),
        (Update { confidence: 300_246_914, ..GOOD }, SourceError::Uncertain(200)),
        (Update { exponent: -19, ..GOOD }, SourceError::NotAPrice),
        (Update { exponent: 18, ..GOOD }, SourceError::NotAPrice),
        (Update { cut: 100, ..GOOD }, short.clone()),
        (Update { cut: 4, ..GOOD }, short.clone()),
        (Update { cut: 0, ..GOOD }, short),
    ] {
        assert_eq!(decode(&update.account(), &sol()), Err(error));
    }
    assert!(decode(&Update { confidence: 300_246_913, ..GOOD }.account(), &sol()).is_ok());
    let missing = json!({ "context": {}, "value": null });
    assert_eq!(decode(&missing, &sol()), Err(SourceError::WrongFeed("SOL/USD".to_owned())));
}

struct Lab {
    rates: Arc<LiveRates>,
    now_ms: Arc<AtomicI64>,
    stop: CancellationToken,
}

impl Lab {
    async fn start(config: &str) -> Self {
        Self::ageing(config, &[]).await
    }

    async fn ageing(config: &str, ageing: &[Coin]) -> Self {
        let config: RatesConfig = toml(config);
        config.check(&[Coin::ETH]).unwrap();
        let now_ms = Arc::new(AtomicI64::new(NOW * 1_000));
        let read = Arc::clone(&now_ms);
        let clock = Clock::from_fn(move || read.load(Ordering::Relaxed));
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new().unwrap());
        let rates = LiveRates::start(&config, ageing, metrics, clock, &stop).await.unwrap();
        Self { rates, now_ms, stop }
    }

    fn eth(&self) -> Option<String> {
        self.rates.rate(Coin::ETH, self.now_ms.load(Ordering::Relaxed)).map(|rate| rate.to_string())
    }

    /// What every offer asks.
    fn eth_is_known(&self) -> bool {
        self.rates.is_known(Coin::ETH, self.now_ms.load(Ordering::Relaxed))
    }

    /// Waits until the background task has seen it.
    async fn until(&self, expected: Option<&str>) {
        let wait = async {
            while self.eth().as_deref() != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(arrived.is_ok(), "still {:?}, not {expected:?}", self.eth());
        assert_eq!(self.eth_is_known(), expected.is_some());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn toml(text: &str) -> RatesConfig {
    use figment::providers::Format as _;
    figment::Figment::new().merge(figment::providers::Toml::string(text)).extract().unwrap()
}

fn price(text: &str) -> impl Fn(&str) -> Reply + Send + use<> {
    let body = json!({ "price": text }).to_string();
    move |_| Reply::Body(body.clone())
}

fn http_source(url: &str) -> String {
    format!("[[sources]]\nkind = \"http\"\npair = \"eth_usd\"\nurl = \"{url}\"\npointer = \"/price\"\n")
}

#[tokio::test]
async fn a_rate_goes_stale_and_comes_back() {
    let server = FaultyServer::start(price("2500.00")).await;
    let lab =
        Lab::start(&format!("refresh_seconds = 1\nage_max_seconds = 30\n{}", http_source(&server.url))).await;
    assert_eq!(lab.eth().as_deref(), Some("2500"), "read before the first offer");
    server.now_answers(|_| Reply::Status(503));
    lab.now_ms.fetch_add(30_000, Ordering::Relaxed);
    assert_eq!(lab.eth().as_deref(), Some("2500"), "an outage within the age limit closes nothing");
    assert!(lab.eth_is_known());
    lab.now_ms.fetch_add(1, Ordering::Relaxed);
    assert_eq!(lab.eth(), None);
    assert!(!lab.eth_is_known(), "no answer outlives its millisecond");
    let now_ms = lab.now_ms.load(Ordering::Relaxed);
    let last = lab.rates.last_known(Coin::ETH, now_ms).map(|rate| rate.to_string());
    assert_eq!(last.as_deref(), Some("2500"), "good enough to book what was spent");
    server.now_answers(price("2400"));
    lab.until(Some("2400")).await;
}

#[tokio::test]
async fn sources_that_disagree_give_no_rate_until_they_agree() {
    let (one, two) = (FaultyServer::start(price("2500")).await, FaultyServer::start(price("2600")).await);
    let config = format!("refresh_seconds = 1\n{}{}", http_source(&one.url), http_source(&two.url));
    let lab = Lab::start(&config).await;
    assert_eq!((lab.eth(), lab.eth_is_known()), (None, false));
    two.now_answers(price("2501"));
    lab.until(Some("2501")).await;
}

#[tokio::test]
async fn an_old_chainlink_round_is_stale_although_the_node_answers() {
    let server =
        FaultyServer::start(aggregator("ETH / USD", 8, 250_000_000_000, i128::from(NOW) - 1_501)).await;
    let source = format!(
        "[[sources]]\nkind = \"chainlink\"\npair = \"eth_usd\"\nurl = \"{}\"\naddress = \"0x{}\"\n",
        server.url,
        "71".repeat(20)
    );
    let lab = Lab::start(&format!("refresh_seconds = 1\n{source}")).await;
    assert_eq!(lab.eth(), None);
    server.now_answers(aggregator("ETH / USD", 8, 260_000_000_000, NOW.into()));
    lab.until(Some("2600")).await;
}

#[tokio::test]
async fn fixed_values_of_development_chains_need_no_network_and_never_age() {
    let lab = Lab::start("eth_usd = \"2500.00\"").await;
    lab.now_ms.fetch_add(1_000_000_000, Ordering::Relaxed);
    assert_eq!(lab.eth().as_deref(), Some("2500"));
    assert!(lab.eth_is_known());
    assert_eq!(lab.rates.rate(Coin::SOL, NOW), None, "a coin nobody configured has no rate");
    assert!(!lab.rates.is_known(Coin::SOL, NOW));
}

#[tokio::test]
async fn fixed_values_on_a_mainnet_run_out() {
    const HOUR_MS: i64 = 3_600_000;
    let fixed = "[[sources]]\nkind = \"static\"\npair = \"eth_usd\"\nvalue = \"2500\"\n";
    for config in ["eth_usd = \"2500\"\nfixed_rates_max_age_hours = 2", fixed] {
        let lab = Lab::ageing(config, &[Coin::ETH]).await;
        let hours = if config == fixed { 24 } else { 2 };
        if config != fixed {
            // A static source is read again and again; here nobody reads it.
            lab.now_ms.fetch_add(hours * HOUR_MS - 1, Ordering::Relaxed);
            assert_eq!(lab.eth().as_deref(), Some("2500"));
            assert!(lab.eth_is_known());
            lab.now_ms.fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(lab.eth().as_deref(), Some("2500"));
            lab.now_ms.fetch_add(hours * HOUR_MS, Ordering::Relaxed);
        }
        assert_eq!(lab.eth(), None, "{config}");
        assert!(!lab.eth_is_known());
        let now_ms = lab.now_ms.load(Ordering::Relaxed);
        assert!(lab.rates.last_known(Coin::ETH, now_ms).is_some(), "costs are still booked at some value");
        lab.stop.cancel();
    }
}
