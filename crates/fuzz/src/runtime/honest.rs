//! What official clients and wallets make.

use quittance_protocol::Network;
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::v1::TransactionConfig;
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;

use super::actors::{LIGHTHOUSE, PRIORITY_MAX};
use super::draft::{Draft, Terms, Version};
use super::ix;
use super::world::{PaidTo, World};
use crate::random::Random;

const MEMO_BYTES_MAX: usize = 256;

/// A payment that must be accepted, and land.
pub(crate) fn honest(world: &World, random: &mut Random) -> Draft {
    let actors = &world.actors;
    let (wallet, payer) = (actors.wallet.pubkey(), actors.payer.pubkey());
    let amount = random.range(1, 1_000_000);
    let own = [actors.account(&payer), actors.payers_spare, actors.delegated];
    let source = *random.pick(&own).unwrap_or(&actors.payers_spare);
    let mut instructions =
        vec![ix::transfer(&actors.program, &source, &actors.mint, &world.paid, &payer, amount)];
    let creates = !world.setting.exists || random.chance(15);
    if creates {
        let is_once = !world.setting.exists && random.chance(50);
        let data = if is_once { [vec![], vec![0]][random.below(2)].clone() } else { vec![1] };
        instructions.insert(0, ix::create(&wallet, &world.pay_to, &actors.mint, &actors.program, data));
    }
    let memo = random.chance(70).then(|| text(random));
    if let Some(memo) = &memo {
        let signers: &[Pubkey] = if random.chance(20) { &[payer] } else { &[] };
        insert(&mut instructions, random, ix::memo(memo, signers));
    }
    if random.chance(35) {
        for _ in 0..random.range(1, 4) {
            let guard = guard(world, random, creates);
            insert(&mut instructions, random, guard);
        }
    }
    let version = [Version::Legacy, Version::V0, Version::V0, Version::V1][random.below(4)];
    let mut budget = TransactionConfig::empty();
    match version {
        Version::V1 => budget = in_header(random),
        Version::Legacy | Version::V0 => in_instructions(&mut instructions, random),
    }
    Draft {
        version,
        budget,
        fee_payer: wallet,
        instructions,
        looked_up: Vec::new(),
        blockhash: world.blockhash,
        forged: false,
        rent_charged: !world.setting.exists || random.chance(20),
        terms: terms(world, random, amount, memo),
        tweaks: Vec::new(),
        spoils: Vec::new(),
        story: Vec::new(),
    }
}

fn terms(world: &World, random: &mut Random, amount: u64, memo: Option<String>) -> Terms {
    let actors = &world.actors;
    let hints = [None, Some(actors.wallet.pubkey()), Some(actors.other.pubkey())];
    let mut hint = hints[random.below(3)];
    // There are clients that take the recipient for the fee payer.
    if world.setting.paid_to == PaidTo::FeePayer && random.chance(5) {
        hint = Some(actors.third.pubkey());
    }
    Terms {
        scheme: "exact".to_owned(),
        network: Network::SOLANA.to_owned(),
        asset: actors.mint.to_string(),
        pay_to: world.pay_to.to_string(),
        amount: amount.to_string(),
        maximum: random.chance(30).then(|| amount.to_string()),
        fee_payer: hint.map(|key| key.to_string()),
        memo: memo.filter(|memo| !memo.is_empty() && random.chance(30)),
        payer: random.chance(30).then(|| actors.payer.pubkey().to_string()),
    }
}

/// What version 1 says in its header, where what is left out is nothing.
fn in_header(random: &mut Random) -> TransactionConfig {
    let units = u32::try_from(random.range(180_000, 400_000)).unwrap_or(u32::MAX);
    let budget = TransactionConfig::empty()
        .with_compute_unit_limit(units)
        .with_loaded_accounts_data_size_limit(64 * 1024 * 1024);
    match random.below(3) {
        0 => budget,
        1 => budget.with_priority_fee(random.range(0, 900)),
        // The highest price, or the highest fee.
        _ => budget.with_priority_fee(PRIORITY_MAX),
    }
}

/// Limit and price in any order and at any place, or one of them, or none.
fn in_instructions(instructions: &mut Vec<Instruction>, random: &mut Random) {
    let others = u64::try_from(instructions.len()).unwrap_or(u64::MAX);
    let units = random.chance(80).then(|| random.range(180_000, 400_000));
    // By default, with the price's own instruction.
    let counted = units.unwrap_or_else(|| (200_000 * others + 3_000).min(1_400_000));
    let dearest = PRIORITY_MAX.saturating_mul(1_000_000).checked_div(counted).unwrap_or(0);
    let price = random.chance(80).then(|| match random.below(3) {
        0 => 1,
        1 => dearest,
        _ => random.range(0, dearest),
    });
    if let Some(units) = units {
        let limit = ix::unit_limit(u32::try_from(units).unwrap_or(u32::MAX));
        insert(instructions, random, limit);
    }
    if let Some(price) = price {
        insert(instructions, random, ix::unit_price(price));
    }
}

/// An assertion about the payer's account, or about ours where it may look at it.
fn guard(world: &World, random: &mut Random, creates: bool) -> Instruction {
    let actors = &world.actors;
    let payer = actors.payer.pubkey();
    let mut accounts = vec![AccountMeta::new(actors.account(&payer), false)];
    if random.chance(50) {
        accounts.push(AccountMeta::new_readonly(payer, true));
    }
    if !creates && random.chance(50) {
        accounts.push(AccountMeta::new(actors.wallet.pubkey(), true));
    }
    let data = vec![2 + random.byte() % 20, random.byte(), random.byte()];
    Instruction { program_id: LIGHTHOUSE, accounts, data }
}

/// At any place; a creation stays before its transfer.
pub(crate) fn insert(instructions: &mut Vec<Instruction>, random: &mut Random, one: Instruction) {
    let at = random.below(instructions.len().saturating_add(1));
    instructions.insert(at, one);
}

fn text(random: &mut Random) -> String {
    let letters: Vec<char> = "0123456789abcdef äß€漢🙂".chars().collect();
    let mut text = String::new();
    let length = [0, 1, 32, 60, MEMO_BYTES_MAX][random.below(5)];
    while let Some(letter) = random.pick(&letters) {
        if text.len() + letter.len_utf8() > length {
            break;
        }
        text.push(*letter);
    }
    text
}
