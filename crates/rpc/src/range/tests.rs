use std::sync::Mutex;

use super::*;

const LARGEST: u64 = 2_000;

/// A node that answers for at most `max` blocks at once.
struct Limited {
    max: u64,
    refusal: Refusal,
    range: AdaptiveRange,
    asked: Mutex<Vec<(u64, u64)>>,
}

impl Limited {
    fn new(max: u64, refusal: Refusal) -> Self {
        Self { max, refusal, range: AdaptiveRange::new(LARGEST), asked: Mutex::default() }
    }

    async fn read(&self, first: u64, last: u64) -> Result<Vec<u64>, usize> {
        self.read_some(first, last, usize::MAX).await.map(|(all, reached)| {
            assert_eq!(reached, last);
            all
        })
    }

    async fn read_some(&self, first: u64, last: u64, answers: usize) -> Result<(Vec<u64>, u64), usize> {
        let ask = |first: u64, last: u64| {
            let mut asked = self.asked.lock().unwrap();
            asked.push((first, last));
            let number = asked.len();
            let answer = (last - first < self.max).then(|| (first..=last).collect());
            async move { answer.ok_or(number) }
        };
        self.range.read((first, last), answers, ask, |_| self.refusal).await
    }

    fn take_asked(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[tokio::test]
async fn every_limit_ends_in_every_block_once_and_is_remembered() {
    for max in [1, 10, 50, 100, 500, 1_000, 2_000, 10_000] {
        let node = Limited::new(max, Refusal::Width);
        let last = 1_000 + (max * 20).min(4_500);
        assert_eq!(node.read(1_000, last).await.unwrap(), (1_000..=last).collect::<Vec<_>>(), "{max}");
        assert!(node.range.blocks() <= max, "{max} is remembered");
        node.take_asked();
        node.read(1, node.range.blocks()).await.unwrap();
        assert_eq!(node.take_asked().len(), 1, "no refusal is asked for a second time at {max}");
        assert_eq!(node.range.reach(3), node.range.blocks() * 3);
    }
}

/// A refused method is not a range: few calls, nothing learnt, and the first words are told.
#[tokio::test]
async fn a_node_that_refuses_every_range_is_given_up_soon() {
    let node = Limited::new(0, Refusal::Width);
    assert_eq!(node.read(1, 10_000).await, Err(1));
    assert!(node.take_asked().len() <= LADDER.len() + 1);
    assert_eq!(node.range.blocks(), LARGEST);
}

#[tokio::test]
async fn what_no_smaller_range_can_mend_is_asked_once() {
    for refusal in [Refusal::Other, Refusal::Time] {
        let node = Limited::new(0, refusal);
        for _ in 0..4 {
            node.take_asked();
            assert_eq!(node.read(1, 10_000).await, Err(1));
            assert_eq!(node.take_asked().len(), 1, "{refusal:?}");
        }
        let expected = if refusal == Refusal::Time { UNANSWERED_BLOCKS_MIN } else { LARGEST };
        assert_eq!(node.range.blocks(), expected, "who is slow is asked for less, but never for crumbs");
    }
}

#[tokio::test]
async fn a_larger_range_is_tried_again_in_time() {
    let mut node = Limited::new(10, Refusal::Width);
    node.read(1, 2_000).await.unwrap();
    node.max = 5_000;
    let mut seen = Vec::new();
    for _ in 0..2_000 {
        node.read(1, 10).await.unwrap();
        if seen.last() != Some(&node.range.blocks()) {
            seen.push(node.range.blocks());
        }
    }
    assert_eq!(seen, [10, 50, 100, 500, 2_000]);
}

/// What was planned as one request is not made thousands of, one after the other.
#[tokio::test]
async fn so_many_answers_end_a_question_and_the_range_is_learnt() {
    for max in [1, 2, 10, 3_000] {
        let node = Limited::new(max, Refusal::Width);
        let (all, reached) = node.read_some(1_000, 2_999, 8).await.unwrap();
        assert_eq!(all, (1_000..=reached).collect::<Vec<_>>(), "{max}");
        assert!(node.take_asked().len() <= 8 + LADDER.len(), "{max}");
        assert!(node.range.blocks() <= max.max(1));
        assert_eq!(reached, 2_999.min(999 + 8 * node.range.blocks()), "{max}");
        let (rest, end) = node.read_some(reached + 1, 2_999, 1).await.unwrap();
        assert_eq!(rest.len() as u64, end - reached, "{max}: it goes on where it ended");
    }
    assert_eq!(Limited::new(1, Refusal::Width).read_some(5, 9, 0).await.unwrap(), (Vec::new(), 4));
}
