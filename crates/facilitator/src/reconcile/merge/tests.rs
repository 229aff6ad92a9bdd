use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use quittance_protocol::{Amount, PaymentId};

use super::*;

fn transfer(block: u64, transaction: &str, amount: u64) -> Transfer {
    Transfer {
        block,
        transaction: transaction.to_owned(),
        payer: Some("0xAb".to_owned()),
        amount,
        cost_native: None,
    }
}

fn booked(block: u64, transaction: &str, amount: u64) -> BookedLanding {
    BookedLanding {
        id: PaymentId::from_stored(format!("pay_{transaction}")),
        block,
        transaction: transaction.to_owned(),
        payer: "0xab".to_owned(),
        amount: Amount::new(amount),
        is_lost: false,
        paid_by_us: true,
        cost_native: None,
    }
}

/// What is there already, in pages of two.
struct Given<T>(Vec<T>);

#[async_trait]
impl<T: Send> Pages<T> for Given<T> {
    async fn next(&mut self) -> Result<Option<Vec<T>>, Broken> {
        let size = self.0.len().min(2);
        Ok((size > 0).then(|| self.0.drain(..size).collect()))
    }
}

async fn compared(chain: Vec<Transfer>, books: Vec<BookedLanding>) -> (Vec<Difference>, Totals) {
    let mut found = Vec::new();
    let totals = reconcile(Given(chain), Given(books), &mut |one| found.push(one)).await.unwrap();
    assert_eq!(totals.differences, u64::try_from(found.len()).unwrap());
    (found, totals)
}

fn kinds(found: &[Difference]) -> Vec<Kind> {
    found.iter().map(|one| one.kind).collect()
}

#[tokio::test]
async fn books_that_agree_are_quiet() {
    let chain = vec![transfer(9, "0xC", 5), transfer(7, "0xb", 4), transfer(7, "0xa", 3)];
    let books = vec![booked(9, "0xc", 5), booked(7, "0xa", 3), booked(7, "0xb", 4)];
    let (found, totals) = compared(chain, books).await;
    assert_eq!(found, []);
    assert_eq!((totals.matched, totals.on_chain, totals.booked), (3, 12, 12));
}

#[tokio::test]
async fn one_atomic_unit_on_either_side_is_found() {
    for (more, less) in [(5, 4), (4, 5)] {
        let (found, totals) = compared(vec![transfer(9, "0xc", more)], vec![booked(9, "0xc", less)]).await;
        assert_eq!(kinds(&found), [Kind::Amount]);
        assert_eq!(totals.on_chain.abs_diff(totals.booked), 1);
    }
}

#[tokio::test]
async fn what_only_one_side_knows_is_told() {
    let (found, _) = compared(vec![transfer(9, "0xc", 5)], vec![booked(8, "0xd", 5)]).await;
    assert_eq!(kinds(&found), [Kind::NotInBooks, Kind::NotOnChain]);
}

#[tokio::test]
async fn a_landing_that_moved_is_one_difference_and_no_missing_money() {
    for (there, here) in [(9, 7), (7, 9)] {
        let (found, totals) = compared(vec![transfer(there, "0xc", 5)], vec![booked(here, "0xc", 5)]).await;
        assert_eq!(kinds(&found), [Kind::Block]);
        assert_eq!(totals.on_chain, totals.booked);
    }
}

#[tokio::test]
async fn two_payments_of_a_payer_in_one_transaction_stand_against_their_own_transfers() {
    let chain = vec![transfer(9, "0xc", 5), transfer(9, "0xc", 6)];
    let mut books = vec![booked(9, "0xc", 6), booked(9, "0xc", 5)];
    let (found, _) = compared(chain.clone(), books.clone()).await;
    assert_eq!(found, []);
    books.pop();
    let (found, _) = compared(chain, books).await;
    assert_eq!(kinds(&found), [Kind::NotInBooks]);
    assert_eq!(found[0].on_chain.as_ref().unwrap().amount, 5);
}

#[tokio::test]
async fn a_booked_loss_is_no_money_and_one_that_is_there_after_all_is_told() {
    let lost = BookedLanding { is_lost: true, ..booked(9, "0xc", 5) };
    let (found, totals) = compared(vec![], vec![lost.clone()]).await;
    assert_eq!((found.len(), totals.lost, totals.booked), (0, 1, 0));
    let (found, _) = compared(vec![transfer(9, "0xc", 5)], vec![lost]).await;
    assert_eq!(kinds(&found), [Kind::NotLost]);
}

