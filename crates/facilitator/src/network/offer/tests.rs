use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use proptest::prelude::*;
use quittance_ledger::{Exposed, ExposureLimits};
use quittance_protocol::{ErrorCode, IdentifierHash, Network, PaymentPayload, v1};
use quittance_quote::{NetworkTerms, Rate, Tariff, TariffWindow};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::chain::{Chain, Facts, GasCoin, decode_of};
use crate::context::clock::Clock;
use crate::network::poller::Poller;
use crate::network::prepared::{MOMENT_MS_MAX, Moment, Prepared};
use crate::network::rents::Accounts;
use crate::network::spending::Spending;
use crate::prices::Coin;
use crate::rates::RateSource;

const NOW: i64 = 1_800_000_000_000;
/// What each 402 here suggests as an identifier.
const WORD: [u8; 16] = [7; 16];
/// How long a tariff is offered.
const AGE_MAX_SECONDS: u64 = 60;

/// A chain that is not connected: offers do no I/O (P4).
fn silent(network: &Network) -> Chain {
    let facts = Facts {
        network: network.clone(),
        coin: GasCoin { name: "ETH".to_owned(), decimals: 18, pair: "eth_usd".to_owned() },
        wallets: vec!["wallet".to_owned()],
        retired_wallets: Vec::new(),
        offer_wallet: None,
        offer_extra: Map::new(),
        takes_nonce: true,
        amount_mismatch: ErrorCode::InvalidPayload,
        network_mismatch: ErrorCode::InvalidNetwork,
    };
    Chain::later(facts, decode_of(network), Box::new(|| unreachable!("offers do no I/O")))
}

/// Rates that can be taken away.
#[derive(Default)]
struct Rates {
    missing: AtomicBool,
}

impl RateSource for Rates {
    fn rate(&self, _: Coin, _: i64) -> Option<Rate> {
        (!self.missing.load(Ordering::SeqCst)).then(|| "2500".parse().unwrap())
    }
}

/// Both networks are closed for this reason.
fn shut(retry_after_seconds: u64, reason: &'static str) -> NothingToOffer {
    let closed = [Network::BASE, Network::SOLANA].map(|network| (network.parse().unwrap(), reason));
    NothingToOffer { retry_after_seconds, closed: closed.to_vec() }
}

struct Fixture {
    networks: Vec<Arc<ConfiguredNetwork>>,
    rates: Arc<Rates>,
}

fn net(network: &str, extra: Value, rates: &Arc<Rates>) -> Arc<ConfiguredNetwork> {
    let network: Network = network.parse().unwrap();
    let chain = Arc::new(silent(&network));
    let stop = CancellationToken::new();
    stop.cancel();
    let terms = NetworkTerms {
        network: network.clone(),
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".to_owned(),
        pay_to: "0x1111111111111111111111111111111111111111".to_owned(),
        asset_decimals: 6,
        asset_symbol: "USDC".to_owned(),
        max_timeout_seconds: 120,
        extra: extra.as_object().unwrap().clone(),
        payment_flow_upfront: true,
    };
    Arc::new(ConfiguredNetwork {
        offers: vec![terms.clone()],
        pool: Arc::new(crate::network::pool::Pool::new(chain.facts(), 1)),
        remote: None,
        retired: false,
        shared_pay_to: false,
        batch: crate::network::configured::BatchTerms { size_max: 1, margin_seconds: 10, wait_ms: 10 },
        payout_look: std::time::Duration::from_secs(15),
        poller: Poller::start(Arc::clone(&chain), Clock::system(), Duration::from_secs(1), stop),
        chain,
        terms,
        coin: Coin::ETH,
        rates: rates.clone(),
        window: RwLock::new(TariffWindow::new(network, 120, 30, AGE_MAX_SECONDS)),
        prepared: Prepared::default(),
        moment: Moment::default(),
        gas_floor: Amount::new(1),
        gas_ceiling: Amount::new(1_000_000),
        limits: limits(),
        unwedge_day: 0,
        accounts: Accounts::default(),
        freed: tokio::sync::Notify::new(),
        spending: Spending::default(),
        seen: Default::default(),
        obstructed: Default::default(),
        head_look: Default::default(),
        ready: AtomicBool::new(true),
        closed: Mutex::new(None),
        strangers_wait: AtomicBool::new(false),
        share: crate::network::strangers::share::Share::new(&Default::default()),
        cost_budget: Amount::ZERO,
        at_cost: "1".parse().unwrap(),
    })
}

