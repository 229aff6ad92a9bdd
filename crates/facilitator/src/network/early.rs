//! Payments that only a clock stands in the way of.

use quittance_protocol::ErrorCode;

use crate::api::Rejection;
use crate::chain::Verified;

/// How far ahead of our clock `validAfter` may lie and still be a clock's fault, in seconds.
pub(crate) const CLOCK_SKEW_SECONDS_MAX: u64 = 5;

/// Whether only a block that is a moment old stands in the way; `now` is Unix seconds by our clock.
pub(crate) fn is_early(payment: &Verified, rejection: &Rejection, now: u64) -> bool {
    let after = payment.valid_after.unwrap_or(0);
    rejection.code == ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter
        && now <= after.saturating_add(CLOCK_SKEW_SECONDS_MAX)
}
