use quittance_protocol::{ErrorCode, Network};
use serde_json::{Map, Value};

use super::*;
use crate::chain::GasCoin;

/// What one settlement may cost at most.
const BOUND: u128 = 100;

fn facts(network: &str, paying: &[&str], retired: &[&str]) -> Facts {
    let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    Facts {
        network: network.parse().unwrap(),
        coin: GasCoin { name: "ETH".to_owned(), decimals: 18, pair: "eth_usd".to_owned() },
        wallets: owned(paying),
        retired_wallets: owned(retired),
        offer_extra: Map::new(),
        offer_wallet: (network == Network::SOLANA).then_some("feePayer"),
        takes_nonce: network == Network::BASE,
        amount_mismatch: ErrorCode::InvalidPayload,
        network_mismatch: ErrorCode::InvalidNetwork,
    }
}

fn pool(paying: &[&str], retired: &[&str]) -> Pool {
    Pool::new(&facts(Network::SOLANA, paying, retired), 10)
}

fn costs(balances: &[(&str, u128)]) -> CostSnapshot {
    CostSnapshot {
        cost_native: BOUND / 2,
        rent_native: 0,
        wallets_native: balances.iter().map(|(wallet, native)| ((*wallet).to_owned(), *native)).collect(),
        floor_native: 0,
        bound_native: BOUND,
        owed_account: None,
        obstacle: None,
        detail: Value::Null,
        offer_extra: Map::new(),
    }
}

fn chosen(pool: &Pool) -> &str {
    &pool.choose().unwrap().address
}

#[test]
fn the_shortest_lane_is_chosen_and_of_equals_who_holds_most() {
    let pool = pool(&["a", "b"], &["old"]);
    pool.note_balances(&costs(&[("a", 5_000), ("b", 6_000), ("old", 9_000)]), 0);
    assert_eq!(chosen(&pool), "b");
    let first = pool.get("b").unwrap().hold(0);
    assert_eq!(chosen(&pool), "a", "never the retired one, whatever it holds");
    let second = pool.get("a").unwrap().hold(0);
    assert_eq!(chosen(&pool), "b");
    drop((first, second));
    assert_eq!(pool.get("a").unwrap().load(), Load::default(), "what is over counts no more");
}

#[test]
fn a_wallet_that_runs_low_hands_over_before_it_is_empty() {
    let pool = pool(&["a", "b"], &[]);
    let changed = pool.note_balances(&costs(&[("a", 999), ("b", 1_000)]), 0);
    let [(wallet, [Funds::Fine, Funds::Low])] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(wallet.address, "a");
    let _busy: Vec<_> = (0..50).map(|_| pool.get("b").unwrap().hold(0)).collect();
    assert_eq!(chosen(&pool), "b", "however long its lane is");
    assert_eq!((0..4).map(|_| pool.next_named()).collect::<Vec<_>>(), [1; 4], "it alone is offered");
    // When all are low, who can still pay does.
    pool.note_balances(&costs(&[("a", 999), ("b", 99)]), 0);
    assert_eq!((chosen(&pool), pool.closed()), ("a", None));
    assert_eq!(pool.next_named(), 0);
    pool.note_balances(&costs(&[("a", 99), ("b", 99)]), 0);
    assert_eq!(pool.closed(), Some(Closed::WalletEmpty));
    let changed = pool.note_balances(&costs(&[("a", 5_000), ("b", 99)]), 0);
    assert!(matches!(&changed[..], [(_, [Funds::Empty, Funds::Fine])]), "{changed:?}");
    assert_eq!(pool.closed(), None);
}

