//! What is done to an honest payment.

use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;

use super::actors::{
    self, ASSOCIATED_TOKEN, COMPUTE_BUDGET, LIGHTHOUSE, MEMO, SYSTEM, TOKEN, TOKEN_2022, nonce_value, place,
};
use super::draft::{Draft, Version};
use super::guard::calling;
use super::honest::insert;
use super::ix;
use super::world::World;
use super::{bend, lies};
use crate::random::Random;

type Attack = fn(&World, &mut Random, &mut Draft);

/// All of them, with their names.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("another amount", amount),
    ("a lie about the payment", lies::lie),
    ("another destination", destination),
    ("another token", another_token),
    ("from an account of ours", our_source),
    ("with our authority", our_authority),
    ("another fee payer", fee_payer),
    ("a third signer", third_signer),
    ("a forged signature", |_, _, draft| draft.forged = true),
    ("another budget", budget),
    ("an instruction of the system program", system),
    ("a nonce that lasts", lasting_nonce),
    ("an instruction of a token program", token),
    ("money back", money_back),
    ("a guard that calls", calling_guard),
    ("a guard that calls without the creation", calling_guard_alone),
    ("a guard with accounts of ours", guard_with),
    ("another creation", creation),
    ("a creation of something else", creation_beside),
    ("rent that was not charged", |_, _, draft| draft.rent_charged = false),
    ("another memo", memo),
    ("our signature under a memo", signed_memo),
    ("a lookup table", lookup),
    ("a source in a lookup table", looked_up_source),
    ("an unknown program", unknown),
    ("stake, tables", other_programs),
    ("another transfer", transfer_kind),
    ("other accounts", bend::accounts),
    ("other rights", bend::rights),
    ("another order", bend::order),
    ("other data", bend::data),
    ("another message", bend::message),
    ("other bytes", bend::bytes),
];

/// Where the transfer stands.
fn transfer_at(draft: &Draft) -> Option<usize> {
    let is_it =
        |one: &Instruction| [TOKEN, TOKEN_2022].contains(&one.program_id) && one.data.first() == Some(&12);
    draft.instructions.iter().position(is_it)
}

fn with_transfer(draft: &mut Draft, change: impl FnOnce(&mut Instruction)) {
    if let Some(at) = transfer_at(draft)
        && let Some(transfer) = draft.instructions.get_mut(at)
    {
        change(transfer);
    }
}

fn give(instruction: &mut Instruction, at: usize, key: Pubkey) {
    if let Some(meta) = instruction.accounts.get_mut(at) {
        meta.pubkey = key;
    }
}

fn amount(_: &World, random: &mut Random, draft: &mut Draft) {
    let by = random.below(4);
    let any = random.edge();
    with_transfer(draft, |transfer| {
        let Some(bytes) = transfer.data.get_mut(1..9) else { return };
        let now = u64::from_le_bytes((&*bytes).try_into().unwrap_or_default());
        let then = [now.wrapping_add(1), now.wrapping_sub(1), now / 2, any][by];
        bytes.copy_from_slice(&then.to_le_bytes());
    });
}

fn destination(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let payer = actors.payer.pubkey();
    let others = [
        actors.account(&payer),
        actors.account(&actors.third.pubkey()),
        actors.payers_spare,
        actors.account(&actors.other.pubkey()),
        actors.wallets_spare,
        actors.account(&actors.merchant.pubkey()),
    ];
    let to = *random.pick(&others).unwrap_or(&payer);
    with_transfer(draft, |transfer| give(transfer, 2, to));
}

fn another_token(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let of = |owner: &Pubkey| actors::associated(owner, &actors.other_mint, &actors.program);
    let (wallet, payer) = (actors.wallet.pubkey(), actors.payer.pubkey());
    let to = if random.chance(70) { of(&wallet) } else { of(&payer) };
    with_transfer(draft, |transfer| {
        give(transfer, 0, of(&payer));
        give(transfer, 1, actors.other_mint);
        give(transfer, 2, to);
    });
}

