use super::cells::{Cell, Column, Kind, Sheet, write_titles};
use super::*;

const COLUMNS: &[Column] = &[
    Column { name: "resource", kind: Kind::Text, in_table: true },
    Column { name: "margin_usdc", kind: Kind::Usdc, in_table: true },
    Column { name: "at", kind: Kind::Time, in_table: true },
    Column { name: "block", kind: Kind::Number, in_table: false },
];

fn sheet(texts: &[&str]) -> Sheet {
    let mut sheet = Sheet::new(COLUMNS);
    for text in texts {
        sheet.push(vec![
            Cell::text(*text),
            Cell::Usdc(Some(-750)),
            Cell::Time(Some(1_795_392_000_123)),
            Cell::Number(None),
        ]);
    }
    sheet
}

fn csv(sheet: &Sheet) -> String {
    let mut out = Vec::new();
    write_titles(&mut out, COLUMNS).unwrap();
    sheet.write_csv(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn no_field_that_somebody_else_wrote_starts_a_formula() {
    for attack in ["=HYPERLINK(\"http://evil\";A1)", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"] {
        let text = csv(&sheet(&[attack]));
        let field = text.lines().nth(1).unwrap();
        assert!(field.starts_with('\'') || field.starts_with("\"'"), "{attack:?} became {field:?}");
    }
    // What was calculated here stays a number.
    assert!(csv(&sheet(&["x"])).contains(",-0.000750,"));
}

#[test]
fn commas_quotes_and_lines_stay_in_their_field() {
    let text = csv(&sheet(&["a,b", "say \"no\"", "two\nlines"]));
    assert!(
        text.starts_with("resource,margin_usdc,at,block\r\n\"a,b\",-0.000750,2026-11-23T00:00:00.123Z,\r\n")
    );
    assert!(text.contains("\"say \"\"no\"\"\",") && text.contains("\"two\nlines\","), "{text}");
}

#[test]
fn json_lines_say_null_where_nothing_is_known() {
    let mut out = Vec::new();
    sheet(&["=x"]).write_json(&mut out).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(document["block"], serde_json::Value::Null);
    assert_eq!((&document["resource"], &document["margin_usdc"]), (&"=x".into(), &"-0.000750".into()));
}

#[test]
fn a_terminal_is_told_nothing_by_a_payer() {
    let table = sheet(&["\u{1b}[2Jgone\r\n"]).table();
    assert!(!table.contains('\u{1b}') && table.lines().count() == 2, "{table:?}");
    assert!(!table.contains("block"), "what has no room");
}

#[test]
fn parquet_has_the_same_rows() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.parquet");
    let mut writer = parquet::Writer::create(&path, COLUMNS).unwrap();
    // More than a group holds.
    for _ in 0..11 {
        let rows: Vec<_> = (0..1_000).map(|at| if at % 2 == 0 { "even" } else { "=odd" }).collect();
        writer.write(&sheet(&rows)).unwrap();
    }
    writer.close().unwrap();
    let file = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!((file.metadata().file_metadata().num_rows(), file.num_row_groups()), (11_000, 2));
    let rows: Vec<String> =
        file.get_row_iter(None).unwrap().take(2).map(|row| row.unwrap().to_string()).collect();
    assert!(rows[0].contains("even") && rows[1].contains("=odd"), "{rows:?}");
    assert!(rows[0].contains("-0.000750") && rows[0].contains("null"), "{rows:?}");
    assert!(parquet::Writer::create(&path, COLUMNS).is_err(), "nothing is written over");
}

#[test]
fn times_are_days_moments_or_so_long_ago() {
    assert_eq!(moment("2026-11-23"), Ok(1_795_392_000_000));
    assert_eq!(moment("2026-11-23T00:00:00.123Z"), Ok(1_795_392_000_123));
    assert_eq!(moment("2026-11-23T01:00:00+01:00"), Ok(1_795_392_000_000));
    let before_ms = Clock::system().now_ms();
    let now_ms = moment("2h").unwrap() + 7_200_000;
    assert!((before_ms..=Clock::system().now_ms()).contains(&now_ms), "{now_ms} {before_ms}");
    for bad in ["", "yesterday", "2026-13-01", "-3d", "99999999999d", "d"] {
        assert!(moment(bad).is_err(), "{bad}");
    }
    assert_eq!(range::rfc3339(1_795_392_000_000), "2026-11-23T00:00:00Z");
}
