//! Several wallets of ours: any of them may be the fee payer, and none is anything else.

use super::*;

/// Ours are [`wallet`] and [`third`]; payments go to the merchant, or to `pay_to`.
fn pool_for(pay_to: Pubkey) -> Rules {
    let wallets =
        [wallet(), third()].map(|key| OwnWallet::of(key.pubkey(), &mint(), TokenProgram::Token)).to_vec();
    Rules { wallets, ..rules_for(pay_to) }
}

fn to(pay_to: Pubkey) -> Vec<Instruction> {
    let destination = layout::token_account(&pay_to, &mint());
    let source = payer_source();
    changed(|list| {
        list[2] = layout::transfer_checked(&source, &mint(), &destination, &payer().pubkey(), AMOUNT, 6);
    })
}

fn offered(pay_to: Pubkey, fee_payer: Option<Pubkey>, raw: &[u8]) -> PaymentPayload {
    let mut payload = payload(raw);
    payload.accepted.pay_to = pay_to.to_string();
    payload.accepted.extra.remove("feePayer");
    if let Some(named) = fee_payer {
        payload.accepted.extra.insert("feePayer".to_owned(), json!(named.to_string()));
    }
    payload
}

#[test]
fn any_wallet_of_the_pool_pays_whichever_the_offer_named() {
    let (one, two, shop) = (wallet().pubkey(), third().pubkey(), merchant().pubkey());
    let rules = pool_for(shop);
    for fee_payer in [one, two] {
        let raw = sign(&message(&fee_payer, &to(shop)));
        for named in [None, Some(one), Some(two)] {
            let payment = rules.check(&offered(shop, named, &raw)).unwrap();
            assert_eq!(payment.fee_payer(), Some(fee_payer.to_string()), "exactly the one in the message");
        }
        let foreign = rules.check(&offered(shop, Some(payer().pubkey()), &raw));
        assert_eq!(foreign.err(), Some(SolanaError::FeePayerNotManaged));
    }
    let raw = sign(&message(&shop, &to(shop)));
    assert_eq!(rules.check(&offered(shop, None, &raw)).err(), Some(SolanaError::FeePayerMismatch));
}

#[test]
fn a_recipient_that_is_a_wallet_of_the_pool_pays_whatever_the_offer_named() {
    let (one, two) = (wallet().pubkey(), third().pubkey());
    let rules = pool_for(two);
    let raw = sign(&message(&two, &to(two)));
    for named in [None, Some(one), Some(two), Some(payer().pubkey())] {
        assert!(rules.check(&offered(two, named, &raw)).is_ok(), "{named:?}");
    }
    // Another wallet of the pool pays as well, if the offer did not name a stranger.
    let raw = sign(&message(&one, &to(two)));
    assert!(rules.check(&offered(two, Some(one), &raw)).is_ok());
    let foreign = rules.check(&offered(two, Some(payer().pubkey()), &raw));
    assert_eq!(foreign.err(), Some(SolanaError::FeePayerNotManaged));
}

#[test]
fn the_account_of_a_recipient_in_the_pool_is_created_by_whoever_pays() {
    let (one, two) = (wallet().pubkey(), third().pubkey());
    let rules = pool_for(two);
    let creating = |funder: Pubkey| {
        let mut list = to(two);
        list.insert(2, layout::create_token_account(&funder, &two, &mint()));
        list
    };
    assert!(rules.check(&offered(two, None, &sign(&message(&one, &creating(one))))).is_ok());
    assert!(rules.check(&offered(two, None, &sign(&message(&two, &creating(two))))).is_ok());
    // Whoever pays the fee pays the rent: another one's signature is not there, nor wanted.
    assert!(rules.check(&offered(two, None, &sign(&message(&one, &creating(two))))).is_err());
}

/// Named by another wallet's message, a wallet of ours gives what its next signature would.
#[test]
fn no_other_wallet_of_the_pool_is_anywhere_in_the_message() {
    let (one, two, shop) = (wallet().pubkey(), third().pubkey(), merchant().pubkey());
    let account = layout::token_account(&two, &mint());
    let guard = |meta: AccountMeta| crate::testing::lighthouse(vec![meta]);
    let memo = |meta: AccountMeta| Instruction { accounts: vec![meta], ..layout::memo("x") };
    let transfer = |source: Pubkey, authority: Pubkey| {
        layout::transfer_checked(
            &source,
            &mint(),
            &layout::token_account(&shop, &mint()),
            &authority,
            AMOUNT,
            6,
        )
    };
    let replaced = |at: usize, by: Instruction| {
        let mut list = to(shop);
        list[at] = by;
        list
    };
    let with = |more: Instruction| [to(shop), vec![more]].concat();
    let cases = [
        ("read by a guard", with(guard(AccountMeta::new_readonly(two, false)))),
        ("written by a guard", with(guard(AccountMeta::new(two, false)))),
        ("a signer of a guard", with(guard(AccountMeta::new_readonly(two, true)))),
        ("in a memo", replaced(3, memo(AccountMeta::new_readonly(two, false)))),
        ("a signer of a memo", replaced(3, memo(AccountMeta::new_readonly(two, true)))),
        ("the authority", replaced(2, transfer(payer_source(), two))),
        ("the authority of its own", replaced(2, transfer(account, two))),
        ("the source", replaced(2, transfer(two, payer().pubkey()))),
        ("the owner of the source", replaced(2, transfer(account, payer().pubkey()))),
        ("the recipient", to(two)),
        ("the funder of an account", {
            let mut list = to(shop);
            list.insert(2, layout::create_token_account(&two, &shop, &mint()));
            list
        }),
        ("the owner of an account", {
            let mut list = to(shop);
            list.insert(2, layout::create_token_account(&one, &two, &mint()));
            list
        }),
    ];
    for (name, instructions) in cases {
        let raw = sign(&message(&one, &instructions));
        let both = pool_for(shop).check(&offered(shop, Some(one), &raw));
        assert!(both.is_err(), "{name}");
    }
}

#[test]
fn a_wallet_of_the_pool_is_no_payer() {
    let (one, two, shop) = (wallet().pubkey(), third().pubkey(), merchant().pubkey());
    let destination = layout::token_account(&shop, &mint());
    let source = layout::token_account(&two, &mint());
    let list = changed(|list| {
        list[2] = layout::transfer_checked(&source, &mint(), &destination, &two, AMOUNT, 6);
    });
    let raw = sign(&message(&one, &list));
    let refused = pool_for(shop).check(&offered(shop, Some(one), &raw));
    assert_eq!(refused.err(), Some(SolanaError::FeePayerTransferring));
    // The same of somebody whose wallet it is not.
    assert!(rules_for(shop).check(&offered(shop, Some(one), &raw)).is_ok());
}
