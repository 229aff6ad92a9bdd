//! Who may sell here: the merchants of the ledger, as this process read them last.
//!
//! A request is known by its key from memory: a wrong one costs a hash and neither ledger nor
//! node. What the ledger says is read every `merchants.refresh_seconds`, so a new key works, and
//! an ended one or a closed merchant does not, that much later; a process that cannot read the
//! ledger for `merchants.age_seconds_max` knows nobody.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use quittance_ledger::{LedgerError, MERCHANT_WITHOUT_KEY, Merchant, MerchantKey, MerchantState};
use tokio::time::Instant;

use super::Asker;
use super::keys::{Shown, is_shaped};
use crate::Caller;
use crate::Inner;
use crate::config::MerchantsConfig;
use crate::network::strangers::budget::Budget;

/// Wrong keys of one address at once, beside the rate.
const WRONG_KEYS_AT_ONCE: u32 = 20;

/// How long an address that showed too many is told so, at least.
const HELD_MIN: Duration = Duration::from_secs(5);

/// What `Retry-After` says while nobody is known.
const AWAY_RETRY_SECONDS: u64 = 2;

/// Why nobody is known to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKnown {
    /// A key is needed and none was shown.
    Missing,
    /// What was shown is no living key of an open merchant.
    Wrong,
    /// This address showed too many that were none.
    TooMany {
        /// When it may try again.
        retry_after_seconds: u64,
    },
    /// The ledger cannot be read: nobody can be known.
    Away {
        /// When it may be.
        retry_after_seconds: u64,
    },
}

/// Nobody who may sell, and who it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Why.
    pub why: NotKnown,
    /// Who may claim nothing any more, and be told of what it claimed: a closed merchant, whose key
    /// was right, and whoever called without one before there were merchants.
    pub former: Option<Asker>,
}

impl From<NotKnown> for Unknown {
    fn from(why: NotKnown) -> Self {
        Self { why, former: None }
    }
}

/// The merchants of the ledger at one moment.
#[derive(Default)]
struct Roster {
    keys: HashMap<String, (MerchantKey, Arc<Merchant>)>,
    merchants: BTreeMap<String, Arc<Merchant>>,
}

impl NotKnown {
    /// The code in the answer, and the metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing_api_key",
            Self::Wrong => "invalid_api_key",
            Self::TooMany { .. } => "too_many_requests",
            Self::Away { .. } => "network_unavailable",
        }
    }
}

/// Who is known, and what is asked of others.
pub(crate) struct Known {
    roster: RwLock<Arc<Roster>>,
    /// When the ledger was last asked, successfully; `None`: nobody asked it.
    read_at: RwLock<Option<Instant>>,
    age_max: Duration,
    /// Calls without a key are the operator's own, whoever is known.
    anonymous: bool,
    /// Others than this host can call.
    is_public: AtomicBool,
    wrong: Budget<Caller>,
}

impl Known {
    pub(super) fn new(config: &MerchantsConfig) -> Self {
        Self {
            roster: RwLock::default(),
            read_at: RwLock::default(),
            age_max: Duration::from_secs(config.age_seconds_max),
            anonymous: config.anonymous,
            is_public: AtomicBool::new(false),
            wrong: Budget::new(WRONG_KEYS_AT_ONCE, config.wrong_keys_per_minute, HELD_MIN),
        }
    }

    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// See [`crate::Facilitator::listens_to_others`].
    pub(crate) fn listens_to_others(&self) {
        self.is_public.store(true, Ordering::Release);
    }

    fn needs_key(&self, roster: &Roster) -> bool {
        !self.anonymous && (self.is_public.load(Ordering::Acquire) || !roster.merchants.is_empty())
    }

    fn is_old(&self) -> bool {
        let read_at = *self.read_at.read().unwrap_or_else(PoisonError::into_inner);
        read_at.is_some_and(|at| at.elapsed() > self.age_max)
    }

    /// See [`crate::Facilitator::asker`]. No I/O.
    pub(crate) fn asker(&self, shown: Option<&str>, caller: Caller, now_ms: i64) -> Result<Asker, Unknown> {
        let roster = self.roster();
        let needs_key = self.needs_key(&roster);
        // Where nobody needs one, what is no key of ours is somebody else's business.
        let Some(text) = shown.filter(|text| needs_key || is_shaped(text)) else {
            let without = Asker { merchant: MERCHANT_WITHOUT_KEY.to_owned(), caller, row: None };
            return match needs_key {
                false => Ok(without),
                true => Err(self.refused(caller, NotKnown::Missing, Some(without))),
            };
        };
        if self.is_old() {
            return Err(NotKnown::Away { retry_after_seconds: AWAY_RETRY_SECONDS }.into());
        }
        let shown = Shown::of(text);
        let found = roster.keys.get(shown.id);
        // Of a key that nobody has as much is compared as of one that somebody has.
        let is_same = shown.is(found.map_or(&[0; 32], |(key, _)| &key.hash));
        let found = found.filter(|(key, _)| is_same && key.lives(now_ms));
        let asker =
            found.map(|(_, of)| Asker { merchant: of.name.clone(), caller, row: Some(Arc::clone(of)) });
        match asker {
            Some(asker) if asker.row.as_ref().is_some_and(|row| row.state == MerchantState::Open) => {
                Ok(asker)
            }
            former => Err(self.refused(caller, NotKnown::Wrong, former)),
        }
    }

