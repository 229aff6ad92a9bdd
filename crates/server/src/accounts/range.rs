//! Times on the command line and in print; all of them UTC.

use quittance_facilitator::Clock;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time};

/// A moment as Unix milliseconds: a day, a time, or how long ago.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let wanted = || "a day (2026-11-01), a time (2026-11-01T12:00:00Z), or 7d, 24h, 30m ago".to_owned();
    if let Some(ms) = ago(text) {
        return Ok(Clock::system().now_ms().saturating_sub(ms));
    }
    let at = match text.len() {
        10 => {
            let format = time::macros::format_description!("[year]-[month]-[day]");
            Date::parse(text, &format).map(|date| date.with_time(Time::MIDNIGHT).assume_utc())
        }
        _ => OffsetDateTime::parse(text, &Rfc3339),
    };
    let at = at.map_err(|_| wanted())?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|_| wanted())
}

fn ago(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        'd' => 86_400_000,
        'h' => 3_600_000,
        'm' => 60_000,
        _ => return None,
    };
    let count: u32 = text.get(..text.len().checked_sub(1)?)?.parse().ok()?;
    i64::from(count).checked_mul(unit)
}

/// `2026-11-30T15:04:05.123Z`.
pub(crate) fn rfc3339(at_ms: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms).saturating_mul(1_000_000));
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| at_ms.to_string())
}

/// `2026-11-30`.
pub(super) fn day(at_ms: i64) -> String {
    rfc3339(at_ms).get(..10).unwrap_or_default().to_owned()
}
