//! One seed: a payment, honest or not, all the way to the runtime.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::PaymentPayload;
use quittance_solana::{
    LAMPORTS_PER_SIGNATURE, SIGNATURES_PER_PAYMENT, SignedTransaction, SolanaError, SolanaPayment,
};
use serde_json::json;

use super::actors::PRIORITY_MAX;
use super::attacks::ATTACKS;
use super::draft::{Draft, Spoil};
use super::guard::is_call;
use super::honest::honest;
use super::oracle::{self, Ran, Violation};
use super::stats::Stats;
use super::world::{SETTINGS, SETTINGS_2022, WITH_FEE, World};
use crate::random::Random;

/// Seeds in a hundred whose payment stays as an honest client made it.
const HONEST_PERCENT: u64 = 12;
/// Lamports that a payment without a creation costs at most.
const QUOTED: u64 = LAMPORTS_PER_SIGNATURE * SIGNATURES_PER_PAYMENT + PRIORITY_MAX;

/// Chains of each kind, used again by every seed: nothing that is run stays.
pub struct Worlds {
    all: Vec<World>,
    of_2022: Vec<World>,
}

impl Default for Worlds {
    fn default() -> Self {
        let of_2022 = SETTINGS_2022.into_iter().map(World::new).collect();
        Self { all: SETTINGS.into_iter().map(World::new).collect(), of_2022 }
    }
}

impl Worlds {
    /// The first of them alone, for whoever only reads.
    pub(crate) fn first() -> Self {
        Self { all: SETTINGS.into_iter().take(1).map(World::new).collect(), of_2022: Vec::new() }
    }

    fn one(&self) -> &World {
        self.all.first().expect("a world")
    }

    /// The bytes that an honest client sends.
    pub(crate) fn honest(&self, random: &mut Random) -> Option<Vec<u8>> {
        honest(self.one(), random).raw(self.one())
    }

    /// An honest payment, to put other bytes into.
    pub(crate) fn payload(&self) -> PaymentPayload {
        honest(self.one(), &mut Random::new(1)).payload(&[])
    }

    /// Inspects it.
    pub(crate) fn check(&self, payload: &PaymentPayload) -> Result<SolanaPayment, SolanaError> {
        self.one().chain.check_local(payload)
    }
}

/// What a seed was about.
pub struct Told {
    /// What was done to the payment, in words.
    pub story: Vec<String>,
    /// What must not be.
    pub violation: Option<String>,
}

/// Seeds from here on are played in a token of Token-2022.
pub const OF_2022: u64 = 1 << 40;
/// Seeds from here on in one that keeps a fee, which must not be sold for.
pub const OF_A_FEE: u64 = 1 << 41;

/// Plays a seed.
pub fn play(worlds: &Worlds, seed: u64, stats: &mut Stats) -> Told {
    if seed >= OF_A_FEE {
        return match World::connected(WITH_FEE) {
            Ok(world) => play_in(&world, seed, stats),
            Err(error) => Told { story: vec![error.to_string()], violation: None },
        };
    }
    let all = if seed >= OF_2022 { &worlds.of_2022 } else { &worlds.all };
    match all.get(Random::new(seed).below(all.len())) {
        Some(world) => play_in(world, seed, stats),
        None => Told { story: Vec::new(), violation: None },
    }
}

fn play_in(world: &World, seed: u64, stats: &mut Stats) -> Told {
    let mut random = Random::new(seed);
    // What chose the world.
    random.below(1);
    let mut draft = honest(world, &mut random);
    let is_honest = random.chance(HONEST_PERCENT);
    if !is_honest {
        for _ in 0..[1, 1, 1, 2, 2, 3][random.below(6)] {
            if let Some((name, attack)) = random.pick(ATTACKS) {
                attack(world, &mut random, &mut draft);
                draft.story.push((*name).to_owned());
            }
        }
    }
    let one = Played { world, draft: &draft, is_honest };
    let violation = one.judge(&mut random, stats).err();
    let mut story = vec![format!("{:?}", world.setting)];
    story.extend(draft.story.clone());
    if violation.is_some() {
        story.push(format!("{draft:?}"));
    }
    Told { story, violation }
}

struct Played<'a> {
    world: &'a World,
    draft: &'a Draft,
    is_honest: bool,
}

