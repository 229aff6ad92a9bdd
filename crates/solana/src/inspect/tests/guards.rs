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
        ("all four read the fee payer", behind([2, 4, 14, 255].map(reads_us))),
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
    let whole = [with_creation(), five().collect()].concat();
    assert_eq!(check(&whole), Err(SolanaError::InstructionCount { count: 10 }));
}

/// Only the owner of an account debits it, and the owner of our wallet is called only by
/// who was given it: so a guard that names the fee payer can do no more than look at it.
#[test]
fn a_guard_that_could_spend_from_the_fee_payer_is_refused() {
    let ours = wallet().pubkey();
    let given = |program: Pubkey| {
        let mut guard = reads_us(4);
        guard.accounts.push(AccountMeta::new_readonly(program, false));
        guard
    };
    for (name, guard) in [
        ("a memory that we pay for", memory(0, ours, Some(layout::SYSTEM))),
        ("the same without its program", memory(0, ours, None)),
        ("a memory that is closed for us", memory(1, ours, None)),
        ("no data", Instruction { data: vec![], ..reads_us(4) }),
        ("an assertion beside the system program", given(layout::SYSTEM)),
        ("an assertion beside the token program", given(layout::TOKEN)),
        ("an assertion beside the program of creations", given(layout::ASSOCIATED_TOKEN)),
    ] {
        for instructions in [behind([guard.clone()]), phantom(guard.clone(), reads_us(5))] {
            let error = check(&instructions).expect_err(name);
            assert_eq!(error.wire_code(), C::InvalidExactSvmInvalidFeePayer, "{name}: {error}");
        }
    }
    let third_signer = lighthouse(vec![AccountMeta::new_readonly(third().pubkey(), true)]);
    assert_eq!(check(&behind([third_signer])), Err(SolanaError::ExcessiveSigners { count: 3 }));
}

/// A message says once what an account may be used for, so no header tells "only read" from
/// "may be debited": the two are the same bytes.
#[test]
fn account_0_is_a_writable_signer_wherever_it_stands() {
    let read = reads_us(4);
    let handed = Instruction { accounts: vec![AccountMeta::new(wallet().pubkey(), true)], ..read.clone() };
    assert_eq!(transaction(&behind([read])), transaction(&behind([handed])));
}
