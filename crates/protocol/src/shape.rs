//! JSON of another shape than was asked for, in the words of who wrote it: the field by its path, and
//! what belongs there. Never what stands there, which may be a part of a signature, and never
//! the name of a type of this program.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a value; what is wrong with it names the field.
pub fn read_shape<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    // What is read pays for no path.
    T::deserialize(value).or_else(|_| {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let words = words(&error.into_inner().to_string());
            if path == "." { words } else { format!("`{path}`: {words}") }
        })
    })
}

/// serde's own words, as far as they speak of types.
fn words(said: &str) -> String {
    // `invalid type: string "…", expected u64`; the text may hold commas of its own.
    let expected = said
        .strip_prefix("invalid type: ")
        .or_else(|| said.strip_prefix("invalid value: "))
        .or_else(|| said.strip_prefix("invalid length "))
        .and_then(|rest| Some((rest, rest.rsplit_once(", expected ")?.1)));
    match expected {
        Some((found, expected)) => format!("{} where {} belongs", kind(found), wanted(expected)),
        None => said.to_owned(),
    }
}

fn kind(found: &str) -> &'static str {
    match found.split([' ', ',']).next().unwrap_or_default() {
        "string" => "a text stands",
        "integer" | "floating" => "a number stands",
        "boolean" => "true or false stands",
        "null" | "unit" => "null stands",
        "sequence" => "a list stands",
        "map" => "an object stands",
        _ => "something else stands",
    }
}

fn wanted(expected: &str) -> &str {
    match expected {
        "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number that is not negative",
        "i64" | "i32" => "a whole number",
        "a string" | "string" | "str" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" | "map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("a sequence") => "a list",
        other if other.starts_with("variant ") || other.starts_with("enum ") => "another value",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{PaymentPayload, VerifyRequest, v1};

    fn request() -> Value {
        let terms = json!({"scheme": "exact", "network": "eip155:8453", "asset": "0xa", "payTo": "0xb",
            "amount": "1", "maxTimeoutSeconds": 120, "extra": {}});
        json!({"x402Version": 2, "paymentRequirements": terms,
            "paymentPayload": {"x402Version": 2, "accepted": terms, "payload": {}}})
    }

    #[test]
    fn a_wrong_field_is_named_with_what_belongs_there() {
        for (path, wrong, said) in [
            (
                "/paymentPayload/accepted/maxTimeoutSeconds",
                json!("a, expected b"),
                "a text stands where a whole number",
            ),
            ("/paymentPayload/accepted/maxTimeoutSeconds", json!(-1), "a number stands where a whole number"),
            ("/paymentPayload/accepted/scheme", json!(5), "a number stands where a text belongs"),
            ("/paymentPayload/accepted/payTo", json!(null), "null stands where a text belongs"),
            ("/paymentPayload/accepted", json!("0xsecret"), "a text stands where an object belongs"),
            ("/paymentPayload/extensions", json!([1]), "`extra` and `extensions` are objects"),
            ("/paymentRequirements", json!(7), "a number stands where an object belongs"),
            ("/x402Version", json!(2.5), "a number stands where a whole number"),
        ] {
            let mut bad = request();
            match bad.pointer_mut(path) {
                Some(place) => *place = wrong,
                None => bad["paymentPayload"]["extensions"] = wrong,
            }
            let words = read_shape::<VerifyRequest>(&bad).unwrap_err();
            let field = path.trim_start_matches('/').replace('/', ".");
            assert!(words.contains(said) && words.contains(&format!("`{field}`")), "{path}: {words}");
            for leak in ["struct ", "u64", "0xsecret", "expected", "with "] {
                assert!(!words.contains(leak), "{path}: {words}");
            }
        }
    }

    #[test]
    fn a_missing_field_is_named() {
        let mut bad = request();
        bad["paymentPayload"]["accepted"].as_object_mut().unwrap().remove("payTo");
        let words = read_shape::<VerifyRequest>(&bad).unwrap_err();
        assert_eq!(words, "`paymentPayload.accepted`: missing field `payTo`");
        assert!(
            read_shape::<PaymentPayload>(&json!([])).unwrap_err().contains("a list stands where an object")
        );
        assert!(
            read_shape::<v1::PaymentPayload>(&json!({"x402Version": 1}))
                .unwrap_err()
                .contains("missing field")
        );
        assert!(read_shape::<VerifyRequest>(&request()).is_ok());
    }
}