impl Played<'_> {
    fn judge(&self, random: &mut Random, stats: &mut Stats) -> Result<(), Violation> {
        stats.seeds = stats.seeds.saturating_add(1);
        let Some(raw) = self.draft.raw(self.world) else {
            stats.unwritten = stats.unwritten.saturating_add(1);
            return Ok(());
        };
        let checked = self.world.chain.check_local(&self.draft.payload(&raw)).and_then(|payment| {
            self.world.chain.check_rent(&payment, self.draft.rent_charged)?;
            Ok(payment)
        });
        let payment = match checked {
            Ok(payment) => payment,
            Err(error) => {
                stats.refused(&error, &self.draft.story);
                return self.refused(&raw, &error, random, stats);
            }
        };
        stats.accepted(&self.draft.story, self.is_honest);
        oracle::check_terms(self.world, &self.draft.terms, &payment)?;
        self.check_slot(&raw, &payment)?;
        let signed = self.sign(&payment)?;
        let ran = self.land(&payment, &signed)?;
        stats.ran(ran);
        if self.is_honest && ran == Ran::Failed {
            return Err("what an honest client made does not land".to_owned());
        }
        Ok(())
    }

    fn quoted(&self) -> u64 {
        QUOTED.saturating_add(if self.draft.rent_charged { self.world.rent } else { 0 })
    }

    /// Signed for what was quoted, and for no lamport less than it may cost.
    fn sign(&self, payment: &SolanaPayment) -> Result<SignedTransaction, Violation> {
        let chain = &self.world.chain;
        let signed = chain
            .co_sign(payment, self.quoted())
            .map_err(|error| format!("accepted, and not signed for what was quoted: {error}"))?;
        let less = signed.cost_bound_lamports.saturating_sub(1);
        match chain.co_sign(payment, less) {
            Ok(_) => Err(format!("signed for {less} lamports, and may cost one more")),
            Err(_) => Ok(signed),
        }
    }

    fn land(&self, payment: &SolanaPayment, signed: &SignedTransaction) -> Result<Ran, Violation> {
        let transaction = oracle::reread(signed)?;
        oracle::check_message(self.world, &transaction.message, &self.draft.terms, payment)?;
        let is_exact = !self.draft.instructions.iter().any(is_call);
        let (bound, amount) = (signed.cost_bound_lamports, payment.amount().atomic());
        oracle::run(self.world, &transaction, bound, amount, is_exact)
    }

    /// Whatever stands in our signature's place, the payment is the same.
    fn check_slot(&self, raw: &[u8], payment: &SolanaPayment) -> Result<(), Violation> {
        let mut draft = self.draft.clone();
        draft.spoils.push(Spoil::Slot([0x5a; 64]));
        let other = draft.raw(self.world).filter(|other| other.len() == raw.len());
        let Some(other) = other else { return Ok(()) };
        match self.world.chain.check_local(&draft.payload(&other)) {
            Ok(again) if again == *payment => Ok(()),
            other => Err(format!("another payment with other bytes in our slot: {:?}", other.err())),
        }
    }

    fn refused(
        &self,
        raw: &[u8],
        error: &SolanaError,
        random: &mut Random,
        stats: &mut Stats,
    ) -> Result<(), Violation> {
        if self.is_honest {
            return Err(format!("what an honest client made is refused: {error}"));
        }
        if !random.chance(25) {
            return Ok(());
        }
        // As if it came back from the ledger in the place of one that was accepted.
        let plain = honest(self.world, random);
        let Some(bytes) = plain.raw(self.world) else { return Ok(()) };
        let accepted = self.world.chain.check_local(&plain.payload(&bytes));
        let accepted = accepted.map_err(|error| format!("an honest payment is refused: {error}"))?;
        let mut stored = serde_json::to_value(&accepted).map_err(|error| error.to_string())?;
        stored["transaction"] = json!(STANDARD.encode(raw));
        let Ok(forged) = serde_json::from_value::<SolanaPayment>(stored) else { return Ok(()) };
        stats.grafted = stats.grafted.saturating_add(1);
        let Ok(signed) = self.world.chain.co_sign(&forged, self.quoted()) else { return Ok(()) };
        // What was refused for its terms alone is a payment of the other's amount.
        let transaction = oracle::reread(&signed)?;
        let is_exact = !self.draft.instructions.iter().any(is_call);
        let (bound, amount) = (signed.cost_bound_lamports, accepted.amount().atomic());
        oracle::run(self.world, &transaction, bound, amount, is_exact)
            .map(|_| ())
            .map_err(|found| format!("signed from the ledger what was refused ({error}): {found}"))
    }
}