fn limits() -> ExposureLimits {
    let much = Exposed { usdc: Amount::new(1_000), native: 1_000 };
    ExposureLimits {
        payer_in_flight: much,
        network_in_flight: much,
        payer_unearned_in_flight: 1_000,
        payer_day: Amount::new(1_000),
        soft_day: much,
        probes_day: much,
        spent_day: Amount::new(1_000_000),
        history_bps: 1_000,
        by_code_in_flight: 1,
    }
}

impl Fixture {
    fn open() -> Self {
        let rates = Arc::<Rates>::default();
        let networks = vec![
            net(Network::BASE, json!({"name": "USD Coin", "version": "2"}), &rates),
            net(Network::SOLANA, json!({"feePayer": "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4"}), &rates),
        ];
        let fixture = Self { networks, rates };
        fixture.tariff(0, 1, 3_938, NOW);
        fixture.tariff(1, 1, 1_500, NOW);
        fixture
    }

    fn tariff(&self, net: usize, number: i64, gas: u64, created_at_ms: i64) {
        let net = &self.networks[net];
        let network = net.terms.network.clone();
        let (gas, cost_native) = (Amount::new(gas), 1);
        let tariff = Tariff {
            network,
            number,
            gas,
            cost_native,
            rent_included: false,
            created_at_ms,
            replaced_at_ms: None,
        };
        net.push(tariff).unwrap();
    }

    /// The text, after it was found to be the value's own JSON.
    /// What clients of version 1 read is the same offer.
    fn check_version_1(&self, service: u64, resource: ResourceRef<'_>, now_ms: i64, value: &PaymentRequired) {
        let mut out = b"before".to_vec();
        let service = Amount::new(service);
        assert!(write_offer_v1(&self.networks, now_ms, service, resource, "why \\ not", &mut out));
        let written: Value = serde_json::from_slice(out.strip_prefix(b"before").unwrap()).unwrap();
        assert_eq!(Some(written), v1::required(value));
    }

