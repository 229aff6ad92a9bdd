//! Any order of events, and any answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// A world that answers effects as it likes: late, in any order, with any outcome.
struct World {
    seed: u64,
    state: State,
    waiting: VecDeque<Effect>,
    durable: BTreeMap<PaymentId, Vec<Attempt>>,
    failed: BTreeSet<String>,
    asked: BTreeMap<PaymentId, u32>,
    heard: BTreeMap<PaymentId, u32>,
    /// What the ledger holds.
    held: BTreeMap<PaymentId, u128>,
    /// Commits whose answers were lost, and that come when they like.
    late: Vec<(PaymentId, Option<AttemptId>, u128)>,
    sent: BTreeSet<AttemptId>,
    attempts: i64,
    now: u64,
    takes_nonce: bool,
}

impl World {
    fn draw(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn happens(&mut self, event: Event) {
        for effect in step(&mut self.state, event, self.now) {
            self.check(&effect);
            match &effect {
                Effect::Reply { payment, .. } => *self.heard.entry(payment.clone()).or_default() += 1,
                Effect::Tell { payment } => assert!(self.durable.contains_key(payment)),
                Effect::Send { attempt, .. } => {
                    self.sent.insert(*attempt);
                    self.waiting.push_back(effect);
                }
                _ => self.waiting.push_back(effect),
            }
        }
    }

    fn check(&self, effect: &Effect) {
        match effect {
            Effect::Send { payment, attempt } => {
                let durable = self.durable.get(payment).map_or(&[][..], Vec::as_slice);
                let sent = durable.iter().position(|one| one.id == *attempt);
                let sent = sent.expect("I2: only durable bytes are sent");
                // The newest; or one that failed, while nobody could read whether another is signed; or
                // one whose replacement nobody was told of.
                let is_spent = self.is_spent(&durable[sent]);
                let same = durable[sent..].iter().all(|one| one.shares_slot(&durable[sent]));
                assert!(is_spent || same, "I10: another attempt is alive");
                let spent = durable.iter().any(|one| self.failed.contains(&one.transaction));
                assert!(spent || self.held[payment] > 0, "P3: bytes whose cost is not reserved");
            }
            Effect::Record { payments, allowed, .. } => {
                let held = self.held[&payments[0]];
                assert!(held >= allowed.reserved_native, "P3: signed beyond what is reserved");
            }
            Effect::Broken { rule, .. } => panic!("{rule}"),
            _ => {}
        }
        assert!(self.state.recording <= RECORDINGS_MAX && self.state.sending <= SENDS_MAX);
    }

    fn answer(&mut self, effect: Effect, kindly: bool) {
        let luck = if kindly { 9 } else { self.draw(10) };
        let event = match effect {
            Effect::Price { payment } => {
                let bound = if luck == 2 {
                    Err(SignRefused::later("fees"))
                } else {
                    Ok(u128::from(5 + self.draw(20)))
                };
                let (ready, charged) = (luck != 0, (luck != 1).then_some(100));
                Event::Fees { payment, fees: Fees { ready, charged, bound } }
            }
            Effect::Reserve { payment, bound, .. } => {
                let result = if luck < 4 { Err("no room, or no answer".to_owned()) } else { Ok(()) };
                if result.is_ok() || luck == 3 {
                    let held = self.held.entry(payment.clone()).or_default();
                    *held = bound.max(*held);
                }
                Event::Reserved { payment, result }
            }
            Effect::Record { payments, newest, allowed, .. } => {
                return self.record((payments[0].clone(), newest, allowed.reserved_native), luck);
            }
            Effect::Read { payment } => {
                let attempts = self.durable.get(&payment).cloned().unwrap_or_default();
                Event::Read { payment, attempts: (luck > 1).then_some(attempts) }
            }
            Effect::GiveBack { payment, .. } if luck == 9 && !kindly => {
                Event::Returned { payment, returned: Returned::Kept }
            }
            Effect::GiveBack { payment, known } if self.durable.get(&payment).map_or(0, Vec::len) > known => {
                let attempts = self.durable.get(&payment).cloned();
                Event::Read { payment, attempts }
            }
            Effect::GiveBack { payment, .. } | Effect::Return { payment } if luck < 3 => {
                Event::Returned { payment, returned: Returned::Unsure }
            }
            Effect::GiveBack { payment, .. } | Effect::Return { payment } => {
                // What takes a nonce gives it back once it failed.
                if !self.takes_nonce || self.alive(&payment).is_none() {
                    self.held.insert(payment.clone(), 0);
                }
                Event::Returned { payment, returned: Returned::Freed }
            }
            Effect::Send { payment, .. } if luck == 0 => Event::Broke { payment },
            Effect::Send { payment, .. } => {
                Event::Sent { payment, outcome: SendOutcome::Accepted, withheld: luck == 1 }
            }
            Effect::Replace { attempt, payments, .. } => self.replace(attempt, payments, luck),
            about_slots => match self.answer_for_slots(about_slots, luck) {
                Some(event) => event,
                None => return,
            },
        };
        self.happens(event);
    }

    fn answer_for_slots(&self, effect: Effect, luck: u64) -> Option<Event> {
        Some(match effect {
            Effect::AskUsed if luck < 2 => Event::LookFailed,
            Effect::AskUsed => Event::Used(0),
            Effect::ReadSlots { .. } => {
                let slot = |one: &Attempt| OpenSlot { attempt: one.id, nonce: one.nonce.unwrap_or_default() };
                let attempts: Vec<_> = self.durable.values().flatten().cloned().collect();
                let mut open: Vec<_> = attempts.iter().map(slot).collect();
                open.sort_by_key(|slot| (slot.nonce, slot.attempt));
                Event::SlotsRead { open, attempts }
            }
            Effect::Weigh { .. } if luck == 0 => Event::NotReplaced { is_spent: false },
            Effect::Weigh { attempt } => {
                let mut all = self.durable.values().flatten();
                let open = all.find(|one| one.id == attempt).map(|one| one.payments.clone());
                Event::Weighed { attempt, open: open.unwrap_or_default(), lives: luck > 2 }
            }
            Effect::LookAtHead { .. } => Event::HeadSeen { is_stuck: luck < 5 },
            Effect::Judge { attempts } => Event::Judged { over: attempts },
            Effect::Fill { attempt } => Event::Filled(attempt),
            Effect::Again { attempt } => Event::SentAgain(attempt),
            _ => return None,
        })
    }

    /// As the ledger does it: a first attempt for what was claimed and nothing else, a further one
    /// beside none that its caller does not know or that may land, and nothing beyond what is
    /// reserved (I10, P3). Bytes that the lane was never told of are durable all the same.
    fn record(&mut self, new: (PaymentId, Option<AttemptId>, u128), luck: u64) {
        let payment = new.0.clone();
        let answer_lost = || Event::NotRecorded { payment: payment.clone(), reason: "reset".to_owned() };
        let event = match luck {
            0 => Event::NotSigned { payment, refusal: SignRefused::later("fees") },
            1 => Event::Broke { payment },
            2 => {
                let _ = self.store(&new);
                answer_lost()
            }
            3 => {
                let lost = answer_lost();
                self.late.push(new);
                lost
            }
            _ => match self.store(&new) {
                Ok(attempt) => Event::Recorded { attempt },
                Err(true) => Event::NotReserved { payment, reason: "not reserved".to_owned() },
                Err(false) => answer_lost(),
            },
        };
        self.happens(event);
    }

    /// `Err`: whether it is for want of a reservation.
    fn store(
        &mut self,
        (payment, newest, cost): &(PaymentId, Option<AttemptId>, u128),
    ) -> Result<Attempt, bool> {
        let durable = self.durable.entry(payment.clone()).or_default();
        let durable = durable.clone();
        let may_land = durable.iter().any(|one| !self.is_spent(one));
        let allowed = durable.last().map(|one| one.id) == *newest && !may_land;
        if durable.is_empty() {
            self.durable.remove(payment);
        }
        if !allowed || self.held[payment] < *cost {
            return Err(allowed);
        }
        self.attempts += 1;
        let made = attempt(self.attempts, payment);
        let durable = self.durable.entry(payment.clone()).or_default();
        durable.push(made.clone());
        assert!(self.slots(payment) <= ATTEMPTS_MAX as usize, "one attempt more than a payment may cost");
        Ok(made)
    }

    fn is_spent(&self, attempt: &Attempt) -> bool {
        let all = self.durable.values().flatten().filter(|one| one.shares_slot(attempt));
        all.into_iter().any(|one| self.failed.contains(&one.transaction))
    }

    /// As the ledger does it: the newest at its nonce alone, and nothing where that is used.
    fn replace(&mut self, old: AttemptId, payments: Vec<PaymentId>, luck: u64) -> Event {
        let no = Event::NotReplaced { is_spent: luck == 1 };
        let Some(payment) = payments.first().filter(|_| luck > 1) else { return no };
        let newest = self.durable.get(payment).and_then(|all| all.last()).filter(|newest| newest.id == old);
        let Some(nonce) = newest.filter(|newest| !self.is_spent(newest)).and_then(|newest| newest.nonce)
        else {
            return no;
        };
        self.attempts += 1;
        let made = at(self.attempts, payment, nonce);
        self.durable.entry(payment.clone()).or_default().push(made.clone());
        self.held.entry(payment.clone()).and_modify(|held| *held = (*held).max(10));
        if luck == 2 { no } else { Event::Replaced { attempt: made } }
    }

    fn slots(&self, payment: &PaymentId) -> usize {
        let all = self.durable.get(payment).into_iter().flatten();
        all.filter_map(|one| one.nonce).collect::<BTreeSet<_>>().len()
    }

    fn commits_late(&mut self) {
        for new in std::mem::take(&mut self.late) {
            let _ = self.store(&new);
        }
    }

    fn settles(&mut self) {
        while let Some(effect) = self.waiting.pop_front() {
            self.answer(effect, true);
        }
    }

    fn heard_all(&self) -> BTreeMap<PaymentId, u32> {
        let heard = |payment: &PaymentId| self.heard.get(payment).copied().unwrap_or_default();
        self.asked.keys().map(|payment| (payment.clone(), heard(payment))).collect()
    }

    fn alive(&self, payment: &PaymentId) -> Option<Attempt> {
        let newest = self.durable.get(payment)?.last()?;
        (!self.is_spent(newest)).then(|| newest.clone())
    }

    /// A driver that asks once and hears once before it asks again.
    fn drive(&mut self, number: u32) {
        let payment = payment(number);
        if !self.asked.contains_key(&payment) {
            let reserved = u128::from(self.draw(2) * 10);
            self.held.insert(payment.clone(), reserved);
            self.asked.insert(payment.clone(), 0);
            self.happens(Event::Taken { payment: payment.clone(), start: start(reserved) });
        }
        let heard = self.heard.get(&payment).copied().unwrap_or_default();
        if self.asked[&payment] > heard {
            return;
        }
        let signed = self.slots(&payment);
        if self.draw(5) == 0 {
            return self.happens(Event::Unwell { payment });
        }
        match self.alive(&payment) {
            Some(newest) if self.takes_nonce && self.draw(4) == 0 => {
                self.failed.insert(newest.transaction.clone());
                self.held.insert(payment.clone(), 0);
                self.happens(Event::Failed { payment, transaction: newest.transaction });
            }
            alive if alive.is_some() || signed < ATTEMPTS_MAX as usize => {
                *self.asked.get_mut(&payment).unwrap() += 1;
                self.happens(Event::Wanted { payment, seen: Seen::default() });
            }
            _ => self.happens(Event::Unwell { payment }),
        }
    }
}

/// Whatever the ledger, the nodes and the drivers do, in whatever order: only durable bytes
/// are sent, nothing is signed beyond what is reserved or beside a live attempt, who asks
/// hears exactly once, and no place is lost.
#[test]
fn any_order_of_events_keeps_the_rules() {
    for seed in 1..=3_000_u64 {
        let told = std::panic::catch_unwind(|| play(seed));
        assert!(told.is_ok(), "seed {seed}");
    }
}

fn play(seed: u64) {
    let takes_nonce = !seed.is_multiple_of(3);
    let mut world = World {
        seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        state: if takes_nonce { base() } else { solana() },
        waiting: VecDeque::new(),
        durable: BTreeMap::new(),
        failed: BTreeSet::new(),
        asked: BTreeMap::new(),
        heard: BTreeMap::new(),
        held: BTreeMap::new(),
        late: Vec::new(),
        sent: BTreeSet::new(),
        attempts: 0,
        now: 0,
        takes_nonce,
    };
    for _ in 0..150 {
        world.now += world.draw(700);
        match world.draw(5) {
            4 => world.commits_late(),
            0 => {
                let number = u32::try_from(world.draw(5)).unwrap();
                world.drive(number);
            }
            1 => world.happens(Event::Tick),
            _ => {
                let any = world.draw(world.waiting.len().max(1) as u64);
                let any = world.waiting.remove(usize::try_from(any).unwrap());
                if let Some(effect) = any {
                    world.answer(effect, false);
                }
            }
        }
    }
    world.settles();
    assert_eq!(world.heard_all(), world.asked, "who asks hears once");
    assert!(world.state.is_quiet(), "a place was lost");
    world.commits_late();
    for _ in 0..12 {
        world.now += 2_500;
        world.happens(Event::Tick);
        world.settles();
    }
    let left: Vec<_> = world.asked.keys().filter_map(|payment| world.alive(payment)).collect();
    let unsent = left.iter().find(|one| world.takes_nonce && !world.sent.contains(&one.id));
    assert_eq!(unsent, None, "I2: bytes that are durable, and that nobody sends");
    world.happens(Event::Stop);
    world.happens(Event::Tick);
    assert!(world.waiting.is_empty(), "a stop begins nothing");
}