#[tokio::test]
async fn a_cost_is_compared_once_for_each_transaction() {
    let on_chain = |amount| Transfer { cost_native: Some(100), ..transfer(9, "0xc", amount) };
    let share = |amount, native| BookedLanding { cost_native: native, ..booked(9, "0xc", amount) };
    let chain = vec![on_chain(5), on_chain(6)];
    for (books, wanted) in [
        (vec![share(5, Some(60)), share(6, Some(40))], vec![]),
        (vec![share(5, Some(60)), share(6, Some(41))], vec![Kind::Cost]),
        (vec![share(5, Some(60)), share(6, None)], vec![Kind::CostMissing]),
    ] {
        let (found, totals) = compared(chain.clone(), books).await;
        assert_eq!(kinds(&found), wanted);
        assert_eq!(totals.cost_on_chain, 100);
    }
    let foreign = BookedLanding { paid_by_us: false, ..share(5, None) };
    let (found, totals) = compared(vec![on_chain(5)], vec![foreign]).await;
    assert_eq!((found.len(), totals.by_others), (0, 1));
}

#[tokio::test]
async fn a_side_out_of_order_is_refused() {
    let chain = Given(vec![transfer(7, "0xa", 1), transfer(9, "0xb", 1)]);
    let ended = reconcile(chain, Given(Vec::new()), &mut |_| {}).await;
    assert_eq!(ended, Err(Broken::OutOfOrder { side: "the chain", block: 9 }));
}

/// A chain and a ledger of this many payments, made page by page and never held.
const PAYMENTS: u64 = 100_000;
const PAGE: u64 = 1_000;
const PER_BLOCK: u64 = 40;
/// Differs by one atomic unit, each on its own side.
const DEAR_ON_CHAIN: u64 = 33_333;
const DEAR_IN_BOOKS: u64 = 77_777;

/// Counts what is alive of what it made.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct Made<T> {
    next: u64,
    make: fn(u64) -> T,
    most: Alive,
    held: Alive,
}

#[async_trait]
impl<T: Send> Pages<T> for Made<T> {
    async fn next(&mut self) -> Result<Option<Vec<T>>, Broken> {
        // What was given before is gone when the next page is asked for, but for one block.
        self.held.0.fetch_add(1, Ordering::Relaxed);
        let size = PAGE.min(self.next);
        self.most.0.fetch_max(usize::try_from(size).unwrap(), Ordering::Relaxed);
        let page = (self.next - size..self.next).rev().map(self.make).collect::<Vec<T>>();
        self.next -= size;
        Ok((!page.is_empty()).then_some(page))
    }
}

fn block_of(number: u64) -> u64 {
    number / PER_BLOCK
}

fn made_transfer(number: u64) -> Transfer {
    let more = u64::from(number == DEAR_ON_CHAIN);
    transfer(block_of(number), &format!("0x{number:064x}"), 10_000 + number % 7 + more)
}

fn made_booked(number: u64) -> BookedLanding {
    let more = u64::from(number == DEAR_IN_BOOKS);
    booked(block_of(number), &format!("0x{number:064x}"), 10_000 + number % 7 + more)
}

#[tokio::test]
async fn a_planted_unit_is_found_among_a_hundred_thousand_payments_in_bounded_memory() {
    let made = |alive: &Alive| (alive.clone(), Alive::default());
    let (most, pages) = (Alive::default(), Alive::default());
    let chain = Made { next: PAYMENTS, make: made_transfer, most: made(&most).0, held: pages.clone() };
    let books = Made { next: PAYMENTS, make: made_booked, most: made(&most).0, held: Alive::default() };
    let mut found = Vec::new();
    let totals = reconcile(chain, books, &mut |one| found.push(one)).await.unwrap();
    assert_eq!(kinds(&found), [Kind::Amount, Kind::Amount]);
    let numbers: Vec<u64> = found.iter().map(|one| one.booked.as_ref().unwrap().block).collect();
    assert_eq!(numbers, [block_of(DEAR_IN_BOOKS), block_of(DEAR_ON_CHAIN)], "newest first");
    assert_eq!((totals.transfers, totals.payments), (PAYMENTS, PAYMENTS));
    assert_eq!(totals.matched, PAYMENTS - 2);
    assert_eq!(most.0.load(Ordering::Relaxed), usize::try_from(PAGE).unwrap());
    assert_eq!(pages.0.load(Ordering::Relaxed), usize::try_from(PAYMENTS / PAGE + 1).unwrap());
}

/// A chain that knows nothing of a hundred thousand payments, and the other way round: what waits for
/// its counterpart is bounded, and everything is told once.
#[tokio::test]
async fn a_flood_that_stands_against_nothing_is_told_and_not_held() {
    let chain = Made { next: PAYMENTS, make: made_transfer, most: Alive::default(), held: Alive::default() };
    let mut told = 0_u64;
    let mut early = 0_u64;
    let totals = reconcile(chain, Given(Vec::<BookedLanding>::new()), &mut |one| {
        assert_eq!(one.kind, Kind::NotInBooks);
        told += 1;
        early += u64::from(one.on_chain.is_some_and(|one| one.block > 0));
    })
    .await
    .unwrap();
    assert_eq!((told, totals.differences), (PAYMENTS, PAYMENTS));
    assert!(early > PAYMENTS - u64::try_from(UNMATCHED_MAX).unwrap());
}
