//! Payments whose time has nearly come.
//!
//! Clients stamp `validAfter` with their own clock, which runs a little ahead of ours or
//! of the newest block. Such a payment is good in a moment: whoever is told to sign
//! again instead has two authorizations out.

use std::time::Duration;

use quittance_protocol::ErrorCode;
use tokio::time::Instant;

use crate::api::Rejection;
use crate::chain::{ChainView, CheckError, Verified};
use crate::network::configured::ConfiguredNetwork;
use crate::network::early::{CLOCK_SKEW_SECONDS_MAX, is_early};
use crate::{Caller, Inner};

/// How far ahead `validAfter` may lie and the same payment be asked for again, in seconds. A clock that is
/// that wrong stamps the next authorization as wrongly; one further ahead is its signer's will.
const COME_AGAIN_SECONDS_MAX: u64 = 60;

/// Pause before a chain whose newest block is still too old is asked again.
const BLOCK_PAUSE: Duration = Duration::from_millis(500);

impl Inner {
    /// Waits until a payment's time has come, if that is near, but not past `until`.
    /// Copies wait in the same flight; no place, claim or call is held meanwhile.
    pub(crate) async fn wait_until_valid(&self, payment: &Verified, until: Instant) -> Result<(), Rejection> {
        let now_ms = self.context.clock.now_ms();
        let wait = match payment.valid_after.map_or(Ahead::No, |after| ahead(after, now_ms)) {
            Ahead::No | Ahead::Far => return Ok(()),
            Ahead::Soon { seconds } => return Err(too_early(payment).after(seconds)),
            Ahead::Near(wait) => wait,
        };
        // A time that has not come is a stranger's to choose.
        let Some(_waiting) = self.strangers.waiting(payment.signer()) else { return Err(too_early(payment)) };
        let begins = Instant::now() + wait;
        if begins > until {
            tokio::time::sleep_until(until).await;
            return Err(too_early(payment));
        }
        tokio::time::sleep_until(begins).await;
        Ok(())
    }

    /// Asks the chain, again until its newest block has come as far as our clock.
    pub(crate) async fn view_in_time(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        caller: Caller,
    ) -> Result<ChainView, CheckError> {
        let until =
            Instant::now() + Duration::from_secs(CLOCK_SKEW_SECONDS_MAX).min(self.limits.pending_wait);
        loop {
            match self.ask_chain(net, payment, caller).await {
                Err(CheckError::Rejected(rejection))
                    if is_early(payment, &rejection, self.context.clock.now()) =>
                {
                    let waiting = self.strangers.waiting(payment.signer());
                    if waiting.is_none() || Instant::now() + BLOCK_PAUSE > until {
                        self.strangers.failed(net, payment, caller, &rejection);
                        return Err(CheckError::Rejected(too_early(payment)));
                    }
                    tokio::time::sleep(BLOCK_PAUSE).await;
                }
                other => return other,
            }
        }
    }
}

/// How far ahead a payment's time is.
#[derive(Debug, PartialEq, Eq)]
enum Ahead {
    /// It has come.
    No,
    /// It is waited for.
    Near(Duration),
    /// The payment is to be sent again after that.
    Soon { seconds: u64 },
    /// No clock is that wrong.
    Far,
}

fn ahead(after: u64, now_ms: i64) -> Ahead {
    // The token wants a time beyond it, in whole seconds.
    let begins_ms = after.saturating_add(1).saturating_mul(1_000);
    match begins_ms.saturating_sub(u64::try_from(now_ms).unwrap_or(0)) {
        0 => Ahead::No,
        ms if ms <= CLOCK_SKEW_SECONDS_MAX.saturating_mul(1_000) => Ahead::Near(Duration::from_millis(ms)),
        ms if ms <= COME_AGAIN_SECONDS_MAX.saturating_mul(1_000) => {
            Ahead::Soon { seconds: ms.div_ceil(1_000) }
        }
        _ => Ahead::Far,
    }
}

/// Said of a payment whose time did not come while it was waited for.
fn too_early(payment: &Verified) -> Rejection {
    Rejection::new(
        ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter,
        "the authorization is not valid yet, and will be in a moment; send the same payment again",
    )
    .of(payment.payer.clone())
    .retry_same()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_moment_that_is_near_is_waited_for() {
        let near = |ms| Ahead::Near(Duration::from_millis(ms));
        assert_eq!(ahead(100, 101_000), Ahead::No, "past");
        assert_eq!(ahead(100, 100_999), near(1));
        assert_eq!(ahead(100, 100_000), near(1_000), "the very second is not past yet");
        assert_eq!(ahead(100, 98_000), near(3_000));
        assert_eq!(ahead(100, 96_000), near(5_000));
        assert_eq!(ahead(100, 95_999), Ahead::Soon { seconds: 6 });
        assert_eq!(ahead(100, 41_000), Ahead::Soon { seconds: 60 });
        assert_eq!(ahead(100, 40_999), Ahead::Far);
        assert_eq!(ahead(u64::MAX, 0), Ahead::Far);
        assert_eq!(ahead(0, i64::MIN), near(1_000), "a clock before 1970");
    }
}
