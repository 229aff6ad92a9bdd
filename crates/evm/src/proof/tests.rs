use serde_json::json;

use super::*;

const A: Address = Address::repeat_byte(0xaa);
const B: Address = Address::repeat_byte(0xbb);
const US: Address = Address::repeat_byte(0x11);
const TOKEN: Address = Address::repeat_byte(0x77);

fn used(from: Address, nonce: u8) -> TokenEvent {
    TokenEvent::Used { from, nonce: B256::repeat_byte(nonce) }
}

fn canceled(from: Address, nonce: u8) -> TokenEvent {
    TokenEvent::Canceled { from, nonce: B256::repeat_byte(nonce) }
}

fn transfer(from: Address, to: Address, value: u64) -> TokenEvent {
    TokenEvent::Transfer { from, to, value: U256::from(value) }
}

fn expected(from: Address, nonce: u8) -> Expected {
    Expected { from, to: US, value: 100, nonce: B256::repeat_byte(nonce) }
}

#[test]
fn i4_settled_needs_the_event_and_its_own_transfer() {
    let rows: Vec<(&str, Vec<TokenEvent>, Finding)> = vec![
        ("settled", vec![used(A, 1), transfer(A, US, 100)], Finding::Paid),
        ("nothing", vec![], Finding::Nothing),
        ("a transfer alone", vec![transfer(A, US, 100)], Finding::Nothing),
        ("the event alone", vec![used(A, 1)], Finding::Burned),
        ("a transfer before the event", vec![transfer(A, US, 100), used(A, 1)], Finding::Burned),
        ("less", vec![used(A, 1), transfer(A, US, 99)], Finding::Burned),
        ("more", vec![used(A, 1), transfer(A, US, 101)], Finding::Burned),
        ("to another", vec![used(A, 1), transfer(A, B, 100)], Finding::Burned),
        ("from another", vec![used(A, 1), transfer(B, US, 100)], Finding::Burned),
        ("another nonce", vec![used(A, 2), transfer(A, US, 100)], Finding::Nothing),
        ("another payer", vec![used(B, 1), transfer(B, US, 100)], Finding::Nothing),
        ("cancelled", vec![canceled(A, 1)], Finding::Burned),
        ("another's cancellation", vec![canceled(B, 1)], Finding::Nothing),
        ("the cancellation of another", vec![canceled(A, 2)], Finding::Nothing),
        ("cancelled beside a plain transfer", vec![canceled(A, 1), transfer(A, US, 100)], Finding::Burned),
        (
            "another's transfer is not borrowed",
            vec![used(A, 1), transfer(A, B, 100), used(A, 2), transfer(A, US, 100)],
            Finding::Burned,
        ),
        (
            "nor one after a cancellation",
            vec![used(A, 1), canceled(A, 2), transfer(A, US, 100)],
            Finding::Burned,
        ),
        (
            "two of the same payer and amount",
            vec![used(A, 2), transfer(A, US, 100), used(A, 1), transfer(A, US, 100)],
            Finding::Paid,
        ),
        (
            "two events, one transfer: only the last is paid",
            vec![used(A, 1), used(A, 2), transfer(A, US, 100)],
            Finding::Burned,
        ),
    ];
    for (name, events, finding) in rows {
        assert_eq!(find(&events, &expected(A, 1)), finding, "{name}");
    }
    let two = [used(A, 1), used(A, 2), transfer(A, US, 100)];
    assert_eq!(find(&two, &expected(A, 2)), Finding::Paid);
}

/// An honest single transfer: the middle of the events of a batch.
#[test]
fn i9_a_batch_is_judged_item_by_item() {
    let batch =
        [used(A, 1), transfer(A, US, 100), used(B, 1), transfer(B, US, 100), used(A, 3), transfer(A, US, 7)];
    assert_eq!(find(&batch, &expected(A, 1)), Finding::Paid);
    assert_eq!(find(&batch, &expected(B, 1)), Finding::Paid);
    assert_eq!(find(&batch, &expected(A, 2)), Finding::Nothing, "the item that failed inside the batch");
    assert_eq!(find(&batch, &expected(A, 3)), Finding::Burned);
}

fn log(address: Address, topics: serde_json::Value, data: &str) -> serde_json::Value {
    json!({"address": address, "topics": topics, "data": data, "removed": false})
}

#[test]
fn other_contracts_logs_and_removed_logs_are_no_evidence() {
    let topics = json!([IToken::AuthorizationUsed::SIGNATURE_HASH, A.into_word(), B256::repeat_byte(1)]);
    assert_eq!(parse_event(&log(TOKEN, topics.clone(), "0x"), TOKEN), Some(used(A, 1)));
    assert_eq!(parse_event(&log(B, topics.clone(), "0x"), TOKEN), None);
    let mut removed = log(TOKEN, topics, "0x");
    removed["removed"] = json!(true);
    assert_eq!(parse_event(&removed, TOKEN), None);
    let approval = json!([B256::repeat_byte(9), A.into_word(), B.into_word()]);
    assert_eq!(parse_event(&log(TOKEN, approval, "0x"), TOKEN), None);
    // An ERC-721 transfer has its id as a third topic and no data.
    let nft = json!([IToken::Transfer::SIGNATURE_HASH, A.into_word(), US.into_word(), B256::repeat_byte(1)]);
    assert_eq!(parse_event(&log(TOKEN, nft, "0x"), TOKEN), None);
}

fn receipt() -> serde_json::Value {
    json!({
        "transactionHash": B256::repeat_byte(1), "from": A, "status": "0x1", "blockNumber": "0x10",
        "blockHash": B256::repeat_byte(2), "gasUsed": "0x14f00", "effectiveGasPrice": "0xf4240",
        "l1Fee": "0x1f4",
        "logs": [
            log(TOKEN, json!([IToken::AuthorizationUsed::SIGNATURE_HASH, A.into_word(), B256::repeat_byte(1)]), "0x"),
            log(TOKEN, json!([IToken::Transfer::SIGNATURE_HASH, A.into_word(), US.into_word()]),
                "0x0000000000000000000000000000000000000000000000000000000000000064"),
        ],
    })
}

#[test]
fn a_receipt_costs_gas_and_the_l1_fee() {
    let parsed = parse_receipt(&receipt(), TOKEN).unwrap().unwrap();
    assert_eq!(parsed.cost_wei, 85_760 * 1_000_000 + 500);
    assert_eq!(parsed.events, [used(A, 1), transfer(A, US, 100)]);
    let mut without = receipt();
    without.as_object_mut().unwrap().remove("l1Fee");
    assert_eq!(parse_receipt(&without, TOKEN).unwrap().unwrap().cost_wei, 85_760 * 1_000_000);
    assert_eq!(parse_receipt(&json!(null), TOKEN).unwrap(), None);
}

#[test]
fn a_garbled_receipt_is_a_bad_answer() {
    for field in [
        "transactionHash",
        "from",
        "status",
        "blockNumber",
        "blockHash",
        "gasUsed",
        "effectiveGasPrice",
        "logs",
    ] {
        for value in [json!(null), json!("zz"), json!(7)] {
            let mut garbled = receipt();
            garbled[field] = value.clone();
            assert!(parse_receipt(&garbled, TOKEN).is_err(), "{field}: {value}");
        }
    }
}
