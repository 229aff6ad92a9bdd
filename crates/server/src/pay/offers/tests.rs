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
    from_value(&json!({"x402Version": 2, "accepts": accepts})).unwrap()
}

fn wanted(network: Option<&str>, cap: Cap) -> Wanted {
    Wanted { network: network.map(|text| named(text).unwrap()), evm: true, solana: true, cap }
}

fn dollars(text: &str) -> Cap {
    Cap::Dollars(parse_usdc(text).unwrap())
}

#[test]
fn limits_are_exact_decimals() {
    assert_eq!(parse_usdc("1.00"), Some(Amount::new(1_000_000)));
    assert_eq!(parse_usdc("0.000001"), Some(Amount::new(1)));
    for bad in ["", "-1", "1e6", "1.0000001", ".5"] {
        assert_eq!(parse_usdc(bad), None, "{bad}");
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
    let error = wanted(None, dollars("1.00")).choose(&required).unwrap_err().to_string();
    assert_eq!(error.matches("not known as a dollar").count(), 3, "{error}");
    let units = Cap::Units { asset: BITCOIN.to_lowercase(), max: 10 };
    assert_eq!(wanted(None, units).choose(&required).unwrap().asset, BITCOIN);
}

#[test]
fn a_name_means_one_network() {
    let elsewhere = [offer("eip155:137", USDC, "1"), offer(Network::BASE_SEPOLIA, USDC, "1")];
    assert!(wanted(Some("base"), dollars("1")).choose(&required(json!(elsewhere))).is_err());
    let both = required(json!([offer(Network::SOLANA, MINT, "1"), offer(Network::BASE, USDC, "2")]));
    assert_eq!(wanted(Some("base"), dollars("1")).choose(&both).unwrap().network, Network::BASE);
    assert_eq!(wanted(Some("solana"), dollars("1")).choose(&both).unwrap().network, Network::SOLANA);
    assert!(named("ethereum").is_err());
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
    assert_eq!(wanted(None, dollars("1")).choose(&required).unwrap().amount, "10");
}

#[test]
fn another_transfer_method_is_not_signed_as_eip3009() {
    let mut permit = offer(Network::BASE, USDC, "1");
    permit["extra"]["assetTransferMethod"] = json!("permit2");
    let both = required(json!([permit, offer(Network::BASE, USDC, "2")]));
    assert_eq!(wanted(None, dollars("1")).choose(&both).unwrap().amount, "2");
}

#[test]
fn caps_hold_to_the_unit() {
    let offers =
        required(json!([offer(Network::BASE, USDC, "1000000"), offer(Network::BASE, USDC, "1000001")]));
    let wanted = wanted(None, dollars("1.00"));
    assert!(wanted.check_price(&offers.offers[0]).is_ok());
    assert!(wanted.check_price(&offers.offers[1]).is_err());
    let units = Wanted { cap: Cap::Units { asset: USDC.to_owned(), max: 1_000_000 }, ..wanted };
    assert!(units.check_price(&offers.offers[0]).is_ok());
    assert!(units.check_price(&offers.offers[1]).is_err());
}

#[test]
fn another_version_is_named() {
    let error = from_value(&json!({"x402Version": 1, "accepts": []})).err().unwrap();
    assert!(error.to_string().contains("version 1"));
    assert!(from_value(&json!({"accepts": []})).is_err());
}
