//! Somebody who has the account that is paid created at our cost, closes it for its rent, and
//! begins again.

use quittance_solana::{LAMPORTS_PER_SIGNATURE, SIGNATURES_PER_PAYMENT};
use solana_sdk::message::{VersionedMessage, legacy};
use solana_sdk::signature::Signer;
use solana_sdk::transaction::VersionedTransaction;

use super::actors::PRIORITY_MAX;
use super::honest::honest;
use super::ix;
use super::world::{PaidTo, SETTINGS, World};
use crate::random::Random;

/// What a harvest came to, in lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Harvest {
    /// What the offers charged for signatures, priority and rent.
    pub charged: u64,
    /// What our wallet lost.
    pub lost: u64,
    /// What whoever closed the account got.
    pub taken: u64,
    /// Payments that were refused because their offer did not charge the rent.
    pub refused: u64,
}

/// The seller and the payer are one, and do it so many times.
pub fn harvest(rounds: u64) -> Harvest {
    let setting = SETTINGS.into_iter().find(|one| one.paid_to == PaidTo::Merchant && !one.exists);
    let world = World::new(setting.expect("a seller without an account"));
    let mut svm = world.svm.clone();
    let (mut random, mut sum) = (Random::new(3), Harvest::default());
    let wallet = world.actors.wallet.pubkey();
    let held = |svm: &litesvm::LiteSVM| svm.get_balance(&wallet).unwrap_or(0);
    for _ in 0..rounds {
        let draft = honest(&world, &mut random);
        let raw = draft.raw(&world).expect("it is written");
        let payment = world.chain.check_local(&draft.payload(&raw)).expect("it is accepted");
        sum.refused += u64::from(world.chain.check_rent(&payment, false).is_err());
        let charged = LAMPORTS_PER_SIGNATURE * SIGNATURES_PER_PAYMENT + PRIORITY_MAX + world.rent;
        let signed = world.chain.co_sign(&payment, charged).expect("it is signed");
        let before = held(&svm);
        let transaction: VersionedTransaction = wincode::deserialize(&signed.raw).expect("it is read");
        svm.send_transaction(transaction).expect("it lands");
        sum.charged += charged;
        sum.lost += before - held(&svm);
        sum.taken += close(&world, &mut svm, payment.amount().atomic());
    }
    sum
}

/// The seller sends the money back and closes its account; what its rent brings.
fn close(world: &World, svm: &mut litesvm::LiteSVM, amount: u64) -> u64 {
    let actors = &world.actors;
    let owner = actors.merchant.pubkey();
    let to = actors.account(&actors.payer.pubkey());
    let emptied = ix::transfer(&actors.program, &world.paid, &actors.mint, &to, &owner, amount);
    let closed = ix::token(2, actors.program, world.paid, actors.mint, owner, owner, 0);
    let message = legacy::Message::new_with_blockhash(&[emptied, closed], Some(&owner), &world.blockhash);
    let message = VersionedMessage::Legacy(message);
    let signed = VersionedTransaction::try_new(message, &[&actors.merchant]).expect("it is signed");
    let before = svm.get_balance(&owner).unwrap_or(0);
    svm.send_transaction(signed).expect("it is closed");
    svm.get_balance(&owner).unwrap_or(0).saturating_add(LAMPORTS_PER_SIGNATURE).saturating_sub(before)
}
