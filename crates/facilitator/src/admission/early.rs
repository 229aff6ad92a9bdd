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

/// Pause before a chain whose newest block is still too old is asked again.
const BLOCK_PAUSE: Duration = Duration::from_millis(500);

impl Inner {
    /// Waits until a payment's time has come, if that is near, but not past `until`.
    /// Copies wait in the same turn; no place, claim or call is held meanwhile.
    pub(crate) async fn wait_until_valid(&self, payment: &Verified, until: Instant) -> Result<(), Rejection> {
        let now_ms = self.context.clock.now_ms();
        let Some(wait) = payment.valid_after.and_then(|after| near(after, now_ms)) else {
            return Ok(());
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

/// How long until a moment is past that is near enough; `None` if it is past, or far.
fn near(after: u64, now_ms: i64) -> Option<Duration> {
    // The token wants a time beyond it, in whole seconds.
    let begins_ms = after.checked_add(1)?.checked_mul(1_000)?;
    let wait_ms = begins_ms.checked_sub(u64::try_from(now_ms).ok()?)?;
    (wait_ms > 0 && wait_ms <= CLOCK_SKEW_SECONDS_MAX.saturating_mul(1_000))
        .then(|| Duration::from_millis(wait_ms))
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
        let wait = |after, now_ms| near(after, now_ms).map(|wait| wait.as_millis());
        assert_eq!(wait(100, 101_000), None, "past");
        assert_eq!(wait(100, 100_999), Some(1));
        assert_eq!(wait(100, 100_000), Some(1_000), "the very second is not past yet");
        assert_eq!(wait(100, 98_000), Some(3_000));
        assert_eq!(wait(100, 96_000), Some(5_000));
        assert_eq!(wait(100, 95_999), None, "no clock is that wrong");
        assert_eq!(wait(u64::MAX, 0), None);
        assert_eq!(wait(0, i64::MIN), None);
    }
}
