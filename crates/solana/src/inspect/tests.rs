use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{ErrorCode as C, PaymentKey};
use serde_json::{Value, json};
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::VersionedMessage;
use solana_sdk::signature::Signer;

use super::budget::priority_fee;
use super::*;
use crate::error::MalformedTransaction;
use crate::testing::*;

mod bytes;
mod guards;
mod pool;
mod token_2022;
mod v1;

fn check(instructions: &[Instruction]) -> Result<SolanaPayment, SolanaError> {
    rules().check(&payload(&transaction(instructions)))
}

/// The official transaction, changed.
fn changed(change: impl FnOnce(&mut Vec<Instruction>)) -> Vec<Instruction> {
    let mut instructions = official();
    change(&mut instructions);
    instructions
}

fn transfer_to(destination: &Pubkey, authority: &Pubkey, source: &Pubkey) -> Instruction {
    layout::transfer_checked(source, &mint(), destination, authority, AMOUNT, 6)
}

/// `SetLoadedAccountsDataSizeLimit`.
fn data_limit(bytes: u32) -> Instruction {
    Instruction::new_with_bytes(
        layout::COMPUTE_BUDGET,
        &[&[4], &bytes.to_le_bytes()[..]].concat(),
        Vec::new(),
    )
}

fn payer_source() -> Pubkey {
    layout::token_account(&payer().pubkey(), &mint())
}

#[test]
fn what_honest_clients_send_is_accepted() {
    let payer_key = payer().pubkey();
    let signed_memo = Instruction {
        accounts: vec![AccountMeta::new_readonly(payer_key, true)],
        ..layout::memo("signed by the payer")
    };
    let mut plain_create = with_creation();
    plain_create[2].data.clear();
    for (name, instructions, creates) in [
        ("official client", official(), false),
        ("no memo", official()[..3].to_vec(), false),
        ("transfer alone", vec![transfer_of(AMOUNT)], false),
        ("compute budget last", vec![transfer_of(AMOUNT), layout::set_unit_limit(20_000)], false),
        ("CreateIdempotent", with_creation(), true),
        ("Create", plain_create, true),
        ("memo signed by the payer", changed(|i| i[3] = signed_memo), false),
        // What wallets put in to be taken into a block sooner.
        ("loaded data size", changed(|i| i.insert(0, data_limit(64 * 1024))), false),
    ] {
        let payment = check(&instructions).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(payment.payer(), payer_key.to_string(), "{name}");
        assert_eq!(payment.amount(), Amount::new(AMOUNT), "{name}");
        assert_eq!(payment.creates_token_account(), creates, "{name}");
        let signed = payload(&transaction(&instructions)).payload;
        assert_eq!(crate::identity::amount(&signed), Some(Amount::new(AMOUNT)), "{name}");
    }
    for odd in [
        json!({}),
        json!({"transaction": "AA=="}),
        payload(&transaction(&[layout::set_unit_limit(1)])).payload,
    ] {
        assert_eq!(crate::identity::amount(&odd), None, "{odd}");
    }
}

/// Made by `ExactSvmScheme` of the npm package `@x402/svm` 2.27.0 with this
/// crate's test keys, `extra.feePayer`, `extra.recentBlockhash` and `extra.memo`.
const OFFICIAL_CLIENT: &str = "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABDZCxFlA2AvC2kYkMOToFVhuEr3r1xdvI5etk0g+vtxPZlqxRn1R5r6Cz9xUtAE+cxgptj7DXjYR7gDDaTajwDgAIBBAiKiOPddAnxlf1S2y08ul1yymcJvx2UEhvzdIgBtA9vXIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOUOY71FUVuuTFkpmS/eMuv2hLhx54B8yEz/n4VskhOyPj3w7zD5Bzgc0VAmmA1BTmvgR6lkpj9smaDcIK6sQG8HwMGRm/lIRcy/+ytunLDm+e8jOW7xfcSayxDmzpAAAAA/RckOFqgx1tk+3jNYC+h2ZH96/drE8WO1wLqyDXp9hgFSlNamSkhBk0k6HFg2jh8fDW13bySu4HkH6hAQQVEjQbd9uHXZaGT2cvhRs7reawctIXtX1s3kTqM9YV+/wCpBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcEBAAFAiBOAAAEAAkDAQAAAAAAAAAHBAIFAwEKDOwsAAAAAAAABgYAD29mZmljaWFsIGNsaWVudAA=";

