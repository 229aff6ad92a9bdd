use std::sync::atomic::{AtomicUsize, Ordering};

use quittance_protocol::{EndpointState, SendOutcome};

use super::*;
use crate::combine;

const NOW: i64 = 1_800_000_000_000;

/// Answers one word, and counts how often it was asked.
struct Node {
    word: &'static str,
    age_ms: Option<i64>,
    asked: AtomicUsize,
    tally: Tally,
    pause: Pause,
    is_mute: bool,
}

impl Endpoint for Node {
    fn is_heard(&self) -> bool {
        !self.is_mute
    }

    fn host(&self) -> &str {
        self.word
    }

    fn tally(&self) -> Option<&Tally> {
        Some(&self.tally)
    }

    fn pause(&self) -> Option<&Pause> {
        Some(&self.pause)
    }
}

impl Node {
    async fn say(&self) -> Result<&'static str, &'static str> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.word.strip_prefix("no ") {
            Some(why) => Err(why),
            None => Ok(self.word),
        }
    }

    async fn head(&self) -> Option<(u64, i64)> {
        Some((9, NOW - self.age_ms?))
    }
}

fn nodes(words: &[(&'static str, Option<i64>)]) -> Endpoints<Node> {
    let node = |(word, age_ms): &(&'static str, Option<i64>)| Node {
        word,
        age_ms: *age_ms,
        asked: AtomicUsize::new(0),
        tally: Tally::default(),
        pause: Pause::default(),
        is_mute: word.starts_with("mute"),
    };
    Endpoints::new(words.iter().map(node).collect(), 6_000)
}

fn asked(endpoints: &Endpoints<Node>) -> Vec<usize> {
    endpoints.all().iter().map(|node| node.asked.swap(0, Ordering::Relaxed)).collect()
}

#[tokio::test]
async fn a_read_moves_on_until_one_answers_and_each_is_asked_once() {
    let moves = |error: &&str| *error != "such transaction";
    for (words, expected, calls) in [
        (vec!["a", "b"], Ok((0, "a")), vec![1, 0]),
        (vec!["no connection", "b", "c"], Ok((1, "b")), vec![1, 1, 0]),
        (vec!["no connection", "no logs"], Err("logs"), vec![1, 1]),
        (vec!["no such transaction", "b"], Err("such transaction"), vec![1, 0]),
        (vec![], Err("none"), vec![]),
    ] {
        let all = nodes(&words.iter().map(|word| (*word, Some(0))).collect::<Vec<_>>());
        let read = all.first_that_answers(all.serving(), "none", |_, node| node.say(), moves).await;
        assert_eq!(read, expected, "{words:?}");
        assert_eq!(asked(&all), calls, "{words:?}");
    }
}

#[tokio::test]
async fn a_look_says_who_is_asked() {
    let all = nodes(&[("old", Some(60_000)), ("silent", None), ("new", Some(0))]);
    let reports = all.look(NOW, Node::head).await;
    let states: Vec<_> = reports.iter().map(|report| (report.host.as_str(), report.state)).collect();
    assert_eq!(
        states,
        [("old", EndpointState::Behind), ("silent", EndpointState::Silent), ("new", EndpointState::Healthy)]
    );
    assert_eq!((all.serving(), all.in_order()), (vec![2], vec![2, 0, 1]));
    assert_eq!((all.first_then_others(0), all.others(2)), (vec![0, 2, 1], vec![0, 1]));
    let read = all.first_that_answers(all.serving(), "none", |_, node| node.say(), |_| true).await;
    assert_eq!(read, Ok((2, "new")));
    assert_eq!(asked(&all), [0, 0, 1]);
}

#[tokio::test]
async fn another_opinion_is_another_endpoints() {
    let opinion = |node: &'static Node| async {
        Ok(match node.say().await? {
            "yes" => Opinion::Agrees,
            "contradiction" => Opinion::Contradicts,
            _ => Opinion::Silent,
        })
    };
    for (words, agreed, calls) in [
        (vec!["yes", "yes"], true, vec![0, 1]),
        (vec!["yes", "behind", "yes"], true, vec![0, 1, 1]),
        (vec!["yes", "no connection", "contradiction", "yes"], false, vec![0, 1, 1, 0]),
        (vec!["yes"], false, vec![0]),
    ] {
        let all = nodes(&words.iter().map(|word| (*word, Some(0))).collect::<Vec<_>>());
        let all: &'static Endpoints<Node> = Box::leak(Box::new(all));
        let said: bool = all.second_opinion::<&str, _>(0, opinion).await;
        assert_eq!(said, agreed, "{words:?}");
        assert_eq!(asked(all), calls, "{words:?}");
    }
}

/// Two black holes beside one that answers: each question for another word would wait for both.
#[tokio::test]
async fn nobody_waits_for_the_opinion_of_who_says_nothing() {
    let all = nodes(&[("mute", None), ("yes", Some(0)), ("mute too", None), ("yes", Some(0))]);
    all.look(NOW, Node::head).await;
    assert_eq!((all.others(1), all.first_then_others(1)), (vec![3], vec![1, 3]));
    assert_eq!(all.in_order(), [1, 3, 0, 2], "bytes that nobody else takes are shown to them, too");
    assert_eq!(
        all.first_then_others(0),
        [0, 1, 3],
        "what follows from an answer is asked where it came from"
    );
}

/// I3: a send is never repeated at one endpoint, and one that may have taken the bytes decides.
#[tokio::test]
async fn a_broadcast_shows_bytes_to_each_endpoint_once_until_one_takes_them() {
    let unknown = |reason: &str| SendOutcome::Unknown { reason: reason.to_owned() };
    let refused = |reason: &str| SendOutcome::Refused { reason: reason.to_owned() };
    for (words, expected, calls) in [
        (vec!["accepted", "accepted"], Some(SendOutcome::Accepted), vec![1, 0]),
        (vec!["no time", "accepted"], Some(SendOutcome::Accepted), vec![1, 1]),
        (vec!["no time", "refused"], Some(unknown("time")), vec![1, 1]),
        (vec!["refused", "no time"], Some(unknown("time")), vec![1, 1]),
        (vec!["refused", "elsewhere", "refused"], Some(refused("refused")), vec![1, 1, 1]),
        (vec!["elsewhere"], None, vec![1]),
    ] {
        let all = nodes(&words.iter().map(|word| (*word, Some(0))).collect::<Vec<_>>());
        let send = |node| async move {
            match Node::say(node).await {
                Ok("accepted") => Some(SendOutcome::Accepted),
                Ok("elsewhere") => None,
                Ok(words) => Some(refused(words)),
                Err(words) => Some(unknown(words)),
            }
        };
        let is_last = |outcome: &SendOutcome| *outcome == SendOutcome::Accepted;
        assert_eq!(all.broadcast(send, combine, is_last).await, expected, "{words:?}");
        assert_eq!(asked(&all), calls, "{words:?}");
    }
}

/// One of two said 429: it is asked last, its head is not looked at, and it comes back by itself.
#[tokio::test(start_paused = true)]
async fn who_wants_to_be_left_alone_is_asked_last() {
    let all = nodes(&[("a", Some(0)), ("b", Some(0))]);
    let look = async || {
        let reports = all.look(NOW, Node::head).await;
        reports.iter().map(|report| (report.state, report.head.is_some())).collect::<Vec<_>>()
    };
    look().await;
    all.all()[0].pause.hear(429, Some("20"));
    assert_eq!((all.serving(), all.in_order(), all.others(1)), (vec![1, 0], vec![1, 0], vec![0]));
    assert_eq!(all.first_then_others(0), [0, 1], "what follows from an answer is asked where it came from");
    assert_eq!(all.pause(), None, "another can be asked");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(look().await, [(EndpointState::Paused, false), (EndpointState::Healthy, true)]);
    // Now all of them: for a moment nobody is asked, and then everybody, because nobody else is there.
    all.all()[1].pause.hear(503, Some("5"));
    assert_eq!(all.pause(), Some(Duration::from_secs(5)), "until the first of them");
    assert_eq!(look().await, [(EndpointState::Paused, true), (EndpointState::Paused, false)]);
    tokio::time::advance(crate::SILENCE_MAX).await;
    assert_eq!(look().await, [(EndpointState::Paused, true), (EndpointState::Paused, true)]);
    assert_eq!(all.serving(), [0, 1]);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(look().await, [(EndpointState::Healthy, true); 2]);
}
