use super::*;

fn keys() -> [[u8; 32]; 4] {
    [[1; 32], [2; 32], [3; 32], [4; 32]]
}

#[test]
fn the_transfer_is_what_spl_token_builds() {
    let [source, mint, destination, authority] = keys().map(Pubkey::new_from_array);
    let ours = transfer_checked(&source, &mint, &destination, &authority, 11_500, 6);
    let [source, mint, destination, authority] = keys().map(Into::into);
    let theirs = spl_token_interface::instruction::transfer_checked(
        &spl_token_interface::ID,
        &source,
        &mint,
        &destination,
        &authority,
        &[],
        11_500,
        6,
    );
    assert_eq!(parse_transfer_checked(&ours.data), Some((11_500, 6)));
    assert_eq!(ours, theirs.unwrap());
}

#[test]
fn the_creation_is_what_spl_associated_token_account_builds() {
    let [funder, owner, mint, _] = keys().map(Pubkey::new_from_array);
    let ours = create_token_account(&funder, &owner, &mint);
    let [funder, owner, mint, _] = keys().map(Into::into);
    let theirs =
        spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent(
            &funder,
            &owner,
            &mint,
            &spl_token_interface::ID,
        );
    assert!(is_ata_create(&theirs.data));
    assert_eq!(ours, theirs);
    let plain_create = spl_associated_token_account_interface::instruction::create_associated_token_account(
        &funder,
        &owner,
        &mint,
        &spl_token_interface::ID,
    );
    assert!(is_ata_create(&plain_create.data));
    let nested = spl_associated_token_account_interface::instruction::recover_nested(
        &funder,
        &owner,
        &mint,
        &spl_token_interface::ID,
    );
    assert!(!is_ata_create(&nested.data));
}

/// The layouts of the token programs' documentation, byte by byte.
#[test]
fn what_is_built_is_what_the_programs_document() {
    let [source, mint, destination, authority] = keys().map(Pubkey::new_from_array);
    let moved = transfer_checked(&source, &mint, &destination, &authority, 11_500, 6);
    assert_eq!(moved.data, [&[12][..], &11_500_u64.to_le_bytes(), &[6]].concat());
    let created = create_token_account(&source, &authority, &mint);
    assert_eq!(created.data, [1]);
    let expected = [source, token_account(&authority, &mint), authority, mint, SYSTEM, TOKEN];
    assert_eq!(created.accounts.iter().map(|meta| meta.pubkey).collect::<Vec<_>>(), expected);
    assert_eq!(TOKEN.to_string(), "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
    assert_eq!(ASSOCIATED_TOKEN.to_string(), "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
    assert_eq!((TOKEN_ACCOUNT_BYTES, MINT_BYTES), (165, 82));
}

/// The whitelist is of exact shapes: what the programs' own parsers take beyond them is refused.
#[test]
fn nothing_parses_that_is_not_encoded_as_the_very_bytes() {
    for first in 0..=u8::MAX {
        for length in 0..=20_usize {
            let mut data = vec![7; length];
            if let Some(kind) = data.first_mut() {
                *kind = first;
            }
            let is_transfer = first == 12 && length == 10;
            assert_eq!(parse_transfer_checked(&data).is_some(), is_transfer, "{first} and {length} bytes");
            let is_creation = length == 0 || (length == 1 && first <= 1);
            assert_eq!(is_ata_create(&data), is_creation, "{first} and {length} bytes");
        }
    }
}

#[test]
fn only_the_transfer_parses_as_one() {
    let [a, b, c, d] = keys().map(Into::into);
    let program = &spl_token_interface::ID;
    use spl_token_interface::instruction as spl;
    for other in [
        spl::transfer(program, &a, &c, &d, &[], 11_500).unwrap(),
        spl::approve_checked(program, &a, &b, &c, &d, &[], 11_500, 6).unwrap(),
        spl::burn_checked(program, &a, &b, &d, &[], 11_500, 6).unwrap(),
        spl::mint_to_checked(program, &b, &c, &d, &[], 11_500, 6).unwrap(),
        spl::close_account(program, &a, &c, &d, &[]).unwrap(),
    ] {
        assert_eq!(parse_transfer_checked(&other.data), None);
    }
    let mut long = transfer_checked(&TOKEN, &TOKEN, &TOKEN, &TOKEN, 1, 6).data;
    long.push(0);
    assert_eq!(parse_transfer_checked(&long), None);
    assert_eq!(parse_transfer_checked(&long[..9]), None);
}

#[test]
fn compute_budget_data_is_read_exactly() {
    assert_eq!(parse_compute_budget(&set_unit_limit(7).data), Some(ComputeBudget::UnitLimit(7)));
    assert_eq!(
        parse_compute_budget(&set_unit_price(u64::MAX).data),
        Some(ComputeBudget::UnitPrice(u64::MAX))
    );
    assert_eq!(parse_compute_budget(&[4, 1, 0, 0, 0]), Some(ComputeBudget::DataLimit(1)));
    for bad in [
        &[][..],
        &[0, 1, 2, 3, 4],
        &[1, 0, 0, 4, 0],
        &[4, 1, 0, 0],
        &[4, 1, 0, 0, 0, 0],
        &[2, 1, 0, 0],
        &[2, 1, 0, 0, 0, 0],
    ] {
        assert_eq!(parse_compute_budget(bad), None, "{bad:?}");
    }
}