#[test]
fn the_official_clients_own_bytes_are_accepted() {
    let mut payload = payload(&[]);
    payload.payload["transaction"] = json!(OFFICIAL_CLIENT);
    let payment = rules().check(&payload).unwrap();
    assert_eq!(payment.payer(), payer().pubkey().to_string());
    assert_eq!(payment.priority_fee_lamports(), 1);
    assert_eq!(payment.check_memo("official client"), Ok(()));
}

#[test]
fn a_legacy_message_and_a_separate_recipient_are_accepted() {
    let raw = sign(&legacy_message(&wallet().pubkey(), &official()));
    rules().check(&payload(&raw)).unwrap();

    let separate = rules_for(merchant().pubkey());
    let transfer = transfer_to(&separate.token_account, &payer().pubkey(), &payer_source());
    let create = layout::create_token_account(&wallet().pubkey(), &merchant().pubkey(), &mint());
    let payment = separate.inspect(transaction(&[create, transfer]), Amount::new(AMOUNT)).unwrap();
    assert!(payment.creates_token_account());
}

/// Every refusal that depends on the instructions, each properly signed so
/// that it reaches its check.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_shape_off_the_list_is_refused() {
    let ours = wallet().pubkey();
    let user = payer().pubkey();
    let stranger = third().pubkey();
    let token_account = rules().token_account;
    let compute = |data: Vec<u8>| Instruction { program_id: layout::COMPUTE_BUDGET, accounts: vec![], data };
    let system = |data: Vec<u8>, accounts: Vec<AccountMeta>| Instruction {
        program_id: layout::SYSTEM,
        accounts,
        data,
    };
    let token = |data: Vec<u8>| Instruction {
        program_id: layout::TOKEN,
        accounts: vec![AccountMeta::new(payer_source(), false), AccountMeta::new_readonly(user, true)],
        data,
    };
    let with_memo_account = |meta| Instruction { accounts: vec![meta], ..layout::memo("x") };
    let nonce = system(
        vec![4, 0, 0, 0],
        vec![
            AccountMeta::new(Pubkey::new_from_array([8; 32]), false),
            AccountMeta::new_readonly(Pubkey::new_from_array([6; 32]), false),
            AccountMeta::new_readonly(user, true),
        ],
    );
    let sol = |from: Pubkey| {
        let to = AccountMeta::new(stranger, false);
        system(
            [vec![2, 0, 0, 0], 5_u64.to_le_bytes().to_vec()].concat(),
            vec![AccountMeta::new(from, true), to],
        )
    };
    let foreign_creation = |funder: &Pubkey, owner: &Pubkey, mint: &Pubkey| {
        let creation = layout::create_token_account(funder, owner, mint);
        changed(move |i| i.insert(2, creation))
    };
    let creation_with = |change: fn(&mut Instruction)| {
        let mut instructions = with_creation();
        change(&mut instructions[2]);
        instructions
    };
    let mut multisig = transfer_of(AMOUNT);
    multisig.accounts.push(AccountMeta::new_readonly(user, true));
    let mut unsigned = transfer_of(AMOUNT);
    unsigned.accounts[3] = AccountMeta::new_readonly(stranger, false);
    let mut token_2022 = transfer_of(AMOUNT);
    token_2022.program_id = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
    let mut plain_transfer = transfer_of(AMOUNT);
    plain_transfer.data = [vec![3], AMOUNT.to_le_bytes().to_vec()].concat();
    let mut longer = transfer_of(AMOUNT);
    longer.data.push(0);
    let mut wrong_mint = transfer_of(AMOUNT);
    wrong_mint.accounts[1] = AccountMeta::new_readonly(stranger, false);
    let mut wrong_decimals = transfer_of(AMOUNT);
    wrong_decimals.data[9] = 5;
    let from_us = layout::token_account(&ours, &mint());

    let limit = C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstruction;
    let limit_high = C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstructionTooHigh;
    let price = C::InvalidExactSvmPayloadTransactionInstructionsComputePriceInstruction;
    let price_high = C::InvalidExactSvmPayloadTransactionInstructionsComputePriceInstructionTooHigh;
    let optional = C::InvalidExactSvmPayloadUnknownOptionalInstruction;
    let fourth = C::InvalidExactSvmPayloadUnknownFourthInstruction;
    let fifth = C::InvalidExactSvmPayloadUnknownFifthInstruction;
    let self_spend = C::InvalidExactSvmPayloadTransactionFeePayerTransferringFunds;
    let no_transfer = C::InvalidExactSvmPayloadNoTransferInstruction;
    let exposed = C::InvalidExactSvmInvalidFeePayer;
    let memo = C::InvalidExactSvmPayloadMemoMismatch;

    let table: Vec<(&str, Vec<Instruction>, C)> = vec![
        // compute budget
        ("limit above cap", changed(|i| i[0] = layout::set_unit_limit(200_001)), limit_high),
        ("limit twice", changed(|i| i.push(layout::set_unit_limit(20_000))), limit),
        ("limit too short", changed(|i| i[0] = compute(vec![2, 1, 0])), limit),
        ("limit with accounts", changed(|i| i[0].accounts.push(AccountMeta::new(user, true))), limit),
        ("heap frame", changed(|i| i.push(compute(vec![1, 0, 0, 4, 0]))), limit),
        ("loaded data size of zero", changed(|i| i.push(compute(vec![4, 0, 0, 0, 0]))), limit),
        ("loaded data size too short", changed(|i| i.push(compute(vec![4, 0, 0, 1]))), limit),
        (
            "loaded data size twice",
            changed(|i| i.extend([compute(vec![4, 0, 0, 1, 0]), compute(vec![4, 0, 0, 1, 0])])),
            limit,
        ),
        ("price above cap", changed(|i| i[1] = layout::set_unit_price(5_000_001)), price_high),
        ("price twice", changed(|i| i.push(layout::set_unit_price(1))), price),
        ("price too short", changed(|i| i[1] = compute(vec![3, 1])), price),
        ("fee above cap", changed(|i| i[1] = layout::set_unit_price(500_001)), price_high),
        // Two instructions are not compute budget, one is: 403,000 units by default.
        (
            "fee of the default limit",
            changed(|i| {
                i[1] = layout::set_unit_price(24_814);
                i.remove(0);
            }),
            price_high,
        ),
        // transfer
        ("nothing but a memo", vec![layout::memo("x")], no_transfer),
        ("unchecked transfer", changed(|i| i[2] = plain_transfer), no_transfer),
        ("Token-2022", changed(|i| i[2] = token_2022), no_transfer),
        ("trailing transfer data", changed(|i| i[2] = longer), no_transfer),
        ("multisig signer", changed(|i| i[2] = multisig), no_transfer),
        (
            "fee payer as authority",
            changed(|i| i[2] = transfer_to(&token_account, &ours, &payer_source())),
            self_spend,
        ),
        (
            "our account as source",
            changed(|i| i[2] = transfer_to(&token_account, &user, &from_us)),
            self_spend,
        ),
        ("authority does not sign", changed(|i| i[2] = unsigned), C::InvalidExactSvmPayloadSignatureInvalid),
        ("another mint", changed(|i| i[2] = wrong_mint), C::InvalidExactSvmPayloadMintMismatch),
        ("other decimals", changed(|i| i[2] = wrong_decimals), C::InvalidExactSvmPayloadMintMismatch),
        (
            "another account",
            changed(|i| i[2] = transfer_to(&stranger, &user, &payer_source())),
            C::InvalidExactSvmPayloadRecipientMismatch,
        ),
        (
            "owner as account",
            changed(|i| i[2] = transfer_to(&ours, &user, &payer_source())),
            C::InvalidExactSvmPayloadRecipientMismatch,
        ),
        ("one more", changed(|i| i[2] = transfer_of(AMOUNT + 1)), C::InvalidExactSvmPayloadAmountMismatch),
        ("one less", changed(|i| i[2] = transfer_of(AMOUNT - 1)), C::InvalidExactSvmPayloadAmountMismatch),
        ("second transfer", changed(|i| i.push(transfer_of(AMOUNT))), fifth),
        (
            "second transfer, of other amount, first",
            changed(|i| i.insert(0, transfer_of(1))),
            C::InvalidExactSvmPayloadAmountMismatch,
        ),
        // other programs
        ("approve", changed(|i| i.insert(3, token(vec![4, 1, 0, 0, 0, 0, 0, 0, 0]))), fourth),
        ("close account", changed(|i| i.insert(3, token(vec![9]))), fourth),
        ("durable nonce", changed(|i| i.insert(0, nonce)), optional),
        ("SOL from us", changed(|i| i.insert(3, sol(ours))), fourth),
        ("SOL from the payer", changed(|i| i.insert(3, sol(user))), fourth),
        (
            "memo v1",
            changed(|i| {
                i[3].program_id = Pubkey::from_str_const("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
            }),
            fourth,
        ),
        // creation
        ("creation for a stranger", foreign_creation(&ours, &stranger, &mint()), optional),
        ("creation for the payer", foreign_creation(&ours, &user, &mint()), optional),
        ("creation of another mint", foreign_creation(&ours, &ours, &stranger), optional),
        ("creation funded by the payer", foreign_creation(&user, &ours, &mint()), optional),
        (
            "creation after the transfer",
            changed(|i| i.push(layout::create_token_account(&ours, &ours, &mint()))),
            fifth,
        ),
        (
            "creation twice",
            changed(|i| {
                for _ in 0..2 {
                    i.insert(2, layout::create_token_account(&ours, &ours, &mint()))
                }
            }),
            fourth,
        ),
        ("recover nested", creation_with(|i| i.data = vec![2]), optional),
        ("creation with trailing data", creation_with(|i| i.data = vec![1, 0]), optional),
        (
            "creation with an extra account",
            creation_with(|i| i.accounts.push(AccountMeta::new_readonly(layout::MEMO, false))),
            optional,
        ),
        (
            "creation by another system",
            creation_with(|i| i.accounts[4] = AccountMeta::new_readonly(layout::MEMO, false)),
            optional,
        ),
        // memo
        ("two memos", changed(|i| i.push(layout::memo("y"))), C::InvalidExactSvmPayloadMemoCount),
        ("memo too long", changed(|i| i[3] = layout::memo(&"x".repeat(257))), memo),
        ("memo not UTF-8", changed(|i| i[3].data = vec![0xff]), memo),
        (
            "memo names a stranger",
            changed(|i| i[3] = with_memo_account(AccountMeta::new_readonly(stranger, false))),
            memo,
        ),
        (
            "fee payer as memo signer",
            changed(|i| i[3] = with_memo_account(AccountMeta::new_readonly(ours, true))),
            exposed,
        ),
        // the whole
        ("no instructions", vec![], C::InvalidExactSvmPayloadTransactionInstructionsLength),
        (
            "third signer",
            changed(|i| i.push(lighthouse(vec![AccountMeta::new_readonly(stranger, true)]))),
            C::InvalidExactSvmPayloadExcessiveSigners,
        ),
    ];
    for (name, instructions, expected) in table {
        let error = check(&instructions).expect_err(name);
        assert_eq!(error.wire_code(), expected, "{name}: {error}");
    }
}

