//! What a signature of ours may do, whatever was signed.

use std::collections::BTreeMap;

use quittance_protocol::Network;
use quittance_solana::{SignedTransaction, SolanaPayment};
use solana_sdk::account::{Account, ReadableAccount};
use solana_sdk::message::VersionedMessage;
use solana_sdk::program_pack::Pack;
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;
use solana_sdk::transaction::{TransactionError, VersionedTransaction};
use spl_token_interface::state::Account as TokenAccount;

use super::actors::{MEMO, SYSTEM};
use super::draft::Terms;
use super::world::{PaidTo, World};

/// What must not be, in words.
pub(crate) type Violation = String;

/// A memo's bytes that we take.
const MEMO_BYTES_MAX: usize = 256;

/// What came of a signed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    Landed,
    Failed,
}

/// As a node reads it; another spelling of the same would be another payment's bytes.
pub(crate) fn reread(signed: &SignedTransaction) -> Result<VersionedTransaction, Violation> {
    let read: VersionedTransaction =
        wincode::deserialize(&signed.raw).map_err(|error| format!("no node reads what we sign: {error}"))?;
    let again = wincode::serialize(&read).map_err(|error| format!("it is not written again: {error}"))?;
    if again != signed.raw {
        return Err("what we sign is spelled otherwise than a node spells it".to_owned());
    }
    Ok(read)
}

/// What the message says, read by the official reader.
pub(crate) fn check_message(
    world: &World,
    message: &VersionedMessage,
    terms: &Terms,
    payment: &SolanaPayment,
) -> Result<(), Violation> {
    let keys = message.static_account_keys();
    let programs = |one: &solana_sdk::message::compiled_instruction::CompiledInstruction| {
        keys.get(usize::from(one.program_id_index)).copied()
    };
    let memos: Vec<_> = message.instructions().iter().filter(|one| programs(one) == Some(MEMO)).collect();
    if memos.len() > 1 {
        return Err(format!("{} memos, of which one is reported", memos.len()));
    }
    let ours = [world.actors.wallet.pubkey(), world.actors.other.pubkey()];
    let names_us = |at: &u8| keys.get(usize::from(*at)).is_some_and(|key| ours.contains(key));
    let text = memos.first().map(|memo| memo.data.clone());
    if memos.iter().any(|memo| memo.accounts.iter().any(names_us)) {
        return Err("a memo is signed in our name".to_owned());
    }
    if text.as_ref().is_some_and(|text| text.len() > MEMO_BYTES_MAX) {
        return Err("a memo is longer than what is kept".to_owned());
    }
    if payment.memo().map(String::into_bytes) != text {
        return Err("the memo is not the one that is reported".to_owned());
    }
    if terms.memo.as_ref().is_some_and(|asked| Some(asked.as_bytes()) != text.as_deref()) {
        return Err("the memo is not the one that the seller asked for".to_owned());
    }
    Ok(())
}

/// What the payment says of itself is so.
pub(crate) fn check_terms(world: &World, terms: &Terms, payment: &SolanaPayment) -> Result<(), Violation> {
    let said = |what: &str, is_so: bool| match is_so {
        true => Ok(()),
        false => Err(format!("accepted, and {what} is not what it says: {terms:?}")),
    };
    said("the scheme", terms.scheme == "exact")?;
    said("the network", terms.network == Network::SOLANA)?;
    said("the token", terms.asset == world.actors.mint.to_string())?;
    said("the recipient", terms.pay_to == world.pay_to.to_string())?;
    let amount = payment.amount().atomic().to_string();
    said("the amount", terms.amount == amount)?;
    said("the highest amount", terms.maximum.as_ref().is_none_or(|maximum| *maximum == amount))?;
    said("the payer", terms.payer.as_ref().is_none_or(|payer| payer == payment.payer()))?;
    let wallets = world.chain.wallets();
    let is_known = terms.fee_payer.as_ref().is_none_or(|key| wallets.contains(key))
        || (world.setting.paid_to == PaidTo::FeePayer
            && payment.fee_payer().as_deref() == Some(terms.pay_to.as_str()));
    said("the fee payer", is_known)
}

