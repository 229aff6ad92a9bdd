//! Routes on which the host's own customers need not pay per call.

use futures::future::BoxFuture;
use http::HeaderMap;

use crate::Identity;

type Authenticate = dyn Fn(HeaderMap) -> BoxFuture<'static, Option<Identity>> + Send + Sync;

/// How long it is before a method and path may be sold again; `None` while they are.
pub(crate) type ClosedFor = dyn Fn(&str, &str) -> Option<u64> + Send + Sync;

/// All of a gate's.
#[derive(Default)]
pub(crate) struct Hooks(Vec<Hook>);

/// One route's.
pub(crate) struct Hook {
    method: String,
    path: Option<Vec<Segment>>,
    authenticate: Box<Authenticate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

impl Hooks {
    pub(crate) fn add(&mut self, hook: Hook) {
        self.0.push(hook);
    }

    /// The hook for this route.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<&Hook> {
        self.0.iter().find(|hook| hook.is_for(method, path))
    }

    /// Whom the host's hook for this route recognises, if there is one.
    pub(crate) async fn authenticate(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Identity> {
        (self.find(method, path)?.authenticate)(headers.clone()).await
    }
}

impl Hook {
    pub(crate) fn new(method: &str, path: &str, authenticate: Box<Authenticate>) -> Self {
        let pattern = pattern(path);
        if pattern.is_none() {
            // Closed: a pattern that is understood in part could let strangers in.
            tracing::error!(path, "no customer is let through here: a path is plain segments and {{name}}");
        }
        Self { method: method.to_ascii_uppercase(), path: pattern, authenticate }
    }

    fn is_for(&self, method: &str, path: &str) -> bool {
        let Some(pattern) = self.path.as_ref().filter(|_| self.method == method) else { return false };
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
        let same = |segment: &Segment| match (segment, parts.next()) {
            (Segment::Literal(text), Some(part)) => text == part,
            (Segment::Any, Some(part)) => !part.is_empty(),
            (_, None) => false,
        };
        pattern.iter().all(same) && parts.next().is_none()
    }
}

fn pattern(path: &str) -> Option<Vec<Segment>> {
    let segment = |text: &str| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) => {
            let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            plain.then_some(Segment::Any)
        }
        None => (!text.contains(['{', '}', '*'])).then(|| Segment::Literal(text.to_owned())),
    };
    path.strip_prefix('/')?.split('/').map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_pattern_matches_whole_segments_and_an_odd_one_nothing() {
        for (pattern, path, matches) in [
            ("/gen", "/gen", true),
            ("/gen", "/gen/1", false),
            ("/files/{id}", "/files/7", true),
            ("/files/{id}", "/files/7/8", false),
            ("/files/{id}", "/files/", false),
            ("/files/{id}", "/files", false),
            ("/", "/", true),
            ("/files/{id:[0-9]+}", "/files/7", false),
            ("/files/{id}.png", "/files/7.png", false),
            ("/files/{tail}*", "/files/7", false),
            ("files", "/files", false),
        ] {
            let hook = Hook::new("post", pattern, Box::new(|_| std::future::ready(None).boxed()));
            assert_eq!(hook.is_for("POST", path), matches, "{pattern} {path}");
            assert!(!hook.is_for("GET", path));
        }
    }
}
