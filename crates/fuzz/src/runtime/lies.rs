//! A payment that says of itself what is not so.

use solana_sdk::signature::Signer;

use super::draft::Draft;
use super::world::World;
use crate::random::Random;

pub(crate) fn lie(world: &World, random: &mut Random, draft: &mut Draft) {
    let actors = &world.actors;
    let third = actors.third.pubkey().to_string();
    let terms = &mut draft.terms;
    match random.below(9) {
        0 => terms.scheme = "upto".to_owned(),
        1 => terms.network = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".to_owned(),
        2 => terms.asset = actors.other_mint.to_string(),
        3 => terms.pay_to = third,
        4 => terms.maximum = Some(random.range(1, 2_000_000).to_string()),
        5 => terms.fee_payer = Some(third),
        6 => terms.memo = Some("what the seller asked for".to_owned()),
        7 => terms.payer = Some(third),
        _ => {
            let odd = ["", "-1", "1.0", "0x10", "99999999999999999999", "01", " 7"];
            terms.amount = (*random.pick(&odd).unwrap_or(&"")).to_owned();
        }
    }
}
