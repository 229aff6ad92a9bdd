use super::*;

const fn both(units: u64) -> Exposed {
    Exposed { usdc: Amount::new(units), native: units }
}

fn limits() -> ExposureLimits {
    ExposureLimits {
        payer_in_flight: both(400),
        network_in_flight: both(2_000),
        payer_unearned_in_flight: 1_000,
        payer_day: Amount::new(100),
        soft_day: both(1_000),
        probes_day: both(50),
        spent_day: Amount::new(100_000),
        history_bps: 1_000,
        by_code_in_flight: 2,
    }
}

fn wanted(units: u64) -> Reserve {
    Reserve {
        source: "payer".to_owned(),
        balance: None,
        hold_until_ms: None,
        bound: both(units),
        by_code: false,
        account: None,
        limits: limits(),
    }
}

fn admitted(at: &Sums, units: u64) -> Result<Funding, NoRoom> {
    admit(at, &wanted(units), Amount::ZERO)
}

fn strangers(burnt: u64, reserved: u64) -> Sums {
    let network = ExposureSums {
        reserved: both(reserved),
        reserved_strangers: both(reserved),
        burnt: both(burnt),
        spent: Amount::new(burnt),
    };
    Sums { network, ..Sums::default() }
}

/// P3: burnt and reserved together stay at or below soft limit plus probes, for
/// any order of claims, burns and landings of any number of strangers.
#[test]
fn p3_strangers_never_pass_the_soft_limit_and_the_probes() {
    let mut state = 7_u64;
    let mut draw = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut at = strangers(0, 0);
    let mut open: Vec<(u64, Funding)> = Vec::new();
    for _ in 0..20_000 {
        let units = 1 + draw(60);
        if let Ok(funding) = admitted(&at, units) {
            assert_ne!(funding, Funding::History);
            open.push((units, funding));
            at.network.reserved = at.network.reserved.plus(both(units));
            at.network.reserved_strangers = at.network.reserved;
            at.probes += u64::from(funding == Funding::Probe);
        }
        assert!(at.probes <= 1, "one probe at a time");
        let (burnt, reserved) = (at.network.burnt.native, at.network.reserved.native);
        assert!(burnt + reserved <= 1_050, "{burnt} burnt, {reserved} reserved");
        if draw(3) > 0 && !open.is_empty() {
            let (units, funding) = open.swap_remove(draw(open.len() as u64) as usize);
            at.probes -= u64::from(funding == Funding::Probe);
            let left = at.network.reserved.native - units;
            at.network.reserved = both(left);
            at.network.reserved_strangers = both(left);
            at.network.burnt = at.network.burnt.plus(both(draw(units + 1)));
        }
    }
    assert!(at.network.burnt.native > 900, "the attack must reach the limit: {:?}", at.network);
}

#[test]
fn p3_a_wrong_rate_lifts_no_ceiling() {
    let cheap = |native| Reserve { bound: Exposed { usdc: Amount::new(0), native }, ..wanted(0) };
    let mut at = strangers(0, 0);
    at.network.burnt.native = 990;
    assert_eq!(admit(&at, &cheap(10), Amount::ZERO), Ok(Funding::Stranger));
    assert_eq!(admit(&at, &cheap(50), Amount::ZERO), Ok(Funding::Probe));
    assert_eq!(admit(&at, &cheap(61), Amount::ZERO), Err(NoRoom::Exhausted));
    at.payer.native = 395;
    assert_eq!(admit(&at, &cheap(10), Amount::ZERO), Err(NoRoom::PayerInFlight));
    at.payer.native = 0;
    at.network.reserved.native = 1_999;
    assert_eq!(admit(&at, &cheap(10), Amount::ZERO), Err(NoRoom::NetworkInFlight));
}

/// P3: strangers hold no switch.
#[test]
fn p3_a_payer_with_history_buys_when_strangers_burnt_everything() {
    let mut at = strangers(1_050, 0);
    assert_eq!(admitted(&at, 5), Err(NoRoom::Exhausted));
    at.paid = Amount::new(100);
    assert_eq!(admitted(&at, 10), Ok(Funding::History), "a tenth of what it paid");
    assert_eq!(admitted(&at, 11), Err(NoRoom::Exhausted));
    at.payer_history = Amount::new(4);
    at.paid_burnt = Amount::new(3);
    assert_eq!(admitted(&at, 3), Ok(Funding::History));
    assert_eq!(admitted(&at, 4), Err(NoRoom::Exhausted), "what it burnt once is gone for good");
}

#[test]
fn p3_one_payer_has_its_own_allowance() {
    let mut at = strangers(0, 0);
    at.payer_burnt = Amount::new(60);
    assert_eq!(admitted(&at, 40), Ok(Funding::Stranger));
    assert_eq!(admitted(&at, 41), Err(NoRoom::PayerBurnt));
    at.payer = both(30);
    assert_eq!(admitted(&at, 20), Err(NoRoom::PayerInFlight), "it may burn what is in flight");
    // Fees are high: who burnt nothing may try once.
    let fresh = strangers(0, 0);
    assert_eq!(admitted(&fresh, 101), Ok(Funding::Stranger));
}

#[test]
fn p3_the_balance_is_spent_once() {
    let mut at = strangers(0, 0);
    let seen =
        |amount: u64| Reserve { balance: Some(Balance { amount: Amount::new(amount), at: 1 }), ..wanted(1) };
    assert_eq!(admit(&at, &seen(10), Amount::new(10)), Ok(Funding::Stranger));
    at.held = Amount::new(1);
    assert_eq!(admit(&at, &seen(10), Amount::new(10)), Err(NoRoom::Balance));
    assert_eq!(admit(&at, &seen(11), Amount::new(10)), Ok(Funding::Stranger));
    at.landed = Amount::new(1);
    assert_eq!(
        admit(&at, &seen(11), Amount::new(10)),
        Err(NoRoom::Balance),
        "landed after the balance was read"
    );
}

#[test]
fn p3_payers_with_code_have_a_ceiling_of_their_own() {
    let mut at = strangers(0, 0);
    let by_code = Reserve { by_code: true, ..wanted(1) };
    at.by_code = 1;
    assert_eq!(admit(&at, &by_code, Amount::ZERO), Ok(Funding::Stranger));
    at.by_code = 2;
    assert_eq!(admit(&at, &by_code, Amount::ZERO), Err(NoRoom::CodeInFlight));
    assert_eq!(admitted(&at, 1), Ok(Funding::Stranger));
}

#[test]
fn a_day_ends_with_its_slot() {
    let now = 1_800_000_000_000;
    assert_eq!(first_slot(now), slot_of(now - DAY_MS));
    assert!(first_slot(now + SLOT_MS) > first_slot(now));
}
