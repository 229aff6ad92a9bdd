use super::*;

fn key() -> StatementKey {
    StatementKey::new(&Secret::new(format!("0x{}", "11".repeat(32)).into_bytes())).unwrap()
}

fn offer() -> OfferPayload {
    OfferPayload {
        version: 1,
        resource_url: "https://api.example/v1/images".to_owned(),
        scheme: "exact".to_owned(),
        network: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".to_owned(),
        asset: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".to_owned(),
        pay_to: "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4".to_owned(),
        amount: "21234".to_owned(),
        valid_until: 1_800_000_000,
    }
}

fn receipt() -> ReceiptPayload {
    ReceiptPayload {
        version: 1,
        network: "eip155:8453".to_owned(),
        resource_url: "https://api.example/v1/images".to_owned(),
        payer: "0x857b06519E91e3A54538791bDbb0E22373e36b66".to_owned(),
        issued_at: 1_800_000_001,
        transaction: "0xabc".to_owned(),
    }
}

/// Made with `@x402/extensions` 2.27 (`hashOfferTypedData`) and viem, of the same key and fields.
const OFFICIAL_OFFER: &str = "0x555a877abbeae03728f82308f9bb9d19da58d6a829611ce615c20ad49587b7f61923b6f4d782a08a6102eee8cc297e4102fe9bda7a860af7a3ca27932430c92b1b";
/// The same of `hashReceiptTypedData`.
const OFFICIAL_RECEIPT: &str = "0xf9d39163a52545c965b711a72298141e0f657c1eb0e5eb747eb4f3626323c30a5074feac0bf7c2dd84055c3b8d313cc39ce71a7cc305d48fc6e4a67a9ec6ed041c";

#[test]
fn statements_are_signed_as_the_official_package_signs_them() {
    assert_eq!(key().sign_offer(&offer()), OFFICIAL_OFFER);
    assert_eq!(key().sign_receipt(&receipt()), OFFICIAL_RECEIPT);
    assert_eq!(offer_signer(&offer(), OFFICIAL_OFFER), Some(key().address()));
    assert_eq!(receipt_signer(&receipt(), OFFICIAL_RECEIPT), Some(key().address()));
}

#[test]
fn a_changed_field_is_signed_by_nobody_known() {
    let changes: [fn(&mut OfferPayload); 8] = [
        |offer| offer.version = 2,
        |offer| offer.resource_url.push('x'),
        |offer| offer.scheme = "upto".to_owned(),
        |offer| offer.network = "eip155:8453".to_owned(),
        |offer| offer.asset.push('x'),
        |offer| offer.pay_to.push('x'),
        |offer| offer.amount = "1".to_owned(),
        |offer| offer.valid_until += 1,
    ];
    for change in changes {
        let mut changed = offer();
        change(&mut changed);
        assert_ne!(offer_signer(&changed, OFFICIAL_OFFER), Some(key().address()), "{changed:?}");
    }
    let changes: [fn(&mut ReceiptPayload); 6] = [
        |receipt| receipt.version = 2,
        |receipt| receipt.network = "eip155:1".to_owned(),
        |receipt| receipt.resource_url.push('x'),
        |receipt| receipt.payer.push('x'),
        |receipt| receipt.issued_at += 1,
        |receipt| receipt.transaction.clear(),
    ];
    for change in changes {
        let mut changed = receipt();
        change(&mut changed);
        assert_ne!(receipt_signer(&changed, OFFICIAL_RECEIPT), Some(key().address()), "{changed:?}");
    }
}

/// An offer is no receipt, whatever it says: their domains differ.
#[test]
fn other_writings_of_a_signature_are_none() {
    let twin = {
        let (rs, v) = OFFICIAL_OFFER.split_at(130);
        assert_eq!(v, "1b");
        // n − s, with the other parity.
        let s = U256::from_str_radix(&rs[66..], 16).unwrap();
        let n = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16);
        format!("{}{:064x}1c", &rs[..66], n.unwrap() - s)
    };
    for none in ["", "0x", &OFFICIAL_OFFER[2..], &OFFICIAL_OFFER[..130], OFFICIAL_RECEIPT, &twin] {
        assert_ne!(offer_signer(&offer(), none), Some(key().address()), "{none}");
    }
}
