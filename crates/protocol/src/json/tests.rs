use proptest::prelude::*;
use serde_json::json;

use super::*;

const DEPTH: usize = 64;

fn parse(text: &str) -> Result<Json<'_>, String> {
    Json::parse_strict(text.as_bytes(), DEPTH)
}

fn object_of(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn text_without_escapes_is_borrowed() {
    let body = r#"{"plain":"abc","esc\u0061ped":"a\nb"}"#;
    let Json::Object(object) = parse(body).unwrap() else { panic!("an object") };
    let owned: Vec<(bool, bool)> = object
        .members
        .iter()
        .map(|(name, value)| {
            let Json::String(text) = value else { panic!("text") };
            (matches!(name, Cow::Owned(_)), matches!(text, Cow::Owned(_)))
        })
        .collect();
    assert_eq!(owned, [(false, false), (true, true)]);
    assert_eq!(object.get("escaped").and_then(Json::as_str), Some("a\nb"));
}

#[test]
fn large_objects_are_searched_and_refuse_duplicates_like_small_ones() {
    for count in [0, 1, LINEAR_MEMBERS_MAX - 1, LINEAR_MEMBERS_MAX, LINEAR_MEMBERS_MAX + 1, 500] {
        let text = object_of(count);
        let value = parse(&text).unwrap();
        let object = value.as_object().unwrap();
        assert_eq!((object.len(), object.is_empty()), (count, count == 0));
        for n in 0..count {
            assert_eq!(value.get(&format!("k{n}")), Some(&Json::Number(n.into())), "{count}: {n}");
        }
        assert_eq!(value.get(&format!("k{count}")), None);
        assert_eq!(value.get(""), None);
        for n in [0, count / 2, count.saturating_sub(1)].into_iter().filter(|_| count > 0) {
            let twice = format!("{},\"k{n}\":0}}", text.trim_end_matches('}'));
            let problem = parse(&twice).unwrap_err();
            assert!(problem.contains(&format!("key \"k{n}\" stands twice")), "{count}: {problem}");
            // Another spelling of the same name.
            let escaped = twice.replacen("\"k", "\"\\u006b", 1);
            assert!(parse(&escaped).is_err(), "{escaped}");
        }
    }
}

#[test]
fn objects_are_equal_in_any_order_and_lists_are_not() {
    for count in [3, 40] {
        let reversed: Vec<String> = (0..count).rev().map(|n| format!("\"k{n}\":{n}")).collect();
        let (one, other) = (object_of(count), format!("{{{}}}", reversed.join(",")));
        assert_eq!(parse(&one).unwrap(), parse(&other).unwrap());
        let (fewer, changed) = (object_of(count - 1), one.replacen(":0", ":1", 1));
        assert_ne!(parse(&one).unwrap(), parse(&fewer).unwrap());
        assert_ne!(parse(&one).unwrap(), parse(&changed).unwrap());
    }
    assert_ne!(parse("[1,2]").unwrap(), parse("[2,1]").unwrap());
    assert_ne!(parse("1").unwrap(), parse("1.0").unwrap());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other numbers", |n| n.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 96, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_reads_and_writes_what_serde_json_does(value in any_json()) {
        for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let read = parse(&text).unwrap();
            // Through text again: a float may have another last digit than the one it was made from.
            let theirs: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&theirs).unwrap());
            prop_assert_eq!(&read.clone().into_value(), &theirs);
            prop_assert_eq!(&parse(&text).unwrap(), &read);
        }
    }

    #[test]
    fn bytes_that_serde_json_refuses_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let theirs = serde_json::from_slice::<Value>(&bytes);
        let ours = Json::parse_strict(&bytes, DEPTH);
        prop_assert!(theirs.is_ok() || ours.is_err());
    }
}

#[test]
fn shapes_are_told_apart() {
    let value = parse(r#"{"a":[true,null,"x",{}]}"#).unwrap();
    let items = value.get("a").and_then(Json::as_array).unwrap();
    assert!(items[1].is_null() && !items[0].is_null());
    assert_eq!((items[2].as_str(), items[0].as_str()), (Some("x"), None));
    assert!(items[3].as_object().is_some_and(JsonObject::is_empty));
    assert!(value.as_array().is_none() && items[0].as_object().is_none() && items[0].get("a").is_none());
    assert_eq!(value.into_value(), json!({"a": [true, null, "x", {}]}));
}