#[test]
fn the_recipient_may_not_pay_itself() {
    let separate = rules_for(merchant().pubkey());
    let source = layout::token_account(&third().pubkey(), &mint());
    let transfer = transfer_to(&separate.token_account, &merchant().pubkey(), &source);
    let refused = separate.inspect(transaction(&[transfer]), Amount::new(AMOUNT));
    assert_eq!(refused, Err(SolanaError::FeePayerTransferring));
}

#[test]
fn the_fee_payer_is_account_0_and_ours() {
    let raw = sign(&message(&third().pubkey(), &official()));
    assert_eq!(rules().check(&payload(&raw)).err(), Some(SolanaError::FeePayerMismatch));
    let raw = sign(&message(&payer().pubkey(), &official()));
    assert_eq!(rules().check(&payload(&raw)).err(), Some(SolanaError::FeePayerMismatch));
}

#[test]
fn a_priority_fee_at_the_cap_passes_and_is_rounded_up() {
    let at_cap = changed(|i| i[1] = layout::set_unit_price(500_000));
    assert_eq!(check(&at_cap).unwrap().priority_fee_lamports(), 10_000);
    assert_eq!(check(&official()).unwrap().priority_fee_lamports(), 1);
    let default_limit = changed(|i| {
        i[1] = layout::set_unit_price(24_813);
        i.remove(0);
    });
    assert_eq!(check(&default_limit).unwrap().priority_fee_lamports(), 10_000);
    assert_eq!(priority_fee(u32::MAX, u64::MAX), u64::MAX);
}

