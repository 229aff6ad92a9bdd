use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::*;

/// A payment of `payer` to `to`, told apart by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pay {
    number: u32,
    payer: u32,
    to: u32,
    shares: bool,
}

fn pay(number: u32) -> Pay {
    Pay { number, payer: number, to: u32::MAX, shares: true }
}

/// What was asked: the numbers in one call, and whether they were asked together.
type Asked = (Vec<u32>, bool);

/// A node that takes its time, and does as it is told.
#[derive(Default)]
struct Node {
    asked: Mutex<Vec<Asked>>,
    /// How long each call takes.
    takes_ms: AtomicU64,
    /// The same of one that holds this number.
    slow: Mutex<BTreeMap<u32, u64>>,
    /// Numbers that a shared call does not tell.
    untold: Mutex<Vec<u32>>,
    fails_together: AtomicBool,
    panics_together: AtomicBool,
    /// Numbers that break off when they are asked alone.
    panics_alone: Mutex<Vec<u32>>,
    items_max: AtomicUsize,
    /// What a shared call hears for all of them instead of an answer; 0: nothing.
    says_of_all: std::sync::atomic::AtomicU32,
    /// Calls under way now, and the most there were at once.
    under_way: Mutex<(usize, usize)>,
}

/// Counts a call while it is under way.
struct Counted<'a>(&'a Node);

impl<'a> Counted<'a> {
    fn new(node: &'a Node) -> Self {
        let mut count = node.under_way.lock().unwrap();
        *count = (count.0 + 1, count.1.max(count.0 + 1));
        Self(node)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
    }
}

struct Script(Arc<Node>);

