use super::*;

/// A mint of Token-2022 with six decimals and these extensions.
pub(crate) fn mint_with(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut data = vec![0; Mint::LEN];
    (data[44], data[45]) = (6, 1);
    with(data, 1, extensions)
}

/// A token account of Token-2022 with these extensions.
fn account_with(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut data = vec![0; Account::LEN];
    data[108] = 1;
    with(data, 2, extensions)
}

fn with(mut data: Vec<u8>, kind: u8, extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    if !extensions.is_empty() {
        data.resize(Account::LEN, 0);
        data.push(kind);
    }
    for (extension, value) in extensions {
        data.extend(extension.to_le_bytes());
        data.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        data.extend(value);
    }
    data
}

fn code(extension: ExtensionType) -> u16 {
    extension.into()
}

fn read(extension: ExtensionType, value: Vec<u8>) -> Option<MintFault> {
    let data = mint_with(&[(code(extension), value)]);
    read_mint(TokenProgram::Token2022, &data, false).unwrap().fault
}

/// A fee of so many basis points now, and from another epoch on.
fn fee(older: u16, newer: u16) -> Vec<u8> {
    let of = |points: u16| [vec![0; 16], points.to_le_bytes().to_vec()].concat();
    [vec![0; 72], of(older), of(newer)].concat()
}

/// With nothing in it but zeros: no program, no fee, no pause. Whoever adds one to the program makes
/// this test fail until it is judged.
#[test]
fn every_extension_of_the_program_is_judged_and_no_other_is_taken() {
    use ExtensionType as E;
    let taken = [
        E::MetadataPointer,
        E::TokenMetadata,
        E::GroupPointer,
        E::TokenGroup,
        E::GroupMemberPointer,
        E::TokenGroupMember,
        E::MintCloseAuthority,
        E::PermissionedBurn,
        E::ConfidentialTransferMint,
        E::ConfidentialTransferFeeConfig,
        E::TransferFeeConfig,
        E::TransferHook,
        E::Pausable,
    ];
    let length = |extension| match extension {
        E::TransferFeeConfig => 108,
        E::TransferHook => 64,
        E::Pausable => 33,
        _ => 1,
    };
    let mut judged = 0;
    // The padding, number 0, ends what is read.
    for number in 1..u16::MAX {
        let Ok(extension) = E::try_from(number) else { continue };
        judged += 1;
        let fault = read(extension, vec![0; length(extension)]);
        assert_eq!(fault.is_none(), taken.contains(&extension), "{extension:?}: {fault:?}");
    }
    assert_eq!(judged, 28, "the pinned version's");
    let unknown = mint_with(&[(29, vec![0])]);
    let fault = read_mint(TokenProgram::Token2022, &unknown, true).unwrap().fault.unwrap();
    assert_eq!((fault.extension, fault.is_pause), ("an unknown extension", false));
    let behind = mint_with(&[(code(E::MetadataPointer), vec![0; 64]), (29, vec![0])]);
    assert!(read_mint(TokenProgram::Token2022, &behind, true).unwrap().fault.is_some());
    assert_eq!(read_mint(TokenProgram::Token2022, &mint_with(&[]), false).unwrap().fault, None);
}

#[test]
fn what_an_extension_says_decides_where_it_may_say_either() {
    use ExtensionType as E;
    for (extension, value, what) in [
        (E::TransferFeeConfig, fee(1, 0), Some(("TransferFeeConfig", false))),
        (E::TransferFeeConfig, fee(0, 1), Some(("TransferFeeConfig", false))),
        (E::TransferFeeConfig, fee(0, 0), None),
        (E::TransferFeeConfig, vec![0; 3], Some(("TransferFeeConfig", false))),
        (E::TransferHook, [vec![0; 32], vec![7; 32]].concat(), Some(("TransferHook", false))),
        (E::TransferHook, [vec![7; 32], vec![0; 32]].concat(), None),
        (E::Pausable, [vec![7; 32], vec![1]].concat(), Some(("Pausable", true))),
        (E::Pausable, [vec![7; 32], vec![0]].concat(), None),
        (E::DefaultAccountState, vec![1], None),
        (E::DefaultAccountState, vec![2], Some(("DefaultAccountState", false))),
    ] {
        let fault = read(extension, value.clone());
        assert_eq!(fault.map(|fault| (fault.extension, fault.is_pause)), what, "{extension:?} {value:?}");
    }
    // What is worse than a pause is told first.
    let both = [(code(E::Pausable), [vec![7; 32], vec![1]].concat()), (code(E::NonTransferable), vec![])];
    let fault = read_mint(TokenProgram::Token2022, &mint_with(&both), false).unwrap().fault.unwrap();
    assert_eq!(fault.extension, "NonTransferable");
    let delegate = mint_with(&[(code(E::PermanentDelegate), vec![7; 32])]);
    let fault = |trusting| read_mint(TokenProgram::Token2022, &delegate, trusting).unwrap().fault;
    assert!(fault(false).is_some_and(|fault| fault.problem.contains("permanent_delegate = true")));
    assert_eq!(fault(true), None);
}

#[test]
fn a_mint_is_of_its_own_program_and_says_how_large_its_accounts_are() {
    let mut plain = vec![0; Mint::LEN];
    assert_eq!(read_mint(TokenProgram::Token, &plain, false), None);
    (plain[44], plain[45]) = (6, 1);
    let read = |program, data: &[u8]| read_mint(program, data, false);
    let sizes = |program, data: &[u8]| read(program, data).map(|mint| (mint.decimals, mint.account_bytes));
    assert_eq!(sizes(TokenProgram::Token, &plain), Some((6, 165)));
    assert_eq!(sizes(TokenProgram::Token2022, &plain), Some((6, 170)));
    let hooked = mint_with(&[(code(ExtensionType::TransferHook), vec![0; 64])]);
    assert_eq!(sizes(TokenProgram::Token2022, &hooked), Some((6, 175)));
    assert_eq!(sizes(TokenProgram::Token, &hooked), None, "82 bytes");
    assert_eq!(sizes(TokenProgram::Token2022, &account_with(&[(7, vec![])])), None, "an account");
    plain.push(0);
    assert_eq!(read(TokenProgram::Token, &plain), None);
}

#[test]
fn an_account_that_takes_no_plain_transfer_is_told_of() {
    use ExtensionType as E;
    let of = |extension, value: Vec<u8>| refuses(&account_with(&[(code(extension), value)]));
    for extension in [E::ImmutableOwner, E::CpiGuard, E::TransferFeeAmount, E::TransferHookAccount] {
        assert_eq!(of(extension, vec![0]), None, "{extension:?}");
    }
    assert_eq!(refuses(&account_with(&[])), None);
    assert_eq!(of(E::MemoTransfer, vec![0]), None);
    assert!(of(E::MemoTransfer, vec![1]).is_some_and(|why| why.contains("memo")));
    let mut confidential = vec![0; size_of::<ConfidentialTransferAccount>()];
    assert!(of(E::ConfidentialTransferAccount, confidential.clone()).is_some());
    let plain = std::mem::offset_of!(ConfidentialTransferAccount, allow_non_confidential_credits);
    confidential[plain] = 1;
    assert_eq!(of(E::ConfidentialTransferAccount, confidential), None);
    assert!(of(E::NonTransferableAccount, vec![]).is_some());
    assert!(refuses(&account_with(&[(29, vec![0])])).is_some(), "unknown");
    assert!(of(E::TransferFeeConfig, vec![0; 108]).is_some(), "a mint's");
}