/// The runtime adds the units of built-in programs to its default, those of the price's own
/// instruction too: whoever set no limit made us pay up to 150 lamports more than was quoted.
#[test]
fn a_price_without_a_limit_is_paid_for_its_own_instruction_too() {
    let unlimited = changed(|i| {
        i[1] = layout::set_unit_price(1_000);
        i.remove(0);
    });
    assert_eq!(check(&unlimited).unwrap().priority_fee_lamports(), 403);
    assert_eq!(check(&unlimited[..2]).unwrap().priority_fee_lamports(), 203);
}

#[test]
fn accepted_is_checked_before_the_transaction() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(payload(b"no transaction at all")).unwrap();
        change(&mut value);
        rules().check(&serde_json::from_value(value).unwrap()).unwrap_err()
    };
    let stranger = third().pubkey().to_string();
    let undecodable = C::InvalidExactSvmPayloadTransactionCouldNotBeDecoded;
    let table: [(&str, &str, Value, C); 12] = [
        ("/accepted/scheme", "upto", json!("upto"), C::InvalidExactSvmUnsupportedScheme),
        ("/accepted/network", "devnet", json!(Network::SOLANA_DEVNET), C::InvalidExactSvmNetworkMismatch),
        ("/accepted/asset", "another", json!(stranger), C::InvalidExactSvmPayloadMintMismatch),
        ("/accepted/payTo", "another", json!(stranger), C::InvalidExactSvmPayloadRecipientMismatch),
        ("/accepted/amount", "text", json!("1.5"), C::InvalidExactSvmPayloadAmountMismatch),
        ("/accepted/amount", "leading zero", json!("011500"), C::InvalidExactSvmPayloadAmountMismatch),
        (
            "/accepted/extra/feePayer",
            "another",
            json!(stranger),
            C::InvalidExactSvmFeePayerNotManagedByFacilitator,
        ),
        ("/accepted/extra/feePayer", "number", json!(5), C::InvalidExactSvmFeePayerNotManagedByFacilitator),
        ("/accepted/extra/feePayer", "null", Value::Null, undecodable),
        ("/payload/transaction", "number", json!(5), C::InvalidExactSvmPayloadTransaction),
        ("/payload/transaction", "not base64", json!("***"), undecodable),
        ("/payload/transaction", "long", json!("A".repeat(4_000)), undecodable),
    ];
    for (pointer, name, value, expected) in table {
        let error = with(&|payload| *payload.pointer_mut(pointer).unwrap() = value.clone());
        assert_eq!(error.wire_code(), expected, "{pointer} {name}: {error}");
    }
    assert_eq!(
        with(&|payload| payload["accepted"]["maxAmountRequired"] = json!("1")),
        SolanaError::AmountMismatch
    );
}

