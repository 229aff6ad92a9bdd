//! What goes wrong at every look or every request while a database, a disk or an
//! endpoint is away: logged once when it begins, with a count while it lasts, and once
//! when it is over; each time is counted in `quittance_failures_total`.
//!
//! One place for a whole process, gates included: what writes a log line has one log. What concerns one
//! payment alone and wants a person is logged where it happens.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::{IntCounterVec, Opts, Registry};
use quittance_protocol::Episode;
use tokio::time::Instant;

macro_rules! troubles {
    ($($name:ident $label:literal $level:ident $words:literal;)*) => {
        /// What goes wrong at many requests at once; each is counted in `quittance_failures_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Trouble {
            $(#[doc = $words] $name,)*
        }

        impl Trouble {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The metric's label.
            const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            const fn is_severe(self) -> bool {
                match self { $(Self::$name => troubles!(@ $level),)* }
            }
        }
    };
    (@ error) => { true };
    (@ warn) => { false };
}

troubles! {
    Ledger "ledger" error "ledger";
    Reread "reread" warn "cannot reread a payment";
    Heartbeat "heartbeat" error "heartbeat";
    Sweep "sweep" error "cannot look for what nobody works on";
    ClockSkew "clock_skew" warn "this host's clock and the database's disagree; set both by NTP";
    Finality "finality" warn "cannot look whether landings are final";
    Lane "lane" warn "cannot keep the wallet's lane";
    Accounts "accounts" warn "costs are not booked yet";
    Payout "payout" warn "cannot look at transfers to the payout address";
    Tariff "tariff" warn "no new tariff";
    Exposure "exposure" warn "cannot read what is reserved";
    Tariffs "tariffs" warn "cannot reread tariffs";
    ChainCheck "chain_check" warn "chain check impossible";
    OldAnswers "old_answers" warn "cannot drop old answers";
    Pruning "pruning" warn "cannot prune payments that ended long ago";
    Leftovers "leftovers" warn "cannot look for objects that nobody needs";
    ObjectKept "object_delete" warn "an object is not deleted yet";
    ObjectUnread "object_read" error "a kept answer cannot be read here";
    ObjectUnbegun "object_begin" error "an answer's object is not in the ledger and is not written";
    AnswerUnstored "answer" warn "an answer is not stored yet";
    Recording "recording" warn "recording failed; reading the ledger";
    Attempts "attempts" error "attempts cannot be read; trying again";
    Verdict "verdict" error "verdict not committed; trying again";
    Reserved "reserved" warn "a cost is still reserved";
    Cost "cost" error "a cost is not in the ledger yet; trying again";
    Broadcast "broadcast" warn "a broadcast is missing in the journal";
    Credit "credit" warn "a credit is not stored";
    SentAway "sent_away" warn "cannot note that a caller was sent away";
    CallerLeft "caller_left" warn "cannot note that a caller left";
    ReplayWindow "replay_window" warn "the replay window is not marked yet";
    HandlerFailed "handler_run" warn "handler runs fail, and their payments become credits";
    HandlerBrokeOff "handler_broke_off" warn "handlers leave no whole answer";
    CreditUnrecorded "credit_record" error "credits could not be recorded; the next start makes them";
    AnswerWithheld "answer_withheld" error "answers could not be recorded and are withheld";
    AnswerUnkept "answer_unkept" warn "answers are not kept";
    ReplayBrokeOff "replay" error "replays break off";
    PriceFailed "price" error "prices could not be made";
    Merchants "merchants" error "who may sell cannot be read; soon nobody is known";
    MerchantPayout "merchant_payout" warn "cannot look where a merchant is paid";
    Telling "telling" warn "what a merchant was told is not stored";
}

/// Episodes at the same time; beyond them a trouble is told of for all whom it concerns.
const OPEN_MAX: usize = 256;

type Open = BTreeMap<(Trouble, String), Episode>;

static OPEN: Mutex<Open> = Mutex::new(BTreeMap::new());

/// None: the metric's own name is wrong, which a test would show.
static FAILURES: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    let opts = Opts::new("quittance_failures_total", "Looks and requests that failed, by what they were for");
    let failures = IntCounterVec::new(opts, &["task"]).ok()?;
    for trouble in Trouble::ALL {
        failures.with_label_values(&[trouble.label()]);
    }
    Some(failures)
});