/// Runs it, and looks at what is ours.
pub(crate) fn run(
    world: &World,
    transaction: &VersionedTransaction,
    bound: u64,
    amount: u64,
    is_exact: bool,
) -> Result<Ran, Violation> {
    let ran = match world.svm.simulate_transaction(transaction.clone()) {
        Ok(ran) => ran,
        Err(failed) => {
            if is_malformed(&failed.err) {
                return Err(format!("accepted, and the runtime refuses its form: {:?}", failed.err));
            }
            if failed.meta.fee > bound {
                return Err(format!("a failure costs {} of at most {bound} lamports", failed.meta.fee));
            }
            return Ok(Ran::Failed);
        }
    };
    let after: BTreeMap<Pubkey, Account> =
        ran.post_accounts.into_iter().map(|(at, account)| (at, account.into())).collect();
    let fee_payer = transaction.message.static_account_keys().first().copied().unwrap_or_default();
    check_ours(world, &after, fee_payer, bound)?;
    check_paid(world, world.ours.get(&world.paid), &after, amount, is_exact)?;
    match world.late.simulate_transaction(transaction.clone()) {
        Err(failed) if failed.err == TransactionError::BlockhashNotFound => Ok(Ran::Landed),
        late => Err(format!("it does not end with its blockhash: {:?}", late.err().map(|one| one.err))),
    }
}

/// Refusals that no simulation of ours was needed for.
fn is_malformed(error: &TransactionError) -> bool {
    use TransactionError as E;
    matches!(
        error,
        E::SanitizeFailure
            | E::SignatureFailure
            | E::AccountLoadedTwice
            | E::InvalidAccountIndex
            | E::InvalidAccountForFee
            | E::MissingSignatureForFee
            | E::CallChainTooDeep
            | E::TooManyAccountLocks
            | E::UnsupportedVersion
            | E::InvalidWritableAccount
    )
}

/// The fee payer is any wallet of ours.
fn check_ours(
    world: &World,
    after: &BTreeMap<Pubkey, Account>,
    fee_payer: Pubkey,
    bound: u64,
) -> Result<(), Violation> {
    for (at, before) in &world.ours {
        let now = after.get(at).or(before.as_ref());
        if *at == fee_payer {
            check_wallet(before.as_ref(), now, bound)?;
        } else if *at != world.paid && !is_same(before.as_ref(), now) {
            return Err(format!("{at}, which is ours, was changed: {before:?} became {now:?}"));
        }
    }
    Ok(())
}

/// But for the epoch of its rent, which the runtime writes as it likes.
fn is_same(before: Option<&Account>, now: Option<&Account>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            before.lamports == now.lamports && before.owner == now.owner && before.data == now.data
        }
        (None, now) => now.is_none_or(|now| now.lamports == 0 && now.data.is_empty()),
        (Some(_), None) => false,
    }
}

fn check_wallet(before: Option<&Account>, now: Option<&Account>, bound: u64) -> Result<(), Violation> {
    let (Some(before), Some(now)) = (before, now) else {
        return Err("the fee payer is gone".to_owned());
    };
    let lost = before.lamports.saturating_sub(now.lamports);
    if lost > bound {
        return Err(format!("the fee payer is poorer by {lost} lamports of at most {bound}"));
    }
    match now.owner() == &SYSTEM && now.data.is_empty() {
        true => Ok(()),
        false => Err(format!("the fee payer was given to {}", now.owner())),
    }
}

fn check_paid(
    world: &World,
    before: Option<&Option<Account>>,
    after: &BTreeMap<Pubkey, Account>,
    amount: u64,
    is_exact: bool,
) -> Result<(), Violation> {
    let before = before.and_then(Option::as_ref);
    let now = after.get(&world.paid).or(before);
    // Extensions stand behind.
    let read = |account: &Account| match account.owner == world.actors.program {
        true => TokenAccount::unpack(account.data.get(..TokenAccount::LEN)?).ok(),
        false => None,
    };
    if now.map_or(0, |now| now.lamports) < before.map_or(0, |before| before.lamports) {
        return Err("the account that is paid was robbed of its lamports".to_owned());
    }
    let Some(mut now) = now.and_then(read) else {
        return Err("landed, and the account that is paid is none".to_owned());
    };
    let had = before.and_then(read);
    let arrived = now.amount.checked_sub(had.map_or(0, |had| had.amount));
    let is_right = match is_exact {
        true => arrived == Some(amount),
        false => arrived.is_some_and(|arrived| arrived >= amount),
    };
    if !is_right {
        return Err(format!("{arrived:?} arrived for {amount}"));
    }
    let expected = had.unwrap_or(TokenAccount {
        mint: world.actors.mint,
        owner: world.pay_to,
        state: spl_token_interface::state::AccountState::Initialized,
        ..TokenAccount::default()
    });
    now.amount = expected.amount;
    match now == expected {
        true => Ok(()),
        false => Err(format!("the account that is paid was changed: {expected:?} became {now:?}")),
    }
}
