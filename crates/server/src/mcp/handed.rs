//! An answer's body, as an agent can take it: text, a picture, or a file.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::ContentBlock;

/// Longest text that is handed over itself, bytes.
const TEXT_BYTES_MAX: usize = 100_000;

/// Longest picture that is handed over itself, bytes.
const PICTURE_BYTES_MAX: usize = 1_500_000;

/// How pictures begin that models read. What the seller calls its answer is not asked: a picture
/// that is none ends an agent's conversation in some hosts.
const PICTURES: [(&[u8], &str); 4] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
];

/// Where answers lie that were paid for and cannot be handed over.
pub(super) struct Shelf {
    folder: PathBuf,
}

/// How an agent gets a body.
#[derive(Debug)]
pub(super) enum Handed {
    /// There is none.
    Nothing,
    /// In the protocol itself.
    Block(Box<ContentBlock>),
    /// In a file.
    File(String),
    /// Not at all, for this reason.
    Not(String),
}

impl Shelf {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What was paid for is kept whatever it is; what cost nothing fills no disk.
    pub(super) fn hand_over(&self, body: &[u8], is_paid: bool) -> Handed {
        if body.is_empty() {
            return Handed::Nothing;
        }
        if let Some(block) = block(body) {
            return Handed::Block(Box::new(block));
        }
        if !is_paid {
            return Handed::Not(format!(
                "the answer has {} bytes and is no text of up to {TEXT_BYTES_MAX} bytes and no picture of up to \
                 {PICTURE_BYTES_MAX}; it cost nothing, so it was not kept",
                body.len()
            ));
        }
        match self.keep(body) {
            Ok(path) => Handed::File(path),
            Err(problem) => Handed::Not(format!(
                "the answer has {} bytes and could not be written to {}: {problem}",
                body.len(),
                self.folder.display()
            )),
        }
    }

    /// For its owner alone.
    fn keep(&self, body: &[u8]) -> std::io::Result<String> {
        let name = format!("{}.{}", quittance_payer::random_name(), ending(body));
        let path = self.folder.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(body)?;
        file.sync_all()?;
        Ok(path.display().to_string())
    }
}

fn block(body: &[u8]) -> Option<ContentBlock> {
    if let Some(kind) = picture(body).filter(|_| body.len() <= PICTURE_BYTES_MAX) {
        return Some(ContentBlock::image(STANDARD.encode(body), kind));
    }
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= TEXT_BYTES_MAX)?;
    Some(ContentBlock::text(text))
}

fn picture(body: &[u8]) -> Option<&'static str> {
    let (_, kind) = PICTURES.iter().find(|(begin, _)| body.starts_with(begin))?;
    (*kind != "image/webp" || body.get(8..12) == Some(b"WEBP".as_slice())).then_some(*kind)
}

/// Never the seller's word: a name's end decides in some systems what opens it.
fn ending(body: &[u8]) -> &'static str {
    match picture(body) {
        Some(kind) => kind.trim_start_matches("image/"),
        None if std::str::from_utf8(body).is_ok() => "txt",
        None => "bin",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("answers"));
        (folder, shelf)
    }

    #[test]
    fn text_and_pictures_are_handed_over_by_what_they_are() {
        let (_folder, shelf) = shelf();
        let png = [PICTURES[0].0, b"rest"].concat();
        for (body, kind) in [
            (png.as_slice(), Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\x04\0\0\0WEBP", Some("image/webp")),
            (b"RIFF text of somebody", None),
            (b"{}", None),
        ] {
            let Handed::Block(block) = shelf.hand_over(body, false) else { panic!("{body:?}") };
            let seen = serde_json::to_value(&block).unwrap();
            assert_eq!(seen["mimeType"].as_str(), kind, "{seen}");
            assert_eq!(seen["type"], if kind.is_some() { "image" } else { "text" });
        }
        assert!(matches!(shelf.hand_over(b"", true), Handed::Nothing));
    }

    #[test]
    fn what_was_paid_for_is_kept_for_its_owner_alone_and_what_was_not_is_refused_with_its_size() {
        let (_folder, shelf) = shelf();
        for (body, end) in [(b"\x00\xff\xfe".to_vec(), ".bin"), (vec![b'x'; TEXT_BYTES_MAX + 1], ".txt")] {
            let Handed::File(path) = shelf.hand_over(&body, true) else { panic!("not kept") };
            assert!(path.ends_with(end), "{path}");
            assert_eq!(std::fs::read(&path).unwrap(), body);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let Handed::Not(reason) = shelf.hand_over(&body, false) else { panic!("handed over") };
            assert!(reason.contains(&format!("{} bytes", body.len())), "{reason}");
        }
        assert_eq!(std::fs::read_dir(&shelf.folder).unwrap().count(), 2);
    }
}
