//! Which program a token is of, and which mints of Token-2022 payments may be made in.
//!
//! A payment is exact only if nothing but the two parties decides what arrives, whether it can
//! arrive, and who may move it afterwards. What an extension of a mint may do to that is judged
//! here, each extension by itself; one that this build does not know is refused. An authority can
//! add none to a mint that exists, but it may change what stands in one: those are looked at again
//! with every tariff.

use serde::{Deserialize, Serialize};
use solana_program_pack::Pack;
use solana_sdk::pubkey::Pubkey;
use spl_token_2022_interface::extension::confidential_transfer::ConfidentialTransferAccount;
use spl_token_2022_interface::extension::default_account_state::DefaultAccountState;
use spl_token_2022_interface::extension::memo_transfer::MemoTransfer;
use spl_token_2022_interface::extension::pausable::PausableConfig;
use spl_token_2022_interface::extension::transfer_fee::TransferFeeConfig;
use spl_token_2022_interface::extension::transfer_hook::TransferHook;
use spl_token_2022_interface::extension::{BaseStateWithExtensions, ExtensionType, StateWithExtensions};
use spl_token_2022_interface::state::{Account as Account2022, AccountState, Mint as Mint2022};
use spl_token_interface::state::{Account, Mint};

/// The program that a token's mint belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenProgram {
    /// SPL Token.
    #[default]
    Token,
    /// Token-2022.
    #[serde(rename = "token_2022")]
    Token2022,
}

impl TokenProgram {
    pub(crate) const fn id(self) -> Pubkey {
        match self {
            Self::Token => spl_token_interface::ID,
            Self::Token2022 => spl_token_2022_interface::ID,
        }
    }

    pub(crate) fn of_id(id: &Pubkey) -> Option<Self> {
        [Self::Token, Self::Token2022].into_iter().find(|program| program.id() == *id)
    }

    /// Of an account's owner, base58.
    pub(crate) fn of_owner(owner: &str) -> Option<Self> {
        Self::of_id(&owner.parse().ok()?)
    }
}

/// What a mint says that matters to payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MintState {
    pub(crate) decimals: u8,
    /// Size of a token account of it that has just been created.
    pub(crate) account_bytes: usize,
    /// What is wrong with it.
    pub(crate) fault: Option<MintFault>,
}

/// Why payments in a token cannot be exact, or cannot arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintFault {
    /// The extension, by the program's name for it.
    pub extension: &'static str,
    /// What it does.
    pub problem: &'static str,
    /// Whether it only has to be waited for.
    pub is_pause: bool,
}

/// Reads a mint; `None` where the bytes are none of that program.
pub(crate) fn read_mint(program: TokenProgram, data: &[u8], permanent_delegate: bool) -> Option<MintState> {
    if program == TokenProgram::Token {
        let mint = Mint::unpack(data).ok()?;
        return Some(MintState { decimals: mint.decimals, account_bytes: Account::LEN, fault: None });
    }
    let mint = StateWithExtensions::<Mint2022>::unpack(data).ok()?;
    let decimals = mint.base.decimals;
    let unknown = MintFault {
        extension: "an unknown extension",
        problem: "may do anything; this release does not know it",
        is_pause: false,
    };
    let Ok(extensions) = mint.get_extension_types() else {
        return Some(MintState { decimals, account_bytes: Account::LEN, fault: Some(unknown) });
    };
    let judged = extensions.iter().filter_map(|one| judge(*one, &mint, permanent_delegate));
    // A pause ends; what is worse than that is told first.
    let fault = judged.min_by_key(|fault| fault.is_pause);
    Some(MintState { decimals, account_bytes: account_bytes(&extensions), fault })
}

/// The associated token program makes the owner immutable.
fn account_bytes(extensions: &[ExtensionType]) -> usize {
    use ExtensionType as E;
    let of_account = |one: &ExtensionType| match one {
        E::TransferFeeConfig => Some(E::TransferFeeAmount),
        E::TransferHook => Some(E::TransferHookAccount),
        E::NonTransferable => Some(E::NonTransferableAccount),
        E::Pausable => Some(E::PausableAccount),
        _ => None,
    };
    let own = extensions.iter().filter_map(of_account).chain([E::ImmutableOwner]);
    let own: Vec<_> = own.collect();
    ExtensionType::try_calculate_account_len::<Account2022>(&own).unwrap_or(Account::LEN)
}

type MintData<'a> = StateWithExtensions<'a, Mint2022>;

