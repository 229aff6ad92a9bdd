//! Lighthouse assertions: wallets add them to what their users sign, around the transfer.

use super::*;

fn guard() -> Instruction {
    lighthouse(vec![AccountMeta::new_readonly(payer_source(), false)])
}

/// An assertion about the fee payer's account.
fn reads_us(kind: u8) -> Instruction {
    let ours = AccountMeta::new_readonly(wallet().pubkey(), false);
    Instruction { data: vec![kind, 0], ..lighthouse(vec![ours]) }
}

/// One of the program's instructions that are no assertions.
fn memory(kind: u8, payer: Pubkey, program: Option<Pubkey>) -> Instruction {
    let mut accounts = vec![AccountMeta::new(payer, true)];
    accounts.push(AccountMeta::new(Pubkey::new_from_array([8; 32]), false));
    accounts.extend(program.map(|program| AccountMeta::new_readonly(program, false)));
    Instruction { data: vec![kind, 1, 2], ..lighthouse(accounts) }
}

/// What a browser wallet makes of the official transaction.
fn phantom(before: Instruction, behind: Instruction) -> Vec<Instruction> {
    changed(|i| {
        i.splice(2..2, [before, guard(), guard()]);
        i.push(behind);
    })
}

fn behind(guards: impl IntoIterator<Item = Instruction>) -> Vec<Instruction> {
    changed(|i| i.extend(guards))
}

#[test]
fn up_to_four_guards_pass_wherever_they_stand() {
    let four = || [guard(), guard(), guard(), guard()];
    let creating = [four().to_vec(), with_creation()].concat();
    for (name, instructions) in [
        ("Solflare: two behind", behind([guard(), guard()])),
        ("Phantom: three before the transfer and one behind", phantom(guard(), guard())),
        ("Phantom: two of them read the fee payer", phantom(reads_us(4), reads_us(5))),
        ("four behind", behind(four())),
        ("four in front", [four().to_vec(), official()].concat()),
        ("four in front, and our token account's creation", creating),
        ("all four read the fee payer", behind([2, 4, 17, 255].map(reads_us))),
        ("one looks at nothing", behind([Instruction { data: vec![15, 0], ..lighthouse(vec![]) }])),
        (
            "one of a kind that is not known, without us",
            behind([Instruction { data: vec![52, 0], ..guard() }]),
        ),
        ("the payer pays for a memory", behind([memory(0, payer().pubkey(), Some(layout::SYSTEM))])),
    ] {
        let payment = check(&instructions).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(payment.amount(), Amount::new(AMOUNT), "{name}");
    }
}

#[test]
fn a_fifth_guard_is_refused() {
    let five = || std::iter::repeat_with(guard).take(5);
    let shorter = changed(|i| {
        i.drain(..2);
        i.extend(five());
    });
    let error = check(&shorter).unwrap_err();
    assert_eq!(error.wire_code(), C::InvalidExactSvmPayloadUnknownSeventhInstruction, "{error}");
    assert!(check(&[with_creation(), five().collect()].concat()).is_err());
    let whole = [vec![data_limit(65_536)], with_creation(), five().collect()].concat();
    assert_eq!(check(&whole), Err(SolanaError::InstructionCount { count: 11 }));
    let four = [vec![data_limit(65_536)], with_creation(), five().take(4).collect()].concat();
    assert!(check(&four).is_ok(), "everything that is on the list at once");
}

/// How many guards, times where they stand, times whether they look at the fee payer.
#[test]
fn the_number_of_guards_and_their_places_decide_nothing_else() {
    let places = official().len();
    for count in 0..=LIGHTHOUSE_MAX + 1 {
        for place in 0..=places {
            for reads in [false, true] {
                let one = || if reads { reads_us(5) } else { guard() };
                let instructions = changed(|i| {
                    i.splice(place..place, std::iter::repeat_with(one).take(count));
                });
                let name = format!("{count} at {place}, the fee payer read: {reads}");
                assert_eq!(check(&instructions).is_ok(), count <= LIGHTHOUSE_MAX, "{name}");
                // Between them, too.
                let around = changed(|i| {
                    i.splice(place..place, std::iter::repeat_with(one).take(count / 2));
                    i.extend(std::iter::repeat_with(one).take(count - count / 2));
                });
                assert_eq!(check(&around).is_ok(), count <= LIGHTHOUSE_MAX, "{name}, around");
            }
        }
    }
}

/// What an assertion has besides the account that it looks at.
fn beside(kind: u8, more: &[AccountMeta]) -> Instruction {
    let mut guard = reads_us(kind);
    guard.accounts.extend_from_slice(more);
    guard
}

