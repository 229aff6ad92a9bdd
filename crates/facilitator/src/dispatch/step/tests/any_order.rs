//! Any order of events, and any answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// What is to be recorded: each payment with the newest attempt of it that is known; at what cost.
type New = (Vec<(PaymentId, Option<AttemptId>)>, u128);

/// A world that answers effects as it likes: late, in any order, with any outcome.
struct World {
    seed: u64,
    state: State,
    waiting: VecDeque<Effect>,
    durable: BTreeMap<PaymentId, Vec<Attempt>>,
    /// Of which payment.
    failed: BTreeSet<(PaymentId, String)>,
    asked: BTreeMap<PaymentId, u32>,
    heard: BTreeMap<PaymentId, u32>,
    /// What the ledger holds.
    held: BTreeMap<PaymentId, u128>,
    /// Commits whose answers were lost, and that come when they like.
    late: Vec<New>,
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
                let failed = |one: &Attempt| self.has_failed(payment, one);
                let is_spent = failed(&durable[sent]);
                let same = durable[sent..].iter().all(|one| one.shares_slot(&durable[sent]));
                assert!(is_spent || same, "I10: another attempt is alive");
                let held: u128 = durable[sent].payments.iter().map(|of| self.held[of]).sum();
                assert!(durable.iter().any(failed) || held > 0, "P3: bytes whose cost is not reserved");
            }
            Effect::Record { payments, allowed, .. } => {
                let held = self.held[&payments[0]];
                assert!(held >= allowed.reserved_native, "P3: signed beyond what is reserved");
            }
            Effect::RecordBatch(batch) => {
                let held: u128 = batch.parts.iter().map(|part| self.held[&part.payment]).sum();
                assert!(held >= batch.reserved, "P3: signed beyond what is reserved");
                assert!(batch.parts.len() > 1, "one alone goes alone");
            }
            Effect::Broken { rule, .. } => panic!("{rule}"),
            _ => {}
        }
        assert!(self.state.recording <= RECORDINGS_MAX && self.state.sending <= SENDS_MAX);
    }

    fn answer(&mut self, effect: Effect, kindly: bool) {
        let luck = if kindly { 9 } else { self.draw(10) };
        let event = match effect {
            Effect::Price { payment } => self.price(payment, luck),
            Effect::Reserve { payment, bound, .. } => {
                let result = if luck < 4 { Err("no room, or no answer".to_owned()) } else { Ok(()) };
                if result.is_ok() || luck == 3 {
                    let held = self.held.entry(payment.clone()).or_default();
                    *held = bound.max(*held);
                }
                Event::Reserved { payment, result }
            }
            Effect::Record { payments, newest, allowed, .. } => {
                return self.record((vec![(payments[0].clone(), newest)], allowed.reserved_native), luck);
            }
            Effect::Rehearse(batch) => self.rehearse(&batch, luck),
            Effect::RecordBatch(batch) => {
                let new: Vec<_> = batch.payments().into_iter().map(|payment| (payment, None)).collect();
                return self.record((new, batch.reserved), luck);
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

    fn price(&mut self, payment: PaymentId, luck: u64) -> Event {
        let bound =
            if luck == 2 { Err(SignRefused::later("fees")) } else { Ok(u128::from(5 + self.draw(20))) };
        let (ready, charged) = (luck != 0, (luck != 1).then_some(100));
        // Two of three payers are one's own, and may share.
        let payer = format!("payer {}", self.draw(3));
        let company = Company { payer, items_max: 3, wait_ms: 300 };
        let company = (self.takes_nonce && self.draw(4) > 0).then_some(company);
        Event::Fees { payment, fees: Fees { ready, charged, bound, company } }
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

    fn rehearse(&mut self, batch: &Batch, luck: u64) -> Event {
        let (mut moves, mut left_out) = (Vec::new(), Vec::new());
        for payment in batch.payments() {
            match if luck == 9 { 9 } else { self.draw(6) } {
                0 => left_out.push(payment),
                // Nothing is known of it.
                1 => {}
                _ => moves.push(payment),
            }
        }
        if luck == 0 {
            (moves, left_out) = (Vec::new(), Vec::new());
        }
        Event::Rehearsed { payments: batch.payments(), moves, left_out }
    }

    /// As the ledger does it: a first attempt for what was claimed and nothing else, a further one
    /// beside none that its caller does not know or that may land, and nothing beyond what is
    /// reserved (I10, P3). Bytes that the lane was never told of are durable all the same.
    fn record(&mut self, new: New, luck: u64) {
        let payments: Vec<PaymentId> = new.0.iter().map(|(payment, _)| payment.clone()).collect();
        let payment = payments[0].clone();
        let several = payments.len() > 1;
        let lost = || match several {
            true => Event::Unsure { payments: payments.clone(), reason: "reset".to_owned() },
            false => Event::NotRecorded { payment: payment.clone(), reason: "reset".to_owned() },
        };
        let apart = || Event::Apart { payments: payments.clone() };
        let event = match luck {
            0 if several => apart(),
            0 => Event::NotSigned { payment, refusal: SignRefused::later("fees") },
            1 if several => lost(),
            1 => Event::Broke { payment },
            2 => {
                let _ = self.store(&new);
                lost()
            }
            3 => {
                let lost = lost();
                self.late.push(new);
                lost
            }
            _ => match self.store(&new) {
                Ok(attempt) => Event::Recorded { attempt },
                Err(_) if several => apart(),
                Err(true) => Event::NotReserved { payment, reason: "not reserved".to_owned() },
                Err(false) => lost(),
            },
        };
        self.happens(event);
    }

    /// `Err`: whether it is for want of a reservation.
    fn store(&mut self, (new, cost): &New) -> Result<Attempt, bool> {
        for (payment, newest) in new {
            let durable = self.durable.get(payment).map_or(&[][..], Vec::as_slice);
            let may_land = durable.iter().any(|one| !self.has_failed(payment, one));
            if may_land || durable.last().map(|one| one.id) != *newest {
                return Err(false);
            }
        }
        let held: u128 = new.iter().map(|(payment, _)| self.held[payment]).sum();
        if held < *cost {
            return Err(true);
        }
        self.attempts += 1;
        let payments: Vec<PaymentId> = new.iter().map(|(payment, _)| payment.clone()).collect();
        let made = Attempt { payments: payments.clone(), ..attempt(self.attempts, &payments[0]) };
        for payment in payments {
            self.durable.entry(payment.clone()).or_default().push(made.clone());
            let slots = self.slots(&payment);
            assert!(slots <= ATTEMPTS_MAX as usize, "one attempt more than a payment may cost");
        }
        Ok(made)
    }

    /// Whether the chain used the nonce, by what any of its payments was told.
    fn is_spent(&self, attempt: &Attempt) -> bool {
        let all = self.durable.values().flatten().filter(|one| one.shares_slot(attempt));
        all.into_iter().any(|one| self.failed.iter().any(|(_, transaction)| *transaction == one.transaction))
    }

    /// As the ledger does it: the newest at its nonce alone, and nothing where that is used.
    fn replace(&mut self, old: AttemptId, payments: Vec<PaymentId>, luck: u64) -> Event {
        let no = Event::NotReplaced { is_spent: luck == 1 };
        let Some(payment) = payments.first().filter(|_| luck > 1) else { return no };
        let newest = |payment: &PaymentId| self.durable.get(payment).and_then(|all| all.last());
        let is_newest = |payment: &PaymentId| newest(payment).is_some_and(|newest| newest.id == old);
        if !payments.iter().all(is_newest) {
            return no;
        }
        let Some(nonce) =
            newest(payment).filter(|newest| !self.is_spent(newest)).and_then(|newest| newest.nonce)
        else {
            return no;
        };
        self.attempts += 1;
        let made = Attempt { payments: payments.clone(), ..at(self.attempts, payment, nonce) };
        for payment in payments {
            self.durable.entry(payment.clone()).or_default().push(made.clone());
            self.held.entry(payment).and_modify(|held| *held = (*held).max(10));
        }
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
        loop {
            while let Some(effect) = self.waiting.pop_front() {
                self.answer(effect, true);
            }
            if self.state.gathering.len() == 0 {
                break;
            }
            self.now += 1_000;
            self.happens(Event::Tick);
        }
    }

    fn heard_all(&self) -> BTreeMap<PaymentId, u32> {
        let heard = |payment: &PaymentId| self.heard.get(payment).copied().unwrap_or_default();
        self.asked.keys().map(|payment| (payment.clone(), heard(payment))).collect()
    }

    fn alive(&self, payment: &PaymentId) -> Option<Attempt> {
        let newest = self.durable.get(payment)?.last()?;
        (!self.has_failed(payment, newest)).then(|| newest.clone())
    }

    fn has_failed(&self, payment: &PaymentId, attempt: &Attempt) -> bool {
        let mine = self.durable.get(payment).into_iter().flatten().filter(|one| one.shares_slot(attempt));
        mine.into_iter().any(|one| self.failed.contains(&(payment.clone(), one.transaction.clone())))
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
                self.failed.insert((payment.clone(), newest.transaction.clone()));
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