    /// Counts it, unless its caller is told to wait already.
    fn refused(&self, caller: Caller, why: NotKnown, former: Option<Asker>) -> Unknown {
        if caller.address().is_none() {
            return Unknown { why, former };
        }
        if let Some(left) = self.wrong.held(&caller) {
            return NotKnown::TooMany { retry_after_seconds: left.as_secs().saturating_add(1) }.into();
        }
        self.wrong.failed(&caller);
        Unknown { why, former }
    }

    /// See [`crate::Facilitator::is_for_known_only`].
    pub(crate) fn is_for_known_only(&self) -> bool {
        !self.anonymous && self.is_public.load(Ordering::Acquire)
    }

    /// Every merchant that may sell now, by name.
    pub(crate) fn open(&self) -> Vec<Arc<Merchant>> {
        let roster = self.roster();
        let open = roster.merchants.values().filter(|merchant| merchant.state == MerchantState::Open);
        open.cloned().collect()
    }

    fn put(&self, merchants: Vec<Merchant>) {
        let mut roster = Roster::default();
        for merchant in merchants {
            let merchant = Arc::new(merchant);
            for key in &merchant.keys {
                roster.keys.insert(key.id.clone(), (key.clone(), Arc::clone(&merchant)));
            }
            roster.merchants.insert(merchant.name.clone(), merchant);
        }
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
        *self.read_at.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Inner {
    /// Reads who may sell.
    pub(crate) async fn read_merchants(&self) -> Result<(), LedgerError> {
        let now_ms = self.context.clock.now_ms();
        self.merchants.known.put(self.context.ledger.list_merchants(now_ms).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quittance_ledger::{FeePolicy, MerchantKey};

    use super::super::keys::new_api_key;
    use super::*;
    use crate::Random;

    fn merchant(name: &str, state: MerchantState, keys: Vec<MerchantKey>) -> Merchant {
        Merchant {
            name: name.to_owned(),
            state,
            fee_policy: FeePolicy::Added,
            in_flight_max: 1,
            accounts_max: 0,
            created_at_ms: 0,
            changed_at_ms: 0,
            networks: Vec::new(),
            keys,
        }
    }

    fn why(asked: Result<Asker, Unknown>) -> NotKnown {
        asked.unwrap_err().why
    }

    fn known(anonymous: bool) -> Known {
        Known::new(&MerchantsConfig { anonymous, wrong_keys_per_minute: 1, ..MerchantsConfig::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_needed_from_the_first_merchant_on_or_where_others_can_call() {
        let caller = Caller::default();
        let with_none = known(false);
        assert_eq!(with_none.asker(None, caller, 0).unwrap().merchant, MERCHANT_WITHOUT_KEY);
        with_none.put(Vec::new());
        assert!(with_none.asker(None, caller, 0).is_ok());
        with_none.listens_to_others();
        assert_eq!(why(with_none.asker(None, caller, 0)), NotKnown::Missing);
        assert!(known(false).asker(Some("another service's"), caller, 0).is_ok(), "nobody needs a key");
        let (_, key) = new_api_key(&Random::system(), 0);
        for state in [MerchantState::Open, MerchantState::Closed] {
            for anonymous in [false, true] {
                let known = known(anonymous);
                known.put(vec![merchant("shop", state, vec![key.clone()])]);
                assert_eq!(known.asker(None, caller, 0).is_ok(), anonymous, "{state}");
                assert_eq!(why(known.asker(Some("qk_a_b"), caller, 0)), NotKnown::Wrong);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_lives_until_its_end_and_while_its_merchant_is_open() {
        let caller = Caller::default();
        let (secret, mut key) = new_api_key(&Random::system(), 0);
        key.ends_at_ms = Some(100);
        let text = secret.expose_str();
        let known = known(false);
        known.put(vec![merchant("shop", MerchantState::Open, vec![key.clone()])]);
        assert_eq!(known.asker(text, caller, 99).unwrap().merchant, "shop");
        assert_eq!(known.asker(text, caller, 100), Err(NotKnown::Wrong.into()));
        known.put(vec![merchant("shop", MerchantState::Closed, vec![key.clone()])]);
        // Its own payments may still be told of.
        let closed = known.asker(text, caller, 0).unwrap_err();
        assert_eq!((closed.why, closed.former.unwrap().merchant.as_str()), (NotKnown::Wrong, "shop"));
        known.put(vec![merchant("shop", MerchantState::Open, vec![key])]);
        assert!(known.asker(text, caller, 0).is_ok());
        // A process that cannot read the ledger any more cannot know of a closing.
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(matches!(why(known.asker(text, caller, 0)), NotKnown::Away { .. }));
    }

    #[test]
    fn every_code_has_a_series() {
        let (seconds, codes) = (1, crate::metrics::merchants::NOT_KNOWN);
        for why in [
            NotKnown::Missing,
            NotKnown::Wrong,
            NotKnown::TooMany { retry_after_seconds: seconds },
            NotKnown::Away { retry_after_seconds: seconds },
        ] {
            assert!(codes.contains(&why.as_str()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_keys_are_counted_by_address_and_a_right_one_passes() {
        let (secret, key) = new_api_key(&Random::system(), 0);
        let known = known(false);
        known.put(vec![merchant("shop", MerchantState::Open, vec![key])]);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|at| Caller::at(at.parse().unwrap()));
        let told = (0..40).map(|_| why(known.asker(Some("qk_a_b"), one, 0))).collect::<Vec<_>>();
        assert_eq!(told.first(), Some(&NotKnown::Wrong));
        assert!(matches!(told.last(), Some(NotKnown::TooMany { .. })), "{told:?}");
        assert!(known.asker(secret.expose_str(), one, 0).is_ok(), "who has a key is not held back");
        assert_eq!(why(known.asker(Some("qk_a_b"), other, 0)), NotKnown::Wrong);
    }
}