#[test]
fn what_is_reserved_counts_once_against_its_own_wallet_and_against_all_where_nobody_knows() {
    let pool = pool(&["a", "b"], &[]);
    // Of 3,000 that are reserved on the network, 2,000 are known to be b's.
    let _held: Vec<_> = (0..20).map(|_| pool.get("b").unwrap().hold(BOUND)).collect();
    pool.note_balances(&costs(&[("a", 2_000), ("b", 4_000)]), 3_000);
    assert_eq!(pool.get("a").unwrap().funds(), Funds::Fine, "1,000 of others, and ten settlements");
    assert_eq!(pool.get("b").unwrap().funds(), Funds::Fine);
    pool.note_balances(&costs(&[("a", 1_999), ("b", 3_999)]), 3_000);
    assert_eq!(pool.get("a").unwrap().funds(), Funds::Low);
    assert_eq!(pool.get("b").unwrap().funds(), Funds::Low);
    // What the ledger says is all there is, whatever is still counted here.
    pool.note_balances(&costs(&[("a", 1_000), ("b", 1_000)]), 0);
    assert_eq!(pool.get("b").unwrap().funds(), Funds::Fine);
}

/// Between two readings a small wallet with a short lane was given more than it holds.
#[test]
fn what_was_given_since_the_balance_was_read_counts_against_the_wallet() {
    let pool = pool(&["small", "big"], &[]);
    pool.note_balances(&costs(&[("small", 1_200), ("big", 90_000)]), 0);
    let _busy: Vec<_> = (0..50).map(|_| pool.get("big").unwrap().hold(0)).collect();
    let mut given = Vec::new();
    while chosen(&pool) == "small" {
        given.push(pool.get("small").unwrap().hold(BOUND));
        assert!(given.len() < 12, "more than it holds");
    }
    assert_eq!(given.len(), 3, "nine more could follow: it is low");
    assert!((0..6).all(|_| pool.next_named() == 1), "nor does an offer name it");
    drop(given);
    assert_eq!(chosen(&pool), "big", "what ended was paid from a balance that nobody has read yet");
    assert_eq!((pool.closed(), pool.takes("small", 0)), (None, Ok(())));
    pool.note_balances(&costs(&[("small", 1_050), ("big", 90_000)]), 0);
    assert_eq!(chosen(&pool), "small", "now it was");
}

/// Its lane was empty, so the shortest, and drew each new payment into what had broken it.
#[tokio::test(start_paused = true)]
async fn a_lane_that_broke_takes_nothing_new_for_a_minute_while_another_one_can() {
    let pool = pool(&["a", "b"], &[]);
    pool.note_balances(&costs(&[("a", 9_000), ("b", 5_000)]), 0);
    let _busy: Vec<_> = (0..50).map(|_| pool.get("b").unwrap().hold(0)).collect();
    pool.get("a").unwrap().note_broken();
    assert_eq!((chosen(&pool), pool.closed()), ("b", None));
    assert_eq!(pool.next_named(), 1);
    pool.get("b").unwrap().note_broken();
    assert_eq!((chosen(&pool), pool.closed()), ("a", None), "who broke is better than nobody");
    tokio::time::advance(BROKEN_FOR).await;
    pool.get("b").unwrap().note_broken();
    assert_eq!(chosen(&pool), "a");
    tokio::time::advance(BROKEN_FOR / 2).await;
    assert_eq!(chosen(&pool), "a");
}

#[test]
fn a_lane_under_the_base_fee_takes_nothing_while_another_one_can() {
    let pool = pool(&["a", "b"], &["old"]);
    pool.note_balances(&costs(&[("a", 9_000), ("b", 5_000), ("old", 0)]), 0);
    pool.get("a").unwrap().stuck.store(true, Ordering::Release);
    assert_eq!((chosen(&pool), pool.closed()), ("b", None));
    pool.note_balances(&costs(&[("a", 9_000), ("b", 0), ("old", 0)]), 0);
    assert_eq!(pool.closed(), Some(Closed::LaneUnderBaseFee));
    pool.get("a").unwrap().stuck.store(false, Ordering::Release);
    assert_eq!(pool.closed(), None);
}

