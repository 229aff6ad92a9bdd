use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn keys() -> ApiKeys {
    let hash = hex::encode(Sha256::digest(b"s3cret"));
    ApiKeys::parse(&format!("[[keys]]\nname = \"acme\"\nkey = \"k1\"\nsecret_sha256 = \"{hash}\"\n")).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

#[test]
fn only_the_right_pair_authenticates() {
    let keys = keys();
    for (sent, expected) in [
        (vec![("x-api-key", "k1"), ("x-api-secret", "s3cret")], Some("acme")),
        (vec![("authorization", "Bearer k1:s3cret")], Some("acme")),
        (vec![("authorization", "bearer k1:s3cret")], Some("acme")),
        (vec![], None),
        (vec![("x-api-key", "k1")], None),
        (vec![("x-api-key", "k1"), ("x-api-secret", "")], None),
        (vec![("x-api-key", "k1"), ("x-api-secret", "s3cre")], None),
        (vec![("x-api-key", "K1"), ("x-api-secret", "s3cret")], None),
        (vec![("x-api-key", "k2"), ("x-api-secret", "s3cret")], None),
        (vec![("authorization", "Basic k1:s3cret")], None),
        (vec![("authorization", "Bearer k1")], None),
        (vec![("authorization", "Bearer :")], None),
        (vec![("x-api-key", "k1"), ("x-api-key", "k1"), ("x-api-secret", "s3cret")], None),
    ] {
        assert_eq!(keys.authenticate(&headers(&sent)), expected, "{sent:?}");
    }
    assert_eq!(ApiKeys::default().authenticate(&headers(&[("authorization", "Bearer :")])), None);
}

#[test]
fn files_that_could_not_work_are_refused() {
    let good = hex::encode([7; 32]);
    for (text, part) in [
        ("keys = 1".to_owned(), "write [[keys]]"),
        ("[[keys]]\nname = \"a\"\nkey = \"k\"".to_owned(), "secret_sha256"),
        (format!("[[keys]]\nname = \"a\"\nkey = \"k\"\nsecret_sha256 = \"{good}\"\nx = 1"), "write [[keys]]"),
        ("[[keys]]\nname = \"a\"\nkey = \"k\"\nsecret_sha256 = \"plain\"".to_owned(), "64 hex digits"),
        (format!("[[keys]]\nname = \"a\"\nkey = \"\"\nsecret_sha256 = \"{good}\""), "1 to 256"),
        (format!("[[keys]]\nname = \"a\"\nkey = \"k:\"\nsecret_sha256 = \"{good}\""), "colon"),
        (format!("[[keys]]\nname = \"a\"\nkey = \"k\"\nsecret_sha256 = \"{good}\"\n").repeat(2), "twice"),
    ] {
        let Err(error) = ApiKeys::parse(&text) else { panic!("accepted: {text}") };
        assert!(error.to_string().contains(part), "{error}");
    }
}