/// Accounts of ours that somebody may have given the payer power over.
fn our_accounts(world: &World) -> [Pubkey; 4] {
    let actors = &world.actors;
    [
        world.paid,
        actors.account(&actors.wallet.pubkey()),
        actors.account(&actors.other.pubkey()),
        actors.wallets_spare,
    ]
}

fn our_source(world: &World, random: &mut Random, draft: &mut Draft) {
    let from = *random.pick(&our_accounts(world)).unwrap_or(&world.paid);
    with_transfer(draft, |transfer| give(transfer, 0, from));
}

fn our_authority(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let owner = if random.chance(80) { actors.wallet.pubkey() } else { world.pay_to };
    let from = if random.chance(50) { actors.account(&owner) } else { actors.wallets_spare };
    with_transfer(draft, |transfer| {
        give(transfer, 0, from);
        give(transfer, 3, owner);
    });
    draft.instructions.retain(|one| one.program_id != MEMO);
    insert(&mut draft.instructions, random, ix::memo("signed", &[actors.payer.pubkey()]));
    draft.terms.memo = None;
}

fn fee_payer(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let others = [actors.other.pubkey(), actors.payer.pubkey(), actors.third.pubkey()];
    draft.fee_payer = others[random.below(3)];
}

fn third_signer(world: &World, random: &mut Random, draft: &mut Draft) {
    let third = world.actors.third.pubkey();
    let guard = Instruction { program_id: LIGHTHOUSE, accounts: vec![ix::s(third)], data: vec![7] };
    insert(&mut draft.instructions, random, guard);
}

fn budget(_: &World, random: &mut Random, draft: &mut Draft) {
    if random.chance(50) {
        draft.instructions.retain(|one| one.program_id != COMPUTE_BUDGET);
    }
    let edge = random.edge();
    let small = u32::try_from(edge & 0xffff_ffff).unwrap_or(u32::MAX);
    if draft.version == Version::V1 {
        let budget = draft.budget;
        draft.budget = match random.below(8) {
            0 => budget.with_priority_fee(edge),
            1 => budget.with_priority_fee(random.range(9_990, 10_010)),
            2 => budget.with_compute_unit_limit(small),
            3 => budget.with_loaded_accounts_data_size_limit(small),
            4 => budget.with_heap_size(64 * 1024),
            5 => budget.with_heap_size(small),
            6 => solana_sdk::message::v1::TransactionConfig::empty(),
            _ => budget,
        };
        if random.chance(85) {
            return;
        }
    }
    let one = match random.below(8) {
        0 => ix::unit_price(edge),
        1 => ix::unit_price(random.range(0, 6_000_000)),
        2 => ix::unit_limit(small),
        3 => ix::unit_limit(u32::try_from(random.range(0, 1_400_000)).unwrap_or(u32::MAX)),
        4 => ix::compute([vec![1], (32 * 1024_u32 * 2).to_le_bytes().to_vec()].concat()),
        5 => ix::compute([vec![4], small.to_le_bytes().to_vec()].concat()),
        6 => ix::compute([vec![random.byte() % 6], edge.to_le_bytes().to_vec()].concat()),
        _ => ix::compute(vec![random.byte() % 6; random.below(4)]),
    };
    insert(&mut draft.instructions, random, one);
}

/// Somebody whose money it may be, and somebody who would like it.
fn from_to(world: &World, random: &mut Random) -> (Pubkey, Pubkey) {
    let actors = &world.actors;
    let from = [actors.wallet.pubkey(), actors.payer.pubkey(), actors.other.pubkey()];
    let to = [actors.payer.pubkey(), actors.third.pubkey(), place("nothing")];
    (from[[0, 0, 1, 2][random.below(4)]], to[random.below(3)])
}

fn system(world: &World, random: &mut Random, draft: &mut Draft) {
    let (from, to) = from_to(world, random);
    let one = match random.below(6) {
        5 => ix::nonce(random.below(3), world.actors.wallets_nonce, from, to),
        kind => ix::system(kind, from, to, random.range(1, 5_000_000)),
    };
    insert(&mut draft.instructions, random, one);
}

