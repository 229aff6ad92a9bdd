//! Paths: canonical or unknown.

/// Longest path that is looked at.
pub const PATH_BYTES_MAX: usize = 1_024;

/// Most segments of a path.
const SEGMENTS_MAX: usize = 32;

/// Whether a path is canonical.
///
/// Canonical means: one leading slash, no empty segment (so no `//` and no
/// trailing slash), no `.` or `..`, and only characters that mean the same to
/// every server. `%` is out because servers disagree on when to decode it,
/// `;` because some strip what follows, `\` because some read it as `/`.
pub(super) fn canonical(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/').filter(|_| path.len() <= PATH_BYTES_MAX) else { return false };
    let mut count = 0;
    rest.split('/').all(|segment| {
        count += 1;
        let plain = !segment.is_empty() && segment.bytes().all(plain_byte);
        plain && segment != "." && segment != ".." && count <= SEGMENTS_MAX
    })
}

fn plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'=' | b'+')
}

/// A method and path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    method: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(super) fn parse(method: &str, path: &str) -> Result<Self, String> {
        if !matches!(method, "GET" | "POST" | "PUT" | "PATCH" | "DELETE") {
            return Err(format!("method {method:?} is not one of GET, POST, PUT, PATCH, DELETE"));
        }
        let rest = path.strip_prefix('/').ok_or_else(|| format!("path {path:?} must start with a slash"))?;
        let mut parts = Vec::new();
        for segment in rest.split('/') {
            let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
            match name {
                Some(name)
                    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
                {
                    parts.push(Segment::Any);
                }
                _ if canonical(&format!("/{segment}")) => parts.push(Segment::Literal(segment.to_owned())),
                _ => {
                    return Err(format!(
                        "path {path:?} is not canonical at {segment:?}; write plain segments or {{name}}"
                    ));
                }
            }
        }
        if parts.len() > SEGMENTS_MAX || path.len() > PATH_BYTES_MAX {
            return Err(format!("path {path:?} is too long"));
        }
        Ok(Self { method: method.to_owned(), segments: parts })
    }

    /// Whether this is the template of a canonical path.
    pub(super) fn matches(&self, method: &str, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/').filter(|_| self.method == method) else { return false };
        let mut parts = rest.split('/');
        let same = |segment: &Segment| match (segment, parts.next()) {
            (Segment::Literal(text), Some(part)) => text == part,
            (Segment::Any, Some(_)) => true,
            (_, None) => false,
        };
        self.segments.iter().all(same) && parts.next().is_none()
    }

    /// Whether some path matches both, so that their order would decide.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.method == other.method
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                _ => true,
            })
    }
}
