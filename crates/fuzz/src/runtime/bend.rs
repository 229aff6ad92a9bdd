//! Changes without a plan.

use solana_sdk::instruction::Instruction;

use super::draft::{Draft, Spoil, Tweak};
use super::world::World;
use crate::random::Random;

fn one<'a>(random: &mut Random, draft: &'a mut Draft) -> Option<&'a mut Instruction> {
    let at = random.below(draft.instructions.len());
    draft.instructions.get_mut(at)
}

pub(crate) fn accounts(world: &World, random: &mut Random, draft: &mut Draft) {
    let pool = world.actors.pool();
    let (place, to) = (random.draw(), random.pick(&pool).copied());
    let (kind, second) = (random.below(4), random.draw());
    let Some(instruction) = one(random, draft) else { return };
    let count = u64::try_from(instruction.accounts.len()).unwrap_or(1);
    let within = |number: u64| usize::try_from(number.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    let (at, other) = (within(place), within(second));
    match (kind, to) {
        (0, _) if count > 0 => instruction.accounts.swap(at, other),
        (1, _) if count > 0 => {
            instruction.accounts.remove(at);
        }
        (2, Some(to)) => {
            let mut meta = solana_sdk::instruction::AccountMeta::new_readonly(to, false);
            meta.is_writable = second.is_multiple_of(2);
            instruction.accounts.push(meta);
        }
        (_, Some(to)) => {
            if let Some(meta) = instruction.accounts.get_mut(at) {
                meta.pubkey = to;
            }
        }
        _ => {}
    }
}

pub(crate) fn rights(_: &World, random: &mut Random, draft: &mut Draft) {
    let (place, is_signing) = (random.draw(), random.chance(40));
    let Some(instruction) = one(random, draft) else { return };
    let count = u64::try_from(instruction.accounts.len()).unwrap_or(1);
    let at = usize::try_from(place.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    if let Some(meta) = instruction.accounts.get_mut(at) {
        match is_signing {
            true => meta.is_signer = !meta.is_signer,
            false => meta.is_writable = !meta.is_writable,
        }
    }
}

pub(crate) fn order(_: &World, random: &mut Random, draft: &mut Draft) {
    let count = draft.instructions.len();
    let (from, to) = (random.below(count), random.below(count));
    match random.below(4) {
        0 => {
            let copy = draft.instructions.get(from).cloned();
            draft.instructions.extend(copy);
        }
        1 if count > 0 => {
            draft.instructions.remove(from);
        }
        2 => {
            let copy = draft.instructions.get(from).cloned();
            let more = std::iter::repeat_n(copy, random.below(12)).flatten();
            draft.instructions.extend(more);
        }
        _ if count > 0 => draft.instructions.swap(from, to),
        _ => {}
    }
}

pub(crate) fn data(world: &World, random: &mut Random, draft: &mut Draft) {
    let pool = world.actors.pool();
    let (kind, place, byte, edge) = (random.below(6), random.draw(), random.byte(), random.edge());
    let program = random.pick(&pool).copied();
    let Some(instruction) = one(random, draft) else { return };
    let count = u64::try_from(instruction.data.len()).unwrap_or(1);
    let at = usize::try_from(place.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    match kind {
        0 => instruction.data.push(byte),
        1 => instruction.data.truncate(at),
        2 => instruction.data.extend(edge.to_le_bytes()),
        3 => instruction.program_id = program.unwrap_or(instruction.program_id),
        4 => {
            for (to, from) in instruction.data.iter_mut().skip(at).zip(edge.to_le_bytes()) {
                *to = from;
            }
        }
        _ => {
            if let Some(one) = instruction.data.get_mut(at) {
                *one ^= 1 << (byte % 8);
            }
        }
    }
}

pub(crate) fn message(world: &World, random: &mut Random, draft: &mut Draft) {
    let pool = world.actors.pool();
    let small = |random: &mut Random| [-1, 0, 0, 1][random.below(4)];
    let tweak = match random.below(9) {
        0 | 1 => Tweak::Header {
            signers: small(random),
            readonly_signed: small(random),
            readonly_unsigned: small(random),
        },
        2 => Tweak::Header { signers: 0, readonly_signed: 2, readonly_unsigned: 0 },
        3 => Tweak::Key { at: random.below(16), to: random.pick(&pool).copied().unwrap_or_default() },
        4 => Tweak::DoubleKey,
        5 => Tweak::SwapKeys(random.below(16), random.below(16)),
        6 => Tweak::DropKey,
        7 => Tweak::Program { at: random.below(8), to: random.byte() % 32 },
        _ => Tweak::Account { at: random.below(8), place: random.below(8), to: random.byte() % 32 },
    };
    draft.tweaks.push(tweak);
}

pub(crate) fn bytes(_: &World, random: &mut Random, draft: &mut Draft) {
    let spoil = match random.below(10) {
        0 | 1 => Spoil::Append((0..random.range(1, 4)).map(|_| random.byte()).collect()),
        2 => Spoil::LongLength,
        3 => Spoil::Cut(random.below(200)),
        7 => Spoil::Set { at: [0, 1, 4, 129][random.below(4)], byte: random.byte() },
        8 => Spoil::Tail(vec![random.byte(); 1 + random.below(3)]),
        4 => Spoil::Slot([random.byte(); 64]),
        5 => Spoil::Append(vec![0; 600 + random.below(4_200)]),
        _ => Spoil::Flip { at: random.below(1_232), bit: random.byte() },
    };
    draft.spoils.push(spoil);
}