#[test]
fn base64_has_one_spelling() {
    let raw = transaction(&official());
    let text = STANDARD.encode(&raw);
    let unpadded = text.trim_end_matches('=').to_owned();
    for bad in [format!("{text}\n"), format!(" {text}"), text.replace(['+', '/'], "-")] {
        assert_ne!(bad, text);
        assert!(decode_base64(&bad).is_err());
    }
    assert_eq!(decode_base64(&unpadded).is_err(), unpadded != text);
    assert_eq!(decode_base64(&text).unwrap(), raw);
}

#[test]
fn imgnai_clients_send_the_payer_and_no_extra() {
    let mut payload = payload(&transaction(&official()));
    payload.accepted.extra.clear();
    payload.payload["payer"] = json!(payer().pubkey().to_string());
    rules().check(&payload).unwrap();
    for liar in [third().pubkey().to_string(), wallet().pubkey().to_string(), String::new()] {
        payload.payload["payer"] = json!(liar);
        assert_eq!(rules().check(&payload), Err(SolanaError::PayerMismatch));
    }
}

#[test]
fn a_payment_survives_the_ledger() {
    let payment = check(&with_creation()).unwrap();
    let json = serde_json::to_string(&payment).unwrap();
    assert_eq!(serde_json::from_str::<SolanaPayment>(&json).unwrap(), payment);
    let cut = json.replace("\"transaction\":\"", "\"transaction\":\"AAAA");
    assert!(serde_json::from_str::<SolanaPayment>(&cut).is_err());
}