#[test]
fn whatever_pays_for_no_memory_may_look_at_the_fee_payer() {
    for kind in 0..=u8::MAX {
        let refused = check(&behind([reads_us(kind)])).map_err(|error| error.wire_code());
        match kind {
            0 | 1 => assert_eq!(refused.err(), Some(C::InvalidExactSvmInvalidFeePayer), "{kind}"),
            _ => assert!(refused.is_ok(), "{kind}: {refused:?}"),
        }
    }
    let payers_own = [
        AccountMeta::new(payer_source(), false),
        AccountMeta::new(payer().pubkey(), true),
        AccountMeta::new_readonly(mint(), false),
        AccountMeta::new_readonly(Pubkey::new_from_array([8; 32]), false),
    ];
    for other in payers_own {
        check(&behind([beside(4, std::slice::from_ref(&other))]))
            .unwrap_or_else(|error| panic!("{other:?}: {error}"));
    }
    let separate = rules_for(merchant().pubkey());
    let paid = transfer_to(&separate.token_account, &payer().pubkey(), &payer_source());
    let compared = beside(4, &[AccountMeta::new(separate.token_account, false)]);
    separate.inspect(transaction(&[paid, compared]), Amount::new(AMOUNT)).unwrap();
}

/// A program may call any other that the message names, with what it was given itself: so
/// beside a guard that names the fee payer the message must not name the system program, and
/// the guard must be given nothing writable that could be ours.
#[test]
fn a_guard_that_could_spend_from_the_fee_payer_is_refused() {
    let ours = wallet().pubkey();
    let system = AccountMeta::new_readonly(layout::SYSTEM, false);
    let stranger = Pubkey::new_from_array([8; 32]);
    for (name, guard) in [
        ("a memory that we pay for", memory(0, ours, Some(layout::SYSTEM))),
        ("the same without its program", memory(0, ours, None)),
        ("a memory that is closed for us", memory(1, ours, None)),
        ("no data", Instruction { data: vec![], ..reads_us(4) }),
        ("an assertion beside the system program", beside(4, std::slice::from_ref(&system))),
        ("a kind that nobody has read beside it", beside(52, &[system])),
        (
            "an assertion beside our token account",
            beside(4, &[AccountMeta::new(rules().token_account, false)]),
        ),
        ("an assertion beside what a stranger may fill", beside(4, &[AccountMeta::new(stranger, false)])),
    ] {
        for instructions in [behind([guard.clone()]), phantom(guard.clone(), reads_us(5))] {
            let error = check(&instructions).expect_err(name);
            assert_eq!(error.wire_code(), C::InvalidExactSvmInvalidFeePayer, "{name}: {error}");
        }
    }
    let third_signer = lighthouse(vec![AccountMeta::new_readonly(third().pubkey(), true)]);
    assert_eq!(check(&behind([third_signer])), Err(SolanaError::ExcessiveSigners { count: 3 }));
}

/// Whose account a transfer takes from is not in the message: a guard's program that was replaced
/// could have the payer approved for one of ours.
#[test]
fn a_guard_that_names_the_fee_payer_is_given_no_account_that_could_be_ours() {
    let source = Pubkey::new_from_array([9; 32]);
    let paying_from = |guards: &[Instruction]| {
        changed(|i| {
            let transfer = i.iter().position(|one| one.program_id == layout::TOKEN).unwrap();
            i[transfer].accounts[0].pubkey = source;
            i.extend_from_slice(guards);
        })
    };
    assert!(check(&paying_from(&[reads_us(4)])).is_ok());
    let error = check(&paying_from(&[beside(52, &[AccountMeta::new(source, false)])])).unwrap_err();
    assert_eq!(error.wire_code(), C::InvalidExactSvmInvalidFeePayer, "{error}");
}

#[test]
fn the_system_program_anywhere_in_the_message_is_too_near_the_fee_payer() {
    let creating = |guard: Instruction| [with_creation(), vec![guard]].concat();
    assert!(check(&creating(guard())).is_ok());
    assert_eq!(check(&creating(reads_us(5))), Err(SolanaError::FeePayerExposed { index: 5 }));
    let payers_memory = memory(0, payer().pubkey(), Some(layout::SYSTEM));
    let error = check(&behind([reads_us(5), payers_memory.clone()])).unwrap_err();
    assert_eq!(error, SolanaError::FeePayerExposed { index: 4 });
    // Named by one instruction, it can be called by another.
    let error = check(&behind([payers_memory, reads_us(5)])).unwrap_err();
    assert_eq!(error, SolanaError::FeePayerExposed { index: 5 });
}

/// A message says once what an account may be used for, so no header tells "only read" from
/// "may be debited": the two are the same bytes.
#[test]
fn account_0_is_a_writable_signer_wherever_it_stands() {
    let read = reads_us(4);
    let handed = Instruction { accounts: vec![AccountMeta::new(wallet().pubkey(), true)], ..read.clone() };
    assert_eq!(transaction(&behind([read])), transaction(&behind([handed])));
}