fn lasting_nonce(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let (nonce, owner) = match random.chance(80) {
        true => (actors.payers_nonce, actors.payer.pubkey()),
        false => (actors.wallets_nonce, actors.wallet.pubkey()),
    };
    draft.instructions.insert(0, ix::nonce(0, nonce, owner, owner));
    draft.blockhash = nonce_value();
}

fn token(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let (wallet, payer) = (actors.wallet.pubkey(), actors.payer.pubkey());
    let (program, mint, account, to) = match random.chance(75) {
        true => {
            let account = *random.pick(&our_accounts(world)).unwrap_or(&world.paid);
            (actors.program, actors.mint, account, actors.account(&payer))
        }
        false => {
            let to = actors.foreign_account(&payer);
            (actors.other_program, actors.foreign_mint, actors.foreign_account(&wallet), to)
        }
    };
    let authority = if random.chance(60) { wallet } else { payer };
    let amount = random.range(1, 1_000);
    let one = ix::token(random.below(10), program, account, mint, to, authority, amount);
    insert(&mut draft.instructions, random, one);
}

fn money_back(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let payer = actors.payer.pubkey();
    let to = actors.account(&payer);
    let kind = [0, 9, 6][random.below(3)];
    draft.instructions.push(ix::token(kind, actors.program, world.paid, actors.mint, to, payer, 1));
}

/// What a guard would call that has turned against us.
fn call(world: &World, random: &mut Random) -> Instruction {
    let actors = &world.actors;
    let (wallet, payer) = (actors.wallet.pubkey(), actors.payer.pubkey());
    let account = *random.pick(&our_accounts(world)).unwrap_or(&world.paid);
    match random.below(9) {
        0..=2 => ix::system(random.below(5), wallet, payer, 1_000_000),
        3..=5 => {
            let kind = random.below(10);
            ix::token(kind, actors.program, account, actors.mint, actors.account(&payer), wallet, 1_000)
        }
        6 => ix::create(&wallet, &place("nothing"), &actors.mint, &actors.program, vec![1]),
        7 => ix::stake(random.below(2), actors.wallets_stake, wallet, payer),
        _ => ix::nonce(random.below(3), actors.wallets_nonce, wallet, payer),
    }
}

fn calling_guard(world: &World, random: &mut Random, draft: &mut Draft) {
    // There the payer may move what is ours without anybody's help.
    if !world.setting.delegates {
        let guard = calling(&call(world, random));
        insert(&mut draft.instructions, random, guard);
    }
}

fn calling_guard_alone(world: &World, random: &mut Random, draft: &mut Draft) {
    draft.instructions.retain(|one| one.program_id != ASSOCIATED_TOKEN);
    calling_guard(world, random, draft);
}

fn guard_with(world: &World, random: &mut Random, draft: &mut Draft) {
    let pool = world.actors.pool();
    let mut accounts = vec![ix::sw(world.actors.wallet.pubkey())];
    for _ in 0..random.below(4) {
        let key = *random.pick(&pool).unwrap_or(&SYSTEM);
        accounts.push(if random.chance(50) { ix::w(key) } else { ix::r(key) });
    }
    let data = vec![random.byte() % 24, 1, 2];
    let guard = Instruction { program_id: LIGHTHOUSE, accounts, data };
    insert(&mut draft.instructions, random, guard);
}

/// A creation that is not quite the one that is allowed.
fn odd_creation(world: &World, random: &mut Random) -> Instruction {
    let actors = &world.actors;
    let (wallet, payer) = (actors.wallet.pubkey(), actors.payer.pubkey());
    let idempotent = vec![1];
    match random.below(8) {
        0 | 1 => ix::create(&wallet, &place("nothing"), &actors.mint, &actors.program, idempotent),
        2 => ix::create(&wallet, &world.pay_to, &actors.other_mint, &actors.program, idempotent),
        3 => {
            let account = actors.foreign_account(&world.pay_to);
            let mint = &actors.foreign_mint;
            ix::create_of(&wallet, &account, &world.pay_to, mint, &actors.other_program, idempotent)
        }
        4 => ix::create(&payer, &world.pay_to, &actors.mint, &actors.program, idempotent),
        5 => ix::create(&wallet, &world.pay_to, &actors.mint, &actors.program, vec![2]),
        6 => ix::create(&wallet, &world.pay_to, &actors.mint, &actors.program, vec![1, random.byte()]),
        _ => ix::create(&wallet, &actors.third.pubkey(), &actors.mint, &actors.program, idempotent),
    }
}