#[test]
fn offers_name_the_wallets_evenly() {
    let pool = pool(&["a", "b", "c"], &["old"]);
    let named: Vec<usize> = (0..600).map(|_| pool.next_named()).collect();
    for (which, step) in [("all", 1), ("every second", 2), ("every third", 3)] {
        let mut counts = [0_usize; 3];
        named.iter().step_by(step).for_each(|at| counts[*at] += 1);
        let even = 600 / step / 3;
        assert!(counts.iter().all(|count| count.abs_diff(even) <= 4), "{which}: {counts:?}");
    }
    assert_eq!(pool.first_named(), 0, "whoever keeps it is told the first");
    pool.note_balances(&costs(&[("a", 0), ("b", 9_000), ("c", 9_000)]), 0);
    assert!((0..6).all(|_| pool.next_named() != 0));
    assert_eq!(pool.first_named(), 1);
}

#[test]
fn a_retired_fee_payer_is_taken_until_the_last_offer_that_named_it_has_expired() {
    let pool = pool(&["a"], &["old", "older"]);
    assert_eq!(pool.takes("old", 1_000), Err(NotWith::Retired));
    pool.note_tariff(7, Some(vec!["old".to_owned(), "a".to_owned()]), 5_000);
    pool.note_tariff(8, Some(vec!["a".to_owned()]), 9_000);
    assert_eq!(pool.takes("old", 4_999), Ok(()));
    assert_eq!(pool.takes("old", 5_000), Err(NotWith::Retired));
    assert_eq!(pool.takes("older", 4_999), Err(NotWith::Retired));
    assert_eq!(pool.takes("a", i64::MAX), Ok(()), "one that is not retired");
    assert_eq!(pool.takes("foreign", 0), Err(NotWith::Retired));
    assert!(pool.says_offered(8) && !pool.says_offered(7));
    // A tariff of an earlier release names nobody, and its offers named someone.
    pool.note_tariff(3, None, 6_000);
    assert_eq!(pool.takes("older", 5_999), Ok(()));
    assert_eq!(pool.takes("older", 6_000), Err(NotWith::Retired));
}

/// Replicas that name the same wallets in another order wrote a tariff each, in turn, for ever.
#[test]
fn a_tariff_that_names_the_same_wallets_in_another_order_says_the_same() {
    let pool = pool(&["a", "b"], &["old"]);
    pool.note_tariff(7, Some(vec!["b".to_owned(), "a".to_owned()]), 5_000);
    assert!(pool.says_offered(7));
    for (number, others) in [(8, &["a"][..]), (9, &["a", "b", "old"])] {
        pool.note_tariff(number, Some(others.iter().map(|one| (*one).to_owned()).collect()), 5_000);
        assert!(!pool.says_offered(number), "{others:?}");
    }
}

#[test]
fn a_fee_payer_that_cannot_pay_is_not_taken() {
    let pool = pool(&["a", "b"], &[]);
    pool.note_balances(&costs(&[("a", 99), ("b", 9_000)]), 0);
    assert_eq!(pool.takes("a", 0), Err(NotWith::Empty));
    pool.note_balances(&costs(&[("a", 100), ("b", 9_000)]), 0);
    assert_eq!(pool.takes("a", 0), Ok(()), "low is enough for what an offer named");
}

#[test]
fn hexadecimal_addresses_ignore_case_and_others_do_not() {
    let evm = Pool::new(&facts(Network::BASE, &["0xAb"], &[]), 10);
    assert!(evm.get("0xaB").is_some());
    assert!(pool(&["Ab"], &[]).get("aB").is_none());
}

#[test]
fn a_wallet_whose_counter_is_not_known_waits_for_it() {
    let pool = Pool::new(&facts(Network::BASE, &["0xa", "0xb"], &[]), 10);
    pool.get("0xb").unwrap().ready.store(true, Ordering::Release);
    pool.note_balances(&costs(&[("0xa", 9_000), ("0xb", 5_000)]), 0);
    assert_eq!(chosen(&pool), "0xb");
}
