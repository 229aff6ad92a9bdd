use quittance_protocol::Secret;
use serde_json::json;

use super::*;

const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const BITCOIN: &str = "0xcbB7C0000aB88B473b1f5aFd9ef808440eed33Bf";

fn offer(network: &str, asset: &str, amount: &str) -> Value {
    json!({
        "scheme": "exact", "network": network, "asset": asset, "payTo": "0x01", "amount": amount,
        "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "version": "2"},
    })
}

fn required(accepts: Value) -> Required {
    Required::from_value(&json!({"x402Version": 2, "accepts": accepts})).unwrap()
}

fn keys() -> Keys {
    Keys::default()
        .evm(&Secret::new(format!("0x{}", "11".repeat(32))))
        .unwrap()
        .solana(&Secret::new(solana_key()), "http://127.0.0.1:1")
        .unwrap()
}

/// A key as a JSON array, as Solana's own tools write it: RFC 8032's first test vector.
fn solana_key() -> String {
    let secret = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let public = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    serde_json::to_string(&[secret, public].concat()).unwrap()
}

fn on(network: &str) -> Limits {
    Limits { network: Some(network_named(network).unwrap()), ..Limits::default() }
}

fn token(asset: &str, per_call: u64) -> Limits {
    Limits { token: Some(Token { asset: asset.to_owned(), per_call }), ..Limits::default() }
}

#[test]
fn dollars_are_exact_decimals() {
    assert_eq!(dollars("1.00"), Some(Amount::new(1_000_000)));
    assert_eq!(dollars("0.000001"), Some(Amount::new(1)));
    for bad in ["", "-1", "1e6", "1.0000001", ".5", "99999999999999999999"] {
        assert_eq!(dollars(bad), None, "{bad}");
    }
}

/// A cap in dollars says nothing about units of something else.
#[test]
fn a_dollar_cap_signs_for_known_dollars_only() {
    let others = [
        offer(Network::BASE, BITCOIN, "1"),
        offer("eip155:137", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "1"),
        offer(Network::SOLANA_DEVNET, MINT, "1"),
    ];
    let required = required(json!(others));
    let error = Limits::default().choose(&required, &keys()).unwrap_err().to_string();
    assert_eq!(error.matches("not known as a dollar").count(), 3, "{error}");
    let units = token(&BITCOIN.to_lowercase(), 10);
    assert_eq!(units.choose(&required, &keys()).unwrap().asset, BITCOIN);
}

#[test]
fn a_name_means_one_network() {
    let elsewhere = [offer("eip155:137", USDC, "1"), offer(Network::BASE_SEPOLIA, USDC, "1")];
    assert!(on("base").choose(&required(json!(elsewhere)), &keys()).is_err());
    let both = required(json!([offer(Network::SOLANA, MINT, "1"), offer(Network::BASE, USDC, "2")]));
    for (name, id) in [("base", Network::BASE), ("solana", Network::SOLANA)] {
        assert_eq!(on(name).choose(&both, &keys()).unwrap().network, id);
    }
    assert!(network_named("ethereum").is_err());
}

#[test]
fn one_odd_entry_hides_no_other() {
    let odd = json!([
        null, 7, {}, {"scheme": "exact"},
        {"scheme": "upto", "network": Network::BASE, "asset": USDC, "payTo": "0x01", "amount": "1", "maxTimeoutSeconds": 60},
        offer("bip122:000000000019d6689c085ae165831e93", "x", "1"),
        offer(Network::BASE, USDC, "10"),
    ]);
    let required = required(odd);
    assert_eq!(required.odd, 4);
    assert_eq!(Limits::default().choose(&required, &keys()).unwrap().amount, "10");
}

#[test]
fn another_transfer_method_is_not_signed_as_eip3009() {
    let mut permit = offer(Network::BASE, USDC, "1");
    permit["extra"]["assetTransferMethod"] = json!("permit2");
    let both = required(json!([permit, offer(Network::BASE, USDC, "2")]));
    assert_eq!(Limits::default().choose(&both, &keys()).unwrap().amount, "2");
}

#[test]
fn caps_hold_to_the_unit() {
    let offers =
        required(json!([offer(Network::BASE, USDC, "1000000"), offer(Network::BASE, USDC, "1000001")]))
            .offers;
    for limits in [Limits::default(), token(USDC, 1_000_000)] {
        assert_eq!(limits.price(&offers[0]).unwrap(), Amount::new(1_000_000));
        assert!(matches!(limits.price(&offers[1]), Err(PayError::Limit(_))));
    }
}

/// Units of a token do not add up to dollars.
#[test]
fn limits_by_day_refuse_a_token_that_is_not_known() {
    let offers = required(json!([offer(Network::BASE, BITCOIN, "1")])).offers;
    for limits in [
        Limits { day: Some(Amount::new(1)), ..token(BITCOIN, 10) },
        Limits { host_day: Some(Amount::new(1)), ..token(BITCOIN, 10) },
    ] {
        assert!(matches!(limits.price(&offers[0]), Err(PayError::Limit(_))));
    }
}

#[test]
fn only_hosts_of_the_list_are_paid() {
    let limits = Limits { hosts: Some(["api.example".to_owned()].into()), ..Limits::default() };
    assert!(limits.check_host("api.example").is_ok());
    for other in ["api.example:8443", "api.example.evil.test", "evil-api.example", ""] {
        assert!(limits.check_host(other).is_err(), "{other}");
    }
}
