//! Prices, ages and medians, without I/O.

use crate::prices::error::SourceError;
use crate::prices::price::Price;
use crate::rates::combine::{NoRate, Seen, combine};
use crate::rates::http;

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

#[test]
fn prices_are_exact_decimals_above_zero() {
    for (text, scaled) in [
        ("2500", 2_500 * 10_u128.pow(18)),
        ("2500.00", 2_500 * 10_u128.pow(18)),
        ("0.000000000000000001", 1),
        ("999999999999.999999999999999999", 10_u128.pow(30) - 1),
    ] {
        assert_eq!(price(text).scaled(), scaled, "{text}");
    }
    for bad in [
        "",
        "0",
        "0.0",
        "-1",
        "+1",
        "1e3",
        "1E3",
        " 1",
        "1 ",
        "1.",
        ".5",
        "1,5",
        "NaN",
        "Infinity",
        "0x10",
        "01",
        "1000000000000",
        "1.0000000000000000001",
        "١",
    ] {
        assert_eq!(Price::parse(bad), Err(SourceError::NotAPrice), "{bad}");
    }
}

#[test]
fn feeds_scale_by_their_exponent() {
    for (value, exponent, text) in [
        (250_000_000_000, -8, "2500"),
        (15_012_345_678, -8, "150.12345678"),
        (25, 2, "2500"),
        (1, -18, "0.000000000000000001"),
    ] {
        assert_eq!(Price::from_parts(value, exponent).unwrap().rate().to_string(), text);
    }
    for (value, exponent) in
        [(0, -8), (1, -19), (1, 12), (u128::MAX, 0), (1, i32::MIN), (1, i32::MAX), (1, 1_000)]
    {
        assert_eq!(Price::from_parts(value, exponent), Err(SourceError::NotAPrice), "{value} {exponent}");
    }
}

#[test]
fn the_median_of_agreeing_sources_counts() {
    let few = |fresh, needed| Err(NoRate::TooFew { fresh, needed });
    let apart = |agreeing, fresh, needed| Err(NoRate::Apart { agreeing, fresh, needed });
    for (prices, deviation_bps, sources_min, expected) in [
        (&["100"][..], 200, 1, Ok("100")),
        (&["100"], 200, 2, few(1, 2)),
        (&[], 200, 1, few(0, 1)),
        // Never without a source, whatever the minimum says.
        (&[], 200, 0, few(0, 1)),
        (&["101", "99", "100"], 200, 1, Ok("100")),
        // The dearer of two: too dear costs customers, too cheap costs us.
        (&["100", "101"], 200, 1, Ok("101")),
        (&["98", "100"], 200, 1, Ok("100")),
        (&["97.99", "100"], 200, 1, apart(1, 2, 2)),
        // One broken source of three is outvoted, whichever way it lies.
        (&["100", "101", "5000"], 200, 1, Ok("101")),
        (&["100", "101", "0.01"], 200, 2, Ok("101")),
        (&["100", "101", "0.01"], 200, 3, apart(2, 3, 3)),
        // Two against two: nobody knows.
        (&["100", "101", "200", "201"], 200, 1, apart(2, 4, 3)),
        (&["100", "150", "200"], 200, 1, apart(1, 3, 2)),
        (&["100", "100"], 0, 2, Ok("100")),
        (&["100", "100.000000000000000001"], 0, 2, apart(1, 2, 2)),
        (&["999999999999.9", "999999999999.8"], 5_000, 2, Ok("999999999999.9")),
    ] {
        let prices: Vec<Price> = prices.iter().map(|text| price(text)).collect();
        let rate = combine(&prices.iter().collect::<Vec<_>>(), deviation_bps, sources_min);
        assert_eq!(rate.map(|rate| rate.to_string()), expected.map(str::to_owned), "{prices:?}");
    }
}

#[test]
fn both_ages_count() {
    const NOW: i64 = 1_800_000_000_000;
    for (read_ago_ms, dated_ago_ms, fresh) in [
        (0, None, true),
        (60_000, None, true),
        (60_001, None, false),
        (0, Some(1_500_000), true),
        (0, Some(1_500_001), false),
        // A node that stopped answering hides a crash, however young its last answer.
        (60_001, Some(0), false),
        // Clocks differ by a little, never by an hour.
        (0, Some(-60_000), true),
        (0, Some(-60_001), false),
        (-60_001, None, false),
    ] {
        let seen = Seen {
            price: price("100"),
            read_ms: NOW - read_ago_ms,
            dated_ms: dated_ago_ms.map(|ago: i64| NOW - ago),
        };
        assert_eq!(seen.is_fresh(60_000, 1_500_000, NOW), fresh, "{read_ago_ms} {dated_ago_ms:?}");
    }
}

#[test]
fn documents_give_numbers_as_they_are_written() {
    let found = |body: &str, pointer: &str, time: Option<&str>| {
        http::decode(body.as_bytes(), pointer, time).map(|r| (r.price.rate().to_string(), r.dated_ms))
    };
    for (body, pointer, expected) in [
        (r#"{"price":"2512.34"}"#, "/price", "2512.34"),
        // More digits than a float holds.
        (r#"{"price":2512.340000000000001}"#, "/price", "2512.340000000000001"),
        (r#"{"a":{"b/c":[1,{"~":"7.5"}]}}"#, "/a/b~1c/1/~0", "7.5"),
        (r#"[{"result":{"p":99}}]"#, "/0/result/p", "99"),
        ("{\"price\" : \"2512.34\" }", "/price", "2512.34"),
    ] {
        assert_eq!(found(body, pointer, None).unwrap().0, expected, "{body}");
    }
    for (body, pointer, error) in [
        ("<html>busy</html>", "/price", SourceError::NotJson),
        ("", "/price", SourceError::NotJson),
        (r#"{"price":"1"#, "/price", SourceError::NotJson),
        (r#"{"price":"1"} trailing"#, "/price", SourceError::NotJson),
        (r#"{"prize":"1"}"#, "/price", SourceError::Shape("nothing at the pointer")),
        (r#"{"price":"1"}"#, "/price/0", SourceError::Shape("nothing at the pointer")),
        (r#"["1"]"#, "/-1", SourceError::Shape("nothing at the pointer")),
        (r#"{"price":null}"#, "/price", SourceError::NotAPrice),
        (r#"{"price":true}"#, "/price", SourceError::NotAPrice),
        (r#"{"price":-1}"#, "/price", SourceError::NotAPrice),
        (r#"{"price":1e3}"#, "/price", SourceError::NotAPrice),
        (r#"{"price":"1,000.00"}"#, "/price", SourceError::NotAPrice),
        (r#"{"price":{"value":"1"}}"#, "/price", SourceError::NotAPrice),
        (r#"{"price":"\u0031\u0000"}"#, "/price", SourceError::NotAPrice),
    ] {
        assert_eq!(found(body, pointer, None), Err(error), "{body}");
    }
    for (time, expected) in [
        ("1795417200", 1_795_417_200_000),
        ("1795417200123", 1_795_417_200_123),
        ("1795417200.75", 1_795_417_200_000),
    ] {
        let body = format!(r#"{{"p":"1","t":{time}}}"#);
        assert_eq!(found(&body, "/p", Some("/t")).unwrap().1, Some(expected));
    }
    let dated = found(r#"{"p":"1","t":"yesterday"}"#, "/p", Some("/t"));
    assert_eq!(dated, Err(SourceError::Shape("the time is not a Unix time")));
    // Nesting that would overflow a stack is refused by the parser's own limit.
    let deep = format!(r#"{{"p":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(found(&deep, "/p", None).is_err());
}