/// The table: every extension of the pinned version of the program's interface, and no other way out
/// of the match. `None`: payments stay exact.
fn judge(extension: ExtensionType, mint: &MintData<'_>, permanent_delegate: bool) -> Option<MintFault> {
    use ExtensionType as E;
    let fault = |extension, problem| Some(MintFault { extension, problem, is_pause: false });
    match extension {
        // It says something about the mint, or who it belongs with.
        E::MetadataPointer | E::TokenMetadata => None,
        E::GroupPointer | E::TokenGroup | E::GroupMemberPointer | E::TokenGroupMember => None,
        // Only a mint without a supply can be closed: nobody is paid in it then, and the look at the
        // mint that comes with each tariff misses it.
        E::MintCloseAuthority => None,
        // Who may burn: no transfer asks.
        E::PermissionedBurn => None,
        // Balances beside the plain one, which no `TransferChecked` touches; an account that takes
        // nothing plain is refused where it is looked at.
        E::ConfidentialTransferMint | E::ConfidentialTransferFeeConfig => None,
        E::TransferFeeConfig => judge_fee(mint),
        E::TransferHook => judge_hook(mint),
        E::Pausable => judge_pause(mint),
        E::DefaultAccountState => judge_default_state(mint),
        E::PermanentDelegate if permanent_delegate => None,
        E::PermanentDelegate => fault(
            "PermanentDelegate",
            "lets its issuer move what anybody holds, what you were paid included; set permanent_delegate = true \
             if you trust the issuer with that",
        ),
        E::NonTransferable => fault("NonTransferable", "cannot be transferred"),
        E::ConfidentialMintBurn => {
            fault("ConfidentialMintBurn", "is issued into hidden balances, which nobody could check")
        }
        // The same number of units is another number of dollars tomorrow.
        E::InterestBearingConfig => {
            fault("InterestBearingConfig", "is worth another sum each day, and amounts are counted in units")
        }
        E::ScaledUiAmount => {
            fault("ScaledUiAmount", "is scaled by its issuer, and amounts are counted in units")
        }
        // Of accounts; no mint of the program has one.
        E::Uninitialized
        | E::TransferFeeAmount
        | E::ConfidentialTransferAccount
        | E::ImmutableOwner
        | E::MemoTransfer
        | E::CpiGuard
        | E::NonTransferableAccount
        | E::TransferHookAccount
        | E::ConfidentialTransferFeeAmount
        | E::PausableAccount => fault("an account's extension", "stands in the mint, where none belongs"),
    }
}

/// A new fee takes effect two epochs after it was set: a look at both is early enough.
fn judge_fee(mint: &MintData<'_>) -> Option<MintFault> {
    let fee = MintFault {
        extension: "TransferFeeConfig",
        problem: "keeps a part of each transfer, now or from one of the next epochs on: less than the price arrives",
        is_pause: false,
    };
    let Ok(config) = mint.get_extension::<TransferFeeConfig>() else { return Some(fee) };
    let is_free = |points: u16| points == 0;
    let older = is_free(config.older_transfer_fee.transfer_fee_basis_points.into());
    let newer = is_free(config.newer_transfer_fee.transfer_fee_basis_points.into());
    (!older || !newer).then_some(fee)
}

fn judge_hook(mint: &MintData<'_>) -> Option<MintFault> {
    let hook = MintFault {
        extension: "TransferHook",
        problem: "has a program called in each transfer, which decides whether it may happen",
        is_pause: false,
    };
    match mint.get_extension::<TransferHook>() {
        Ok(found) if found.program_id.get().is_none() => None,
        _ => Some(hook),
    }
}

fn judge_pause(mint: &MintData<'_>) -> Option<MintFault> {
    let paused = MintFault { extension: "Pausable", problem: "is paused by its issuer", is_pause: true };
    match mint.get_extension::<PausableConfig>() {
        Ok(found) if !bool::from(found.paused) => None,
        _ => Some(paused),
    }
}

fn judge_default_state(mint: &MintData<'_>) -> Option<MintFault> {
    let frozen = MintFault {
        extension: "DefaultAccountState",
        problem: "freezes each new account until its issuer thaws it",
        is_pause: false,
    };
    match mint.get_extension::<DefaultAccountState>() {
        Ok(found) if found.state == u8::from(AccountState::Initialized) => None,
        _ => Some(frozen),
    }
}

/// Why a token account of Token-2022 takes no plain transfer, or may not; `None`: it takes them.
pub(crate) fn refuses(data: &[u8]) -> Option<&'static str> {
    use ExtensionType as E;
    const UNREADABLE: &str = "has a token account with an extension that this release does not know";
    let Ok(account) = StateWithExtensions::<Account2022>::unpack(data) else { return Some(UNREADABLE) };
    let Ok(extensions) = account.get_extension_types() else { return Some(UNREADABLE) };
    extensions.into_iter().find_map(|extension| match extension {
        // Who owns it stays so; what its owner signs may not go through other programs, and what is
        // withheld, paused or hooked is a matter of the mint.
        E::ImmutableOwner | E::CpiGuard => None,
        E::TransferFeeAmount | E::TransferHookAccount | E::PausableAccount => None,
        E::ConfidentialTransferFeeAmount => None,
        // Official clients put no memo in front of the transfer, which is where it is asked for.
        E::MemoTransfer => match account.get_extension::<MemoTransfer>() {
            Ok(found) if !bool::from(found.require_incoming_transfer_memos) => None,
            _ => Some("has a token account that demands a memo before each transfer; disable required memos"),
        },
        E::ConfidentialTransferAccount => match account.get_extension::<ConfidentialTransferAccount>() {
            Ok(found) if bool::from(found.allow_non_confidential_credits) => None,
            _ => Some("has a token account that takes confidential transfers only; allow the others"),
        },
        E::NonTransferableAccount => Some("has a token account of a token that cannot be transferred"),
        _ => Some(UNREADABLE),
    })
}

#[cfg(test)]
pub(crate) mod tests;
