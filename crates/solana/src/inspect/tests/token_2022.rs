//! The same whitelist for a token of Token-2022.

use super::*;
use crate::token::TokenProgram;

const P: TokenProgram = TokenProgram::Token2022;

fn own_rules() -> Rules {
    let ours = wallet().pubkey();
    let token_account = layout::token_account_of(&ours, &mint(), P);
    Rules { program: P, wallets: vec![OwnWallet::of(ours, &mint(), P)], token_account, ..rules() }
}

fn account(owner: &Pubkey) -> Pubkey {
    layout::token_account_of(owner, &mint(), P)
}

fn transfer(source: &Pubkey, amount: u64) -> Instruction {
    let (to, payer) = (own_rules().token_account, payer().pubkey());
    layout::transfer_checked_of(P, [source, &mint(), &to, &payer], (amount, 6))
}

fn paid() -> Vec<Instruction> {
    vec![
        layout::set_unit_limit(20_000),
        layout::set_unit_price(1),
        transfer(&account(&payer().pubkey()), AMOUNT),
        layout::memo("00112233445566778899aabbccddeeff"),
    ]
}

fn checked(instructions: &[Instruction]) -> Result<SolanaPayment, SolanaError> {
    own_rules().check(&payload(&transaction(instructions)))
}

#[test]
fn a_payment_in_it_passes_and_is_found_and_signed_by_its_own_program() {
    let payment = checked(&paid()).unwrap();
    assert_eq!(payment.token_program(), Some(P));
    assert_eq!(payment.destination(), Some(own_rules().token_account));
    // Claimed in it, and signed after another token was configured.
    let today = Rules { mint: third().pubkey(), ..rules() };
    let claim = today.of_claim(&payment, 6);
    assert_eq!((claim.program, claim.token_account), (P, own_rules().token_account));
    claim.inspect(payment.raw().to_vec(), payment.amount()).unwrap();
    let mut created = paid();
    created.insert(2, layout::create_token_account_of(&wallet().pubkey(), &wallet().pubkey(), &mint(), P));
    assert!(checked(&created).unwrap().creates_token_account());
}

#[test]
fn a_transfer_or_a_creation_of_the_other_program_is_refused_and_named() {
    let refused = checked(&official()).unwrap_err();
    assert!(matches!(refused, SolanaError::OtherTokenProgram { index: 2, .. }), "{refused}");
    assert!(refused.to_string().contains(&P.id().to_string()), "{refused}");
    assert_eq!(refused.wire_code(), C::InvalidExactSvmPayloadNoTransferInstruction);
    let other = rules().check(&payload(&transaction(&paid()))).unwrap_err();
    assert!(matches!(other, SolanaError::OtherTokenProgram { index: 2, .. }), "{other}");
    // To the account that the other program would have.
    let (to, payer) = (layout::token_account(&wallet().pubkey(), &mint()), payer().pubkey());
    let mut elsewhere = paid();
    elsewhere[2] = layout::transfer_checked_of(P, [&account(&payer), &mint(), &to, &payer], (AMOUNT, 6));
    assert_eq!(checked(&elsewhere).err(), Some(SolanaError::RecipientMismatch));
    let mut created = paid();
    created.insert(2, layout::create_token_account(&wallet().pubkey(), &wallet().pubkey(), &mint()));
    assert_eq!(checked(&created).err(), Some(SolanaError::TokenAccountCreation { index: 2 }));
    // Both: the second one is on no list.
    let mut both = paid();
    both.push(transfer_of(AMOUNT));
    assert!(matches!(checked(&both), Err(SolanaError::UnknownInstruction { index: 4 })));
}

#[test]
fn p3_our_own_accounts_of_the_program_pay_nothing() {
    for ours in [account(&wallet().pubkey()), wallet().pubkey()] {
        let mut stolen = paid();
        stolen[2] = transfer(&ours, AMOUNT);
        assert_eq!(checked(&stolen).err(), Some(SolanaError::FeePayerTransferring), "{ours}");
    }
    // A fee that the payer names is another instruction of the program, and not the exact amount.
    let mut with_fee = paid();
    with_fee[2].data = [vec![26, 1], AMOUNT.to_le_bytes().to_vec(), vec![6], vec![0; 8]].concat();
    assert_eq!(checked(&with_fee).err(), Some(SolanaError::NoTransfer));
    // A hook's accounts would stand behind.
    let mut hooked = paid();
    hooked[2].accounts.push(AccountMeta::new_readonly(third().pubkey(), false));
    assert_eq!(checked(&hooked).err(), Some(SolanaError::NoTransfer));
}