    fn text(&self, service: u64, url: &str, now_ms: i64) -> Result<String, NothingToOffer> {
        let resource =
            ResourceRef { url, description: Some("Makes \"things\""), mime_type: Some("application/json") };
        let mut out = b"before".to_vec();
        let written =
            write_offer(&self.networks, now_ms, Amount::new(service), resource, "why \\ not", WORD, &mut out);
        let value = offer(&self.networks, now_ms, Amount::new(service), resource, "why \\ not");
        let text = String::from_utf8(out).unwrap();
        match (written, value) {
            (Ok(()), Ok(value)) => {
                let text = text.strip_prefix("before").unwrap();
                let text = text.replace(&format!(r#","id":"offer_{}""#, hex::encode(WORD)), "");
                assert_eq!(text, serde_json::to_string(&value).unwrap());
                let read: PaymentRequired = serde_json::from_str(&text).unwrap();
                assert_eq!(read, value);
                self.check_version_1(service, resource, now_ms, &value);
                Ok(text)
            }
            (Err(written), Err(value)) => {
                assert_eq!(text, "before", "nothing is appended without an offer");
                let mut none = Vec::new();
                assert!(!write_offer_v1(
                    &self.networks,
                    now_ms,
                    Amount::new(service),
                    resource,
                    "",
                    &mut none
                ));
                assert!(none.is_empty());
                assert_eq!(written, value);
                Err(written)
            }
            (written, value) => panic!("{written:?} but {value:?}"),
        }
    }

    /// Network and amount of each offer.
    fn amounts(&self, now_ms: i64) -> Vec<(String, u64)> {
        let Ok(text) = self.text(10_000, "https://api.test/gen", now_ms) else { return Vec::new() };
        let read: PaymentRequired = serde_json::from_str(&text).unwrap();
        let amount = |one: &quittance_protocol::PaymentRequirements| one.amount.parse().unwrap();
        read.accepts.iter().map(|one| (one.network.clone(), amount(one))).collect()
    }
}

fn base(amount: u64) -> (String, u64) {
    (Network::BASE.to_owned(), amount)
}

fn solana(amount: u64) -> (String, u64) {
    (Network::SOLANA.to_owned(), amount)
}

#[tokio::test]
async fn p6_an_offer_carries_a_word_that_comes_back_as_an_identifier() {
    let fixture = Fixture::open();
    let resource = ResourceRef { url: "https://api.test/gen", description: None, mime_type: None };
    let mut out = Vec::new();
    write_offer(&fixture.networks, NOW, Amount::new(10_000), resource, "pay", WORD, &mut out).unwrap();
    let required: PaymentRequired = serde_json::from_slice(&out).unwrap();
    // As an official client: one of `accepts`, and the extensions whole.
    let payment = PaymentPayload {
        x402_version: X402_VERSION,
        resource: None,
        accepted: required.accepts[0].clone(),
        payload: Value::Null,
        extensions: required.extensions,
        other: Map::new(),
    };
    let identifier = payment.payment_identifier().unwrap().unwrap();
    assert_eq!(identifier, format!("offer_{}", "07".repeat(16)));
    assert!(IdentifierHash::of(identifier).is_offered());
    assert!(!IdentifierHash::of("pay_0123456789abcdef").is_offered());
}

#[tokio::test]
async fn the_next_402_shows_a_changed_tariff_and_no_other() {
    let fixture = Fixture::open();
    assert_eq!(fixture.amounts(NOW), [base(13_938), solana(11_500)]);
    assert_eq!(fixture.amounts(NOW), [base(13_938), solana(11_500)], "prepared once, the same again");
    fixture.tariff(0, 2, 5_000, NOW + 1_000);
    assert_eq!(fixture.amounts(NOW + 1_000), [base(15_000), solana(11_500)]);
    fixture.tariff(1, 2, 1_400, NOW + 2_000);
    assert_eq!(fixture.amounts(NOW + 2_000), [base(15_000), solana(11_400)]);
    fixture.tariff(0, 3, 3_938, NOW + 3_000);
    assert_eq!(fixture.amounts(NOW + 3_000), [base(13_938), solana(11_400)], "back to an earlier surcharge");
}

#[tokio::test]
async fn a_stale_tariff_is_not_offered_however_well_prepared() {
    let fixture = Fixture::open();
    let stale = NOW + i64::try_from(AGE_MAX_SECONDS).unwrap() * 1_000 + 1;
    assert_eq!(fixture.amounts(stale - 1), [base(13_938), solana(11_500)]);
    fixture.tariff(1, 2, 1_500, stale);
    assert_eq!(
        fixture.amounts(stale),
        [solana(11_500)],
        "the same surcharge under a fresh tariff is offered"
    );
    let fixture = Fixture::open();
    assert_eq!(fixture.amounts(NOW).len(), 2);
    assert_eq!(fixture.text(10_000, "/", stale), Err(shut(5, "no_tariff")));
}

#[tokio::test]
async fn a_network_that_closes_is_not_offered_and_comes_back() {
    let fixture = Fixture::open();
    assert_eq!(fixture.amounts(NOW).len(), 2);
    fixture.rates.missing.store(true, Ordering::SeqCst);
    assert_eq!(fixture.text(10_000, "/", NOW), Err(shut(5, "no_rate")));
    fixture.rates.missing.store(false, Ordering::SeqCst);
    assert_eq!(fixture.amounts(NOW), [base(13_938), solana(11_500)]);
    fixture.tariff(0, 2, 1_000_001, NOW + 1);
    assert_eq!(fixture.amounts(NOW + 1), [solana(11_500)], "above the ceiling");
    fixture.tariff(0, 3, 3_938, NOW + 2);
    fixture.networks[1].spending.add(Amount::new(1_000_000));
    assert_eq!(fixture.amounts(NOW + 2), [base(13_938)], "the day's costs are at their ceiling");
    fixture.networks[0].spending.add(Amount::new(1_000_000));
    assert_eq!(fixture.text(10_000, "/", NOW + 2), Err(shut(60, "spent_ceiling")));
}

/// Who is new finds the network that takes them first, and who is not finds both.
#[tokio::test]
async fn a_network_where_strangers_wait_is_offered_behind_the_others() {
    let fixture = Fixture::open();
    fixture.networks[0].strangers_wait.store(true, Ordering::SeqCst);
    assert_eq!(fixture.amounts(NOW), [solana(11_500), base(13_938)]);
    fixture.networks[1].strangers_wait.store(true, Ordering::SeqCst);
    assert_eq!(fixture.amounts(NOW), [base(13_938), solana(11_500)]);
    fixture.networks[0].strangers_wait.store(false, Ordering::SeqCst);
    assert_eq!(fixture.amounts(NOW), [base(13_938), solana(11_500)]);
}

#[tokio::test]
async fn a_price_that_overflows_on_every_network_is_no_offer() {
    let fixture = Fixture::open();
    assert!(fixture.text(u64::MAX, "/", NOW).is_err());
    // 1,500 fits, 3,938 does not.
    let text = fixture.text(u64::MAX - 2_000, "/", NOW).unwrap();
    assert!(!text.contains(Network::BASE) && text.contains(Network::SOLANA), "{text}");
}

proptest! {
    #[test]
    fn the_text_is_the_values_json(
        prices in prop::collection::vec((1u64..1_000_000_000, 0u64..1_000_000), 1..6), url in ".{0,60}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let fixture = Fixture::open();
        for (number, (service, gas)) in prices.into_iter().enumerate() {
            let number = i64::try_from(number).unwrap() + 2;
            fixture.tariff(0, number, gas, NOW + number);
            prop_assert!(fixture.text(service, &url, NOW + number).is_ok());
        }
    }
}

/// Solana's offers carry a fresh blockhash, in both forms alike, and drop it when it is old.
#[tokio::test]
async fn an_offer_says_what_the_chain_says_of_the_moment_and_no_longer() {
    let fixture = Fixture::open();
    let solana = &fixture.networks[1];
    let said = |hash: &str, now_ms: i64| {
        let extra = json!({"recentBlockhash": hash, "lastValidBlockHeight": 7});
        solana.moment.say(&solana.offers, extra.as_object().unwrap(), now_ms);
    };
    let offered = |now_ms: i64| {
        let offer: PaymentRequired =
            serde_json::from_str(&fixture.text(10_000, "https://api.test/gen", now_ms).unwrap()).unwrap();
        assert_eq!(offer.accepts[0].extra.get("recentBlockhash"), None, "Base has none");
        let extra = offer.accepts[1].extra.clone();
        assert_eq!(extra["feePayer"], solana.terms.extra["feePayer"]);
        extra.get("recentBlockhash").and_then(|hash| hash.as_str()).map(str::to_owned)
    };
    assert_eq!(offered(NOW), None);
    said("first", NOW);
    assert_eq!(offered(NOW).as_deref(), Some("first"));
    said("second", NOW + 5_000);
    assert_eq!(offered(NOW + 5_000).as_deref(), Some("second"), "at the same surcharge");
    assert_eq!(offered(NOW + 5_000 + MOMENT_MS_MAX).as_deref(), Some("second"));
    assert_eq!(offered(NOW + 5_001 + MOMENT_MS_MAX), None);
    said("third", NOW + 20_000);
    solana.moment.pass();
    assert_eq!(offered(NOW + 20_000), None, "who is told to sign again gets no blockhash a second time");
    said("fourth", NOW + 25_000);
    assert_eq!(offered(NOW + 25_000).as_deref(), Some("fourth"));
}