impl Script {
    async fn take(&self, items: &[u32], together: bool) {
        let _counted = Counted::new(&self.0);
        self.0.asked.lock().unwrap().push((items.to_vec(), together));
        let slow = self.0.slow.lock().unwrap().clone();
        let takes_ms = self.0.takes_ms.load(Ordering::Relaxed);
        let ms = items.iter().filter_map(|number| slow.get(number)).max().copied().unwrap_or(takes_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

impl Query for Script {
    type Item = Pay;
    type Answer = u32;

    fn is_copy(&self, one: &Pay, other: &Pay) -> bool {
        one == other
    }

    fn may_join(&self, call: &[Arc<Pay>], item: &Pay) -> bool {
        let touch =
            |other: &Arc<Pay>| other.payer == item.payer || other.payer == item.to || other.to == item.payer;
        item.shares && !call.iter().any(touch)
    }

    fn items_max(&self) -> usize {
        self.0.items_max.load(Ordering::Relaxed)
    }

    fn together<'a>(&'a self, items: &'a [Arc<Pay>]) -> BoxFuture<'a, Shared<u32>> {
        Box::pin(async move {
            let numbers: Vec<u32> = items.iter().map(|item| item.number).collect();
            self.take(&numbers, true).await;
            assert!(!self.0.panics_together.load(Ordering::Relaxed), "the node's answer breaks the reader");
            if self.0.fails_together.load(Ordering::Relaxed) {
                return Err(CallFailed::AskAlone);
            }
            match self.0.says_of_all.load(Ordering::Relaxed) {
                0 => {}
                said => return Err(CallFailed::TooMuch(said)),
            }
            let untold = self.0.untold.lock().unwrap();
            Ok(numbers.iter().map(|number| (!untold.contains(number)).then_some(number * 10)).collect())
        })
    }

    fn alone<'a>(&'a self, item: &'a Pay) -> BoxFuture<'a, u32> {
        Box::pin(async move {
            self.take(&[item.number], false).await;
            assert!(!self.0.panics_alone.lock().unwrap().contains(&item.number), "broken");
            item.number * 10
        })
    }
}

struct World {
    node: Arc<Node>,
    coalescer: Arc<Coalescer<Script>>,
}

/// A node whose calls take so long.
fn world(takes_ms: u64) -> World {
    let node = Arc::new(Node::default());
    node.takes_ms.store(takes_ms, Ordering::Relaxed);
    node.items_max.store(64, Ordering::Relaxed);
    World { coalescer: Arc::new(Coalescer::new(Script(Arc::clone(&node)))), node }
}

impl World {
    /// Asks now; the answer comes later.
    async fn ask(&self, item: Pay) -> JoinHandle<Option<u32>> {
        let coalescer = Arc::clone(&self.coalescer);
        let asked = tokio::spawn(async move { coalescer.ask(item).await });
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        asked
    }

    async fn all(&self, items: impl IntoIterator<Item = Pay>) -> Vec<Option<u32>> {
        let mut asked = Vec::new();
        for item in items {
            asked.push(self.ask(item).await);
        }
        let mut answers = Vec::new();
        for one in asked {
            answers.push(one.await.unwrap());
        }
        answers
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.node.asked.lock().unwrap())
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_waits_for_nothing() {
    let world = world(3);
    for number in 0..5 {
        let began = Instant::now();
        assert_eq!(world.all([pay(number)]).await, [Some(number * 10)]);
        assert_eq!(began.elapsed(), ms(3));
    }
    assert!(world.asked().iter().all(|(numbers, together)| numbers.len() == 1 && !together));
}

#[tokio::test(start_paused = true)]
async fn while_one_call_is_under_way_the_next_ones_gather() {
    let world = world(3);
    let began = Instant::now();
    let answers = world.all((0..64).map(pay)).await;
    assert_eq!(answers, (0..64).map(|number| Some(number * 10)).collect::<Vec<_>>(), "each its own");
    assert_eq!(world.asked(), [(vec![0], false), ((1..64).collect(), true)]);
    assert_eq!(began.elapsed(), ms(6), "and nobody waits for a clock");
}

/// Behind a node that is far away nobody waits until the call before is over.
#[tokio::test(start_paused = true)]
async fn behind_a_distant_node_a_call_sets_out_every_few_milliseconds() {
    for (takes_ms, interval) in [(40, ms(8)), (15, CALL_INTERVAL_MIN), (1_000, CALL_INTERVAL_MAX)] {
        let world = world(takes_ms);
        world.all([pay(9)]).await;
        world.asked();
        let first = world.ask(pay(0)).await;
        tokio::time::sleep(ms(1)).await;
        let began = Instant::now();
        let second = world.ask(pay(1)).await;
        let third = world.ask(pay(2)).await;
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(0), Some(10)));
        assert_eq!(third.await.unwrap(), Some(20));
        assert_eq!(world.asked(), [(vec![0], false), (vec![1, 2], true)]);
        assert_eq!(began.elapsed(), interval - ms(1) + ms(takes_ms));
    }
}

#[tokio::test(start_paused = true)]
async fn copies_share_one_item_and_each_hears_the_answer() {
    let world = world(3);
    let answers = world.all((0..200).map(|_| pay(7))).await;
    assert!(answers.iter().all(|answer| *answer == Some(70)));
    assert_eq!(world.asked(), [(vec![7], false), (vec![7], false)], "the first, and all that came meanwhile");
}

/// What a node may have read already is no answer to who asks now.
#[tokio::test(start_paused = true)]
async fn nobody_gets_an_answer_that_set_out_before_it_was_asked_for() {
    for shares in [true, false] {
        let world = world(100);
        let copy = Pay { shares, ..pay(1) };
        let first = world.ask(copy).await;
        tokio::time::sleep(ms(99)).await;
        let began = Instant::now();
        let second = world.ask(copy).await;
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(10), Some(10)));
        assert!(began.elapsed() >= ms(100), "{shares}");
        assert_eq!(world.asked().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn one_payer_has_one_item_in_a_call() {
    let world = world(3);
    let of_one = |number| Pay { payer: 1, ..pay(number) };
    world.all([pay(0), of_one(10), of_one(11), pay(2), of_one(12)]).await;
    let asked = world.asked();
    assert_eq!(asked[1], (vec![10, 2], true));
    assert_eq!(asked[2..], [(vec![11], false), (vec![12], false)]);
}

/// Who buys much does not wait for a call for each of its purchases.
#[tokio::test(start_paused = true)]
async fn of_a_payer_with_many_few_wait_and_the_others_are_asked_at_once() {
    let world = world(3);
    let began = Instant::now();
    let answers = world.all((0..50).map(|number| Pay { payer: 1, ..pay(number) })).await;
    assert_eq!(answers.len(), 50);
    let most = u64::try_from(APART_MAX).unwrap() + 1;
    assert!(began.elapsed() <= ms(3 * most), "{:?}", began.elapsed());
    assert!(world.asked().iter().all(|(numbers, _)| numbers.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_payer_is_in_no_call_that_pays_it() {
    let world = world(3);
    let funds = Pay { to: 2, ..pay(1) };
    let funded = pay(2);
    for order in [[funds, funded], [funded, funds]] {
        let others = [pay(0), order[0], order[1], pay(3)];
        world.all(others).await;
        let asked = world.asked();
        let together = |(numbers, _): &&Asked| numbers.contains(&1) && numbers.contains(&2);
        assert!(!asked.iter().any(|call| together(&call)), "{asked:?}");
        assert!(asked.iter().any(|(numbers, _)| numbers.len() == 2), "the others do share");
    }
}

#[tokio::test(start_paused = true)]
async fn what_shares_with_nobody_waits_for_nobody() {
    let world = world(20);
    let began = Instant::now();
    let apart = |number| Pay { shares: false, ..pay(number) };
    let answers = world.all([pay(0), apart(1), apart(2), apart(3)]).await;
    assert_eq!(answers, [Some(0), Some(10), Some(20), Some(30)]);
    assert_eq!(began.elapsed(), ms(20));
    assert!(world.asked().iter().all(|(numbers, together)| numbers.len() == 1 && !together));
}

#[tokio::test(start_paused = true)]
async fn what_a_call_cannot_tell_is_asked_alone_and_holds_nobody_up() {
    let world = world(3);
    *world.node.untold.lock().unwrap() = vec![2];
    let first = world.ask(pay(0)).await;
    let (one, two, three) = (world.ask(pay(1)).await, world.ask(pay(2)).await, world.ask(pay(3)).await);
    assert_eq!(first.await.unwrap(), Some(0));
    let began = Instant::now();
    // Alone it takes an hour.
    tokio::time::sleep(ms(1)).await;
    world.node.slow.lock().unwrap().insert(2, 3_600_000);
    assert_eq!((one.await.unwrap(), three.await.unwrap()), (Some(10), Some(30)));
    assert_eq!(began.elapsed(), ms(3));
    let fourth = world.all([pay(4)]).await;
    assert_eq!((fourth, began.elapsed()), (vec![Some(40)], ms(6)), "nor whoever comes later");
    assert_eq!(two.await.unwrap(), Some(20));
    assert_eq!(world.asked(), [(vec![0], false), (vec![1, 2, 3], true), (vec![2], false), (vec![4], false)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_or_breaks_off_costs_nobody_its_answer() {
    for panics in [true, false] {
        let world = world(3);
        world.node.fails_together.store(!panics, Ordering::Relaxed);
        world.node.panics_together.store(panics, Ordering::Relaxed);
        let answers = world.all((0..9).map(pay)).await;
        assert_eq!(answers, (0..9).map(|number| Some(number * 10)).collect::<Vec<_>>());
        let asked = world.asked();
        assert_eq!(asked[1], ((1..9).collect(), true));
        assert_eq!(asked.len(), 2 + 8, "each is asked alone");
    }
}

/// A node that takes no such call is not shown one again and again.
#[tokio::test(start_paused = true)]
async fn after_a_call_that_failed_calls_are_smaller_for_a_while() {
    let world = world(3);
    world.node.fails_together.store(true, Ordering::Relaxed);
    let mut shared = Vec::new();
    for round in 0..8 {
        world.all((0..33).map(|number| pay(round * 100 + number))).await;
        shared
            .extend(world.asked().into_iter().filter(|(_, together)| *together).map(|(call, _)| call.len()));
    }
    assert_eq!(shared.first(), Some(&32));
    assert!(shared.len() <= 1 + 4 + 16, "a quarter each time, and then none: {shared:?}");
    let began = Instant::now();
    world.all((900..964).map(pay)).await;
    assert_eq!(began.elapsed(), ms(3), "without sharing nobody waits");
    world.node.fails_together.store(false, Ordering::Relaxed);
    tokio::time::sleep(size::SMALLER_FOR).await;
    world.asked();
    world.all((1_000..1_064).map(pay)).await;
    assert_eq!(world.asked().len(), 2, "and then it is tried anew");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_none_and_the_next_one_is_asked() {
    let world = world(3);
    world.node.panics_alone.lock().unwrap().push(1);
    assert_eq!(world.all([pay(1)]).await, [None]);
    assert_eq!(world.all([pay(2)]).await, [Some(20)]);
    assert_eq!(world.all([Pay { shares: false, ..pay(1) }]).await, [None]);
    let copies = world.all((0..3).map(|_| Pay { shares: false, ..pay(3) })).await;
    assert_eq!(copies, [Some(30); 3]);
}

/// P1 of a shared call: it belongs to nobody who asks.
#[tokio::test(start_paused = true)]
async fn whoever_goes_away_takes_no_answer_from_the_others() {
    let world = world(10);
    let first = world.ask(pay(0)).await;
    let (gone, stays, copy) = (world.ask(pay(1)).await, world.ask(pay(2)).await, world.ask(pay(2)).await);
    first.abort();
    gone.abort();
    copy.abort();
    assert_eq!(stays.await.unwrap(), Some(20));
    assert_eq!(world.asked(), [(vec![0], false), (vec![2], false)], "what nobody waits for is not asked");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_behind_a_call_that_hangs() {
    let world = world(3);
    world.node.slow.lock().unwrap().insert(0, 3_600_000);
    let hanging = world.ask(pay(0)).await;
    let began = Instant::now();
    for number in 1..20 {
        assert_eq!(world.all([pay(number)]).await, [Some(number * 10)]);
    }
    assert!(began.elapsed() <= 19 * (CALL_INTERVAL_MAX + ms(3)));
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn calls_are_bounded_and_so_is_who_waits() {
    let world = world(50);
    world.node.items_max.store(10, Ordering::Relaxed);
    let count = u32::try_from(WAITING_MAX).unwrap() + 5;
    let answers = world.all((0..=count).map(pay)).await;
    assert!(answers.iter().all(Option::is_some));
    let asked = world.asked();
    assert!(asked.iter().all(|(numbers, _)| numbers.len() <= 10));
    let alone = asked.iter().filter(|(_, together)| !together).count();
    // The first, and the five beyond what may wait; all others share.
    assert_eq!(alone, 6, "{alone}");
}

/// A stranger who hangs up gives its share of the checks back: its call must not go on.
#[tokio::test(start_paused = true)]
async fn who_hangs_up_leaves_no_call_under_way() {
    const AT_ONCE: usize = 8;
    const HOUR_MS: u64 = 3_600_000;
    for shares in [true, false] {
        let world = world(HOUR_MS);
        let mut asked = VecDeque::new();
        for number in 0..1_000 {
            asked.push_back(world.ask(Pay { shares, ..pay(number) }).await);
            if asked.len() == AT_ONCE {
                let gone = asked.pop_front().unwrap();
                gone.abort();
                // Its share is free from here on.
                assert!(gone.await.unwrap_err().is_cancelled());
                tokio::time::sleep(ms(3)).await;
            }
            assert!(world.node.under_way.lock().unwrap().0 <= AT_ONCE);
        }
        let (left, most) = *world.node.under_way.lock().unwrap();
        assert!(left > 0 && most <= AT_ONCE, "{shares}: {left} of {most}");
        asked.iter().for_each(JoinHandle::abort);
        tokio::time::sleep(ms(1)).await;
        assert_eq!(world.node.under_way.lock().unwrap().0, 0, "{shares}");
        // And who comes then is asked about as if nothing had been.
        world.node.takes_ms.store(3, Ordering::Relaxed);
        assert_eq!(world.all([Pay { shares, ..pay(9_999) }]).await, [Some(99_990)]);
    }
}

/// Also what a call could not tell, and what its copies wait for.
#[tokio::test(start_paused = true)]
async fn one_who_stays_keeps_a_shared_call_and_the_last_to_go_ends_it() {
    let world = world(1_000);
    *world.node.untold.lock().unwrap() = vec![2];
    let first = world.ask(pay(0)).await;
    let (gone, stays, copy) = (world.ask(pay(1)).await, world.ask(pay(2)).await, world.ask(pay(2)).await);
    tokio::time::sleep(ms(25)).await;
    assert_eq!(world.asked(), [(vec![0], false), (vec![1, 2], true)]);
    for one in [&first, &gone, &stays] {
        one.abort();
    }
    tokio::time::sleep(ms(1)).await;
    assert_eq!(world.node.under_way.lock().unwrap().0, 1, "somebody waits for the second one");
    tokio::time::sleep(ms(1_000)).await;
    assert_eq!((world.asked(), world.node.under_way.lock().unwrap().0), (vec![(vec![2], false)], 1));
    copy.abort();
    tokio::time::sleep(ms(1)).await;
    assert_eq!(world.node.under_way.lock().unwrap().0, 0);
}

/// A node that hangs on shared calls keeps one of them waiting once in a while, and not everybody.
#[tokio::test(start_paused = true)]
async fn a_larger_call_is_tried_by_one_call_at_a_time() {
    let world = world(3);
    world.node.fails_together.store(true, Ordering::Relaxed);
    for round in 0..3 {
        world.all((0..33).map(|number| pay(round * 100 + number))).await;
    }
    world.asked();
    tokio::time::sleep(size::SMALLER_FOR).await;
    let mut asked = Vec::new();
    for number in 1_000..1_004 {
        asked.push(world.ask(pay(number)).await);
    }
    // The first goes alone, and the call of the three behind it is the one that tries: it hangs.
    world.node.takes_ms.store(1_000, Ordering::Relaxed);
    tokio::time::sleep(ms(4)).await;
    world.node.takes_ms.store(3, Ordering::Relaxed);
    assert_eq!(world.asked(), [(vec![1_000], false), (vec![1_001, 1_002, 1_003], true)]);
    let began = Instant::now();
    world.all((2_000..2_064).map(pay)).await;
    assert_eq!(began.elapsed(), ms(3));
    assert!(world.asked().iter().all(|(_, together)| !together));
    for one in asked {
        assert!(one.await.unwrap().is_some());
    }
}

/// The first that waits may be full.
#[tokio::test(start_paused = true)]
async fn copies_beyond_one_question_share_the_next() {
    let world = world(3);
    let copies = COPIES_MAX * 2 + 1;
    let answers = world.all((0..copies).map(|_| pay(7))).await;
    assert!(answers.iter().all(|answer| *answer == Some(70)));
    assert_eq!(world.asked().len(), 3);
}

/// A provider that was asked too much is not asked once more for each, and gets smaller calls.
#[tokio::test(start_paused = true)]
async fn what_is_said_of_all_is_asked_no_more_and_makes_calls_smaller() {
    let world = world(3);
    world.node.says_of_all.store(7, Ordering::Relaxed);
    let answers = world.all((0..33).map(pay)).await;
    assert_eq!((answers[0], &answers[1..]), (Some(0), &[Some(7); 32][..]));
    assert_eq!(world.asked().len(), 2);
    world.node.says_of_all.store(0, Ordering::Relaxed);
    world.all((100..133).map(pay)).await;
    assert!(world.asked().iter().all(|(numbers, _)| numbers.len() <= 8));
}