/// Shows the counts in `/metrics`.
pub(crate) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    FAILURES.as_ref().map_or(Ok(()), |failures| registry.register(Box::new(failures.clone())))
}

/// It came: `of` is what it concerns beside the process (a network, a source), or empty.
pub fn note(trouble: Trouble, of: &str, error: &dyn Display) {
    if let Some(failures) = FAILURES.as_ref() {
        failures.with_label_values(&[trouble.label()]).inc();
    }
    let (task, words) = (trouble.label(), trouble.words());
    let told = come(&mut OPEN.lock().unwrap_or_else(PoisonError::into_inner), trouble, of, now_ms());
    match told {
        Some(times) if trouble.is_severe() => tracing::error!(task, of, %error, times, "{words}"),
        Some(times) => tracing::warn!(task, of, %error, times, "{words}"),
        None => tracing::debug!(task, of, %error, "{words}"),
    }
}

/// Says what is over; asked every few seconds.
pub(crate) fn tell_ended() {
    let ended = ended(&mut OPEN.lock().unwrap_or_else(PoisonError::into_inner), now_ms());
    for ((trouble, of), episode) in ended {
        let (task, words) = (trouble.label(), trouble.words());
        let (times, seconds) = (episode.times(), episode.seconds());
        tracing::info!(task, of, times, seconds, "over: {words}");
    }
}

/// How often by now, if that is to be told.
fn come(open: &mut Open, trouble: Trouble, of: &str, now_ms: u64) -> Option<u64> {
    let of = if open.len() < OPEN_MAX { of } else { "" };
    match open.entry((trouble, of.to_owned())) {
        Entry::Vacant(vacant) => {
            vacant.insert(Episode::new(now_ms));
            Some(1)
        }
        Entry::Occupied(mut known) => known.get_mut().again(now_ms),
    }
}

fn ended(open: &mut Open, now_ms: u64) -> Vec<((Trouble, String), Episode)> {
    open.extract_if(.., |_, episode| episode.is_over(now_ms)).collect()
}

/// Since whatever was noted first.
fn now_ms() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(Instant::now().saturating_duration_since(*BEGAN).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_for_an_hour_is_told_a_dozen_times_for_each_that_meets_it() {
        let mut open = Open::new();
        let (mut lines, mut failures) = (0, 0);
        for second in 0..3_600_u64 {
            for of in ["eip155:8453", "solana"] {
                failures += 1;
                lines += u64::from(come(&mut open, Trouble::Finality, of, second * 1_000).is_some());
            }
            // A crowd of requests in each second.
            for _ in 0..50 {
                failures += 1;
                lines += u64::from(come(&mut open, Trouble::Ledger, "", second * 1_000).is_some());
            }
            assert!(ended(&mut open, second * 1_000).is_empty());
        }
        assert_eq!((failures, lines), (187_200, 3 * 12));
        let over = ended(&mut open, 3_600_000 + 90_000);
        assert_eq!(over.len(), 3, "and once each when it is over");
        assert!(over.iter().any(|(_, episode)| episode.times() == 180_000));
        assert_eq!(come(&mut open, Trouble::Ledger, "", 4_000_000), Some(1), "the next one begins anew");
    }

    #[test]
    fn troubles_of_very_many_are_told_of_together() {
        let mut open = Open::new();
        let told = (0..10_000).filter(|of| come(&mut open, Trouble::Payout, &of.to_string(), 0).is_some());
        assert_eq!(told.count(), OPEN_MAX + 1);
    }

    #[test]
    fn each_time_is_counted_and_labels_are_unique() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let count = || {
            let all = registry.gather();
            let tasks = all.iter().flat_map(|family| family.get_metric().to_vec());
            let mine = tasks.filter(|one| one.get_label().iter().any(|label| label.value() == "old_answers"));
            mine.map(|one| one.get_counter().get_value()).sum::<f64>()
        };
        let before = count();
        (0..40).for_each(|_| note(Trouble::OldAnswers, "", &"full"));
        assert!((count() - before - 40.0).abs() < 0.5);
        let labels: std::collections::BTreeSet<_> = Trouble::ALL.iter().map(|one| one.label()).collect();
        assert_eq!(labels.len(), Trouble::ALL.len());
    }
}
