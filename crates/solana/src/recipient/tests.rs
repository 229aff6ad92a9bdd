use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;

use super::*;
use crate::testing::{merchant, mint, third, wallet};

fn standing(owner: &Pubkey, data: Vec<u8>) -> Account {
    Account { owner: owner.to_string(), executable: false, data }
}

fn checked(pay_to: &Pubkey, account: Option<Account>) -> Result<(), SolanaError> {
    check(pay_to, &mint(), &wallet().pubkey(), account.as_ref())
}

fn says(result: Result<(), SolanaError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_token_account_a_mint_or_a_program_swallows_the_income_and_is_refused() {
    let pay_to = third().pubkey();
    let token_account = |len: usize| {
        let mut data = [mint().to_bytes(), merchant().pubkey().to_bytes()].concat();
        data.resize(len, 0);
        data
    };
    for program in [layout::TOKEN, TOKEN_2022] {
        let error = says(checked(&pay_to, Some(standing(&program, token_account(165)))));
        assert!(
            error.contains("token account") && error.contains(&merchant().pubkey().to_string()),
            "{error}"
        );
        assert!(says(checked(&pay_to, Some(standing(&program, vec![0; 82])))).contains("a mint"));
        assert_eq!(checked(&pay_to, Some(standing(&program, vec![0; 355]))), Ok(()), "a multisig");
    }
    let mut extended = token_account(200);
    extended[TYPE_AT] = 2;
    assert!(says(checked(&pay_to, Some(standing(&TOKEN_2022, extended.clone())))).contains("token account"));
    extended[TYPE_AT] = TYPE_MINT;
    assert!(says(checked(&pay_to, Some(standing(&TOKEN_2022, extended)))).contains("a mint"));

    assert!(says(checked(&mint(), None)).contains("mint"));
    let own = layout::token_account(&wallet().pubkey(), &mint());
    assert!(says(checked(&own, None)).contains("token account"), "before it exists, too");
    for program in PROGRAMS {
        assert!(says(checked(&program, None)).contains("program"));
    }
    let program = Account { executable: true, ..standing(&LOADERS[3], vec![]) };
    assert!(says(checked(&pay_to, Some(program))).contains("program"));
    assert!(says(checked(&pay_to, Some(standing(&LOADERS[3], vec![1; 45])))).contains("runtime"), "its code");
    assert!(says(checked(&pay_to, Some(standing(&SYSVAR, vec![])))).contains("runtime"));
}

#[test]
fn wallets_and_what_programs_sign_for_are_taken() {
    let vault = Pubkey::find_program_address(&[b"vault"], &third().pubkey()).0;
    assert!(!vault.is_on_curve());
    for pay_to in [merchant().pubkey(), wallet().pubkey(), vault] {
        assert_eq!(checked(&pay_to, None), Ok(()));
        assert_eq!(checked(&pay_to, Some(standing(&layout::SYSTEM, vec![]))), Ok(()));
    }
    assert_eq!(
        checked(&vault, Some(standing(&third().pubkey(), vec![7; 300]))),
        Ok(()),
        "a program's own account"
    );
}
