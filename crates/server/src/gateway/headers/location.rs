//! Where an answer sends its client: an upstream's own address is none that a client can reach.

use http::header::HeaderValue;

/// A `Location` as the client can follow it. `origin` is the upstream's, `base` what stands before
/// every path there.
///
/// What begins with two slashes, or what a browser takes for two, is another host's address: no
/// path is written so, and no other host.
pub(super) fn here(value: &HeaderValue, (origin, base): (&str, &str)) -> Option<HeaderValue> {
    let text = readable(value);
    let (scheme, authority) = origin.split_once("://")?;
    let standard = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(standard).unwrap_or(authority);
    let behind_scheme = match strip_any_case(&text, scheme).and_then(|rest| rest.strip_prefix(':')) {
        Some(rest) if rest.starts_with("//") => rest,
        _ => &text,
    };
    let path = match behind_scheme.strip_prefix("//") {
        Some(rest) => match path_behind(rest, authority, standard) {
            Some(path) => path,
            // Another host: with its scheme, it cannot be taken for a path.
            None if behind_scheme.len() == text.len() => {
                return HeaderValue::from_str(&format!("{scheme}:{text}")).ok();
            }
            None => return None,
        },
        None if text.starts_with(['/', '\\']) => &text,
        None => return None,
    };
    let path = path.strip_prefix(base).filter(|rest| is_boundary(rest)).unwrap_or(path);
    let path = path.trim_start_matches(['/', '\\']);
    HeaderValue::from_str(&format!("/{path}")).ok()
}

/// Browsers leave tabs and line ends out of a URL, and escape what is no ASCII.
fn readable(value: &HeaderValue) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.as_bytes() {
        match byte {
            0..0x20 | 0x7f => {}
            0x80.. => text.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            byte => text.push(char::from(*byte)),
        }
    }
    text.trim().to_owned()
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

/// What stands behind the upstream's own authority.
fn path_behind<'a>(rest: &'a str, authority: &str, standard: &str) -> Option<&'a str> {
    let path = strip_any_case(rest, authority)?;
    let path = path.strip_prefix(standard).unwrap_or(path);
    // Another port begins with the same digits.
    is_boundary(path).then_some(path)
}

fn is_boundary(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '\\', '?', '#'])
}

fn strip_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_sent_to_a_path_of_this_host_or_to_a_whole_url() {
        let plain = "http://127.0.0.1:8000";
        for (origin, base, location, expected) in [
            (plain, "", "http://127.0.0.1:8000/next?x=1", Some("/next?x=1")),
            (plain, "", "HTTP://127.0.0.1:8000", Some("/")),
            (plain, "", "http://127.0.0.1:8000?x", Some("/?x")),
            (plain, "", "http://127.0.0.1:8000#x", Some("/#x")),
            (plain, "", "http://127.0.0.1:80001/x", None),
            (plain, "", "http://127.0.0.1:8000@evil.com/x", None),
            (plain, "", "https://cdn.example.com/x", None),
            (plain, "", "next", None),
            (plain, "", "?page=2", None),
            // Open redirects.
            (plain, "", "http://127.0.0.1:8000//evil.com", Some("/evil.com")),
            (plain, "", "http://127.0.0.1:8000/\\evil.com", Some("/evil.com")),
            (plain, "", "http://127.0.0.1:8000\\/evil.com", Some("/evil.com")),
            (plain, "", "http://127.0.0.1:8000/\t/evil.com", Some("/evil.com")),
            (plain, "", "/\\evil.com", Some("/evil.com")),
            (plain, "", "/\t\\evil.com", Some("/evil.com")),
            (plain, "/v2", "/v2//evil.com", Some("/evil.com")),
            (plain, "/v2", "http://127.0.0.1:8000/v2//evil.com", Some("/evil.com")),
            (plain, "", "//evil.com/x", Some("http://evil.com/x")),
            (plain, "", "//127.0.0.1:8000//evil.com", Some("/evil.com")),
            (plain, "", "//127.0.0.1:8000.evil.com/", Some("http://127.0.0.1:8000.evil.com/")),
            // Bases.
            (plain, "/v2", "http://127.0.0.1:8000/v2/x", Some("/x")),
            (plain, "/v2", "http://127.0.0.1:8000/v2?x", Some("/?x")),
            (plain, "/v2", "http://127.0.0.1:8000/v20/x", Some("/v20/x")),
            (plain, "/v2", "/v2/x", Some("/x")),
            (plain, "/v2", "/v20/x", Some("/v20/x")),
            (plain, "/v2", "/v2", Some("/")),
            // One port under two spellings.
            ("https://api.example.com", "", "https://API.example.com:443/x", Some("/x")),
            ("http://api.example.com:80", "", "http://api.example.com/x", Some("/x")),
            ("http://api.example.com", "", "http://api.example.com:8080/x", None),
        ] {
            let value = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            let got = here(&value, (origin, base));
            assert_eq!(
                got.as_ref().map(|value| value.to_str().unwrap()),
                expected,
                "{location} under {base:?}"
            );
        }
        let letters = HeaderValue::from_bytes("http://127.0.0.1:8000/ü".as_bytes()).unwrap();
        assert_eq!(here(&letters, (plain, "")).unwrap(), "/%C3%BC");
    }
}