#[test]
fn a_demanded_memo_must_match() {
    let payment = check(&changed(|i| i[3] = layout::memo("order 7"))).unwrap();
    assert_eq!(payment.check_memo("order 7"), Ok(()));
    assert_eq!(payment.check_memo("order 8"), Err(SolanaError::MemoMismatch));
    let silent = check(&official()[..3]).unwrap();
    assert_eq!(silent.check_memo("order 7"), Err(SolanaError::MemoCount));
}

#[test]
fn the_memo_in_extra_is_enforced() {
    let with = |memo: Value, instructions: &[Instruction]| {
        let mut payload = payload(&transaction(instructions));
        payload.accepted.extra.insert("memo".to_owned(), memo);
        rules().check(&payload).map(drop)
    };
    let ordered = changed(|i| i[3] = layout::memo("order 7"));
    let twice = changed(|i| {
        i[3] = layout::memo("order 7");
        i.push(layout::memo("order 7"));
    });
    assert_eq!(with(json!("order 7"), &ordered), Ok(()));
    assert_eq!(with(json!("order 8"), &ordered), Err(SolanaError::MemoMismatch));
    assert_eq!(with(json!("order 7 "), &ordered), Err(SolanaError::MemoMismatch));
    assert_eq!(with(json!(["order 7"]), &ordered), Err(SolanaError::MemoMismatch));
    assert_eq!(with(json!("order 7"), &official()[..3]), Err(SolanaError::MemoCount));
    assert_eq!(with(json!("order 7"), &twice), Err(SolanaError::MemoCount));
    // As for the reference, an empty one demands nothing.
    for nothing in [json!(""), json!(null)] {
        assert_eq!(with(nothing, &official()[..3]), Ok(()));
    }
}

/// The signature of a transaction that was found good a moment ago, and is remembered.
#[test]
fn a_good_signature_is_good_for_nothing_else() {
    let (first, second) = (transaction(&official()), transaction(&with_creation()));
    let with_signature_of = |message: &[u8], signed: &[u8]| {
        let mut raw = message.to_vec();
        raw[65..129].copy_from_slice(&signed[65..129]);
        raw
    };
    let checked = |raw: &[u8]| rules().check(&payload(raw)).map(drop);
    for _ in 0..3 {
        assert_eq!((checked(&first), checked(&second)), (Ok(()), Ok(())), "copies pass");
        for (message, signed) in [(&first, &second), (&second, &first)] {
            let swapped = with_signature_of(message, signed);
            assert_eq!(checked(&swapped), Err(SolanaError::SignatureInvalid));
        }
        for at in 65..first.len() {
            let mut bent = first.clone();
            bent[at] ^= 1;
            assert!(checked(&bent).is_err(), "byte {at}");
        }
        // All that is no signature is compared each time.
        assert!(rules_for(merchant().pubkey()).check(&payload(&first)).is_err(), "another recipient");
        let mut dearer = payload(&first);
        dearer.accepted.amount = (AMOUNT + 1).to_string();
        assert_eq!(rules().check(&dearer).err(), Some(SolanaError::AmountMismatch));
    }
}
