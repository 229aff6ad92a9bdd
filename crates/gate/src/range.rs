//! One byte range of a kept answer (RFC 9110, section 14).

use std::ops::Range;

use http::header::{ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};

/// What of an answer was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// No byte of the answer is in the range.
    Nothing,
}

/// Reads `Range` and `If-Range` against an answer of this length and these
/// headers. What we do not serve (several ranges, another unit, nonsense) is
/// answered with the whole, as the RFC allows.
pub(crate) fn wanted(request: &HeaderMap, answer: &HeaderMap, bytes: u64) -> Wanted {
    let mut ranges = request.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Wanted::Whole };
    if request.get(IF_RANGE).is_some_and(|condition| !is_same(condition, answer.get(ETAG))) {
        return Wanted::Whole;
    }
    parse(range, bytes).unwrap_or(Wanted::Whole)
}

/// Only a strong tag says that two parts belong together.
fn is_same(condition: &HeaderValue, tag: Option<&HeaderValue>) -> bool {
    condition.as_bytes().starts_with(b"\"") && Some(condition) == tag
}

fn parse(range: &HeaderValue, bytes: u64) -> Option<Wanted> {
    let (unit, range) = range.to_str().ok()?.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(tail)) => bytes.saturating_sub(tail)..bytes,
        (Some(first), None) => first..bytes,
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), Some(last)) => first..last.saturating_add(1).min(bytes),
    };
    Some(if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing })
}

/// Digits, or nothing at all. Beyond 64 bits is beyond any answer.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, if_range: Option<&str>) -> Wanted {
        let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
        request.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(condition) = if_range {
            request.insert(IF_RANGE, HeaderValue::from_str(condition).unwrap());
        }
        answer.insert(ETAG, HeaderValue::from_static("\"one\""));
        wanted(&request, &answer, 100)
    }

    #[test]
    fn ranges_mean_what_the_rfc_says() {
        for (range, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=90-500", Wanted::Part(90..100)),
            ("bytes=-1", Wanted::Part(99..100)),
            ("bytes=-500", Wanted::Part(0..100)),
            ("Bytes = 5 - 5", Wanted::Part(5..6)),
            ("bytes=99-99999999999999999999999", Wanted::Part(99..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=9-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes", Wanted::Whole),
        ] {
            assert_eq!(asked(range, None), expected, "{range}");
        }
    }

    #[test]
    fn a_part_of_another_answer_is_not_joined_to_this_one() {
        assert_eq!(asked("bytes=5-", Some("\"one\"")), Wanted::Part(5..100));
        for other in ["\"two\"", "W/\"one\"", "Sun, 29 Nov 2026 00:00:00 GMT"] {
            assert_eq!(asked("bytes=5-", Some(other)), Wanted::Whole, "{other}");
        }
    }

    #[test]
    fn an_empty_answer_has_no_part() {
        let mut request = HeaderMap::new();
        request.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        assert_eq!(wanted(&request, &HeaderMap::new(), 0), Wanted::Nothing);
    }
}
