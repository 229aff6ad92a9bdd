//! Times and blocks as people write them.

use std::str::FromStr;

use quittance_facilitator::Clock;
use quittance_facilitator::chain::{ChainFault, TransferHistory};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// A place in a chain's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A block, or a slot.
    Block(u64),
    /// Seconds since the Unix epoch.
    At(i64),
    /// Seconds before now.
    Ago(i64),
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(block) = text.parse() {
            return Ok(Self::Block(block));
        }
        if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(Self::At(at.unix_timestamp()));
        }
        if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
            return Ok(Self::At(day.midnight().assume_utc().unix_timestamp()));
        }
        let unit = text.chars().last().and_then(|unit| match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3_600),
            'd' => Some(86_400),
            _ => None,
        });
        let number = text.get(..text.len().saturating_sub(1)).and_then(|digits| digits.parse::<u32>().ok());
        let ago = number.zip(unit).and_then(|(number, unit): (u32, i64)| i64::from(number).checked_mul(unit));
        ago.map(Self::Ago).ok_or("a time such as 2026-11-30 or 2026-11-30T12:00:00Z, 24h, 7d, or a block")
    }
}

impl When {
    /// Unix seconds; `None` for a block.
    fn at(self) -> Option<i64> {
        match self {
            Self::Block(_) => None,
            Self::At(at) => Some(at),
            Self::Ago(ago) => Some(Clock::system().now_ms().div_euclid(1_000).saturating_sub(ago)),
        }
    }

    /// Unix milliseconds; `None` for a block.
    pub(super) fn at_ms(self) -> Option<i64> {
        self.at().map(|at| at.saturating_mul(1_000))
    }

    pub(super) async fn block(self, history: &dyn TransferHistory) -> Result<u64, ChainFault> {
        match (self, self.at()) {
            (Self::Block(block), _) => Ok(block),
            (_, at) => history.block_at(u64::try_from(at.unwrap_or(0)).unwrap_or(0)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_blocks_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("123", When::Block(123)),
            ("1970-01-02", When::At(86_400)),
            ("1970-01-01T00:01:00Z", When::At(60)),
            ("1970-01-01T02:00:00+02:00", When::At(0)),
            ("90s", When::Ago(90)),
            ("24h", When::Ago(86_400)),
            ("7d", When::Ago(604_800)),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        for bad in ["", "d", "-1d", "yesterday", "2026-13-01", "1.5h", "é"] {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }
}