fn creation(world: &World, random: &mut Random, draft: &mut Draft) {
    draft.instructions.retain(|one| one.program_id != ASSOCIATED_TOKEN);
    creation_beside(world, random, draft);
}

fn creation_beside(world: &World, random: &mut Random, draft: &mut Draft) {
    let odd = odd_creation(world, random);
    let at = if random.chance(80) { 0 } else { random.below(draft.instructions.len() + 1) };
    draft.instructions.insert(at, odd);
}

fn memo(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    if random.chance(60) {
        draft.instructions.retain(|one| one.program_id != MEMO);
    }
    let one = match random.below(5) {
        0 => ix::memo("another", &[]),
        1 => ix::memo(&"m".repeat(usize::try_from(random.range(255, 400)).unwrap_or(300)), &[]),
        2 => ix::of(MEMO, vec![], vec![0xff, 0xfe]),
        3 => ix::memo("third", &[actors.third.pubkey()]),
        _ => ix::of(MEMO, vec![ix::r(actors.third.pubkey())], b"read".to_vec()),
    };
    insert(&mut draft.instructions, random, one);
}

fn signed_memo(world: &World, random: &mut Random, draft: &mut Draft) {
    draft.instructions.retain(|one| one.program_id != MEMO);
    let wallet = world.actors.wallet.pubkey();
    insert(&mut draft.instructions, random, ix::memo("the facilitator owes me", &[wallet]));
    draft.terms.memo = None;
}

fn lookup(world: &World, random: &mut Random, draft: &mut Draft) {
    draft.version = Version::V0;
    draft.looked_up = world.actors.pool();
    draft.looked_up.retain(|_| random.chance(50));
}

fn looked_up_source(world: &World, random: &mut Random, draft: &mut Draft) {
    our_source(world, random, draft);
    draft.version = Version::V0;
    if let Some(source) = transfer_at(draft).and_then(|at| draft.instructions[at].accounts.first()) {
        draft.looked_up = vec![source.pubkey];
    }
}

fn unknown(world: &World, random: &mut Random, draft: &mut Draft) {
    let pool = world.actors.pool();
    let program_id = *random.pick(&pool).unwrap_or(&SYSTEM);
    let meta = |random: &mut Random| {
        let pubkey = *random.pick(&pool).unwrap_or(&SYSTEM);
        AccountMeta { pubkey, is_signer: false, is_writable: random.chance(50) }
    };
    let accounts = (0..random.below(5)).map(|_| meta(random)).collect();
    let data = (0..random.below(20)).map(|_| random.byte()).collect();
    insert(&mut draft.instructions, random, Instruction { program_id, accounts, data });
}

fn other_programs(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let (from, to) = from_to(world, random);
    let one = match random.below(3) {
        0 => ix::table(from, to),
        kind => ix::stake(kind - 1, actors.wallets_stake, from, to),
    };
    insert(&mut draft.instructions, random, one);
}

fn transfer_kind(world: &World, random: &mut Random, draft: &mut Draft) {
    let is_plain = random.chance(40);
    let fifth = *random.pick(&world.actors.pool()).unwrap_or(&SYSTEM);
    let program = if random.chance(30) { TOKEN_2022 } else { TOKEN };
    let decimals = random.byte() % 10;
    with_transfer(draft, |transfer| {
        transfer.program_id = program;
        if is_plain {
            let number = transfer.data.get(1..9).map(<[u8]>::to_vec).unwrap_or_default();
            transfer.data = [vec![3], number].concat();
            let at = 1.min(transfer.accounts.len());
            transfer.accounts.drain(at..transfer.accounts.len().min(2));
        } else if decimals < 3 {
            transfer.accounts.push(AccountMeta::new_readonly(fifth, false));
        } else if let Some(last) = transfer.data.last_mut() {
            *last = decimals;
        }
    });
}
