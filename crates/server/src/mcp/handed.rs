//! An answer's body, as an agent can take it: text, a picture, or a file.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

/// Longest text that is handed over itself, bytes.
const TEXT_BYTES_MAX: usize = 100_000;

/// Longest picture that is handed over itself, bytes.
const PICTURE_BYTES_MAX: usize = 1_500_000;

/// Blocks of a tool's answer that are handed over themselves.
const BLOCKS_MAX: usize = 16;

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

    /// What a tool of another server answered: its blocks, and what it says in structure alone, where an
    /// agent can read all of them, else the whole of it.
    pub(super) fn hand_over_result(&self, result: &CallToolResult, is_paid: bool) -> Vec<Handed> {
        let mut text_bytes = 0_usize;
        let mut readable = |block: &ContentBlock| match block {
            ContentBlock::Text(text) => {
                text_bytes = text_bytes.saturating_add(text.text.len());
                (text_bytes <= TEXT_BYTES_MAX).then(|| ContentBlock::text(text.text.clone()))
            }
            ContentBlock::Image(image) => {
                let bytes =
                    STANDARD.decode(&image.data).ok().filter(|bytes| bytes.len() <= PICTURE_BYTES_MAX)?;
                picture(&bytes).map(|kind| ContentBlock::image(image.data.clone(), kind))
            }
            _ => None,
        };
        let is_short = (1..=BLOCKS_MAX).contains(&result.content.len());
        let structure = only_structured(result);
        let all = result.content.iter().take(BLOCKS_MAX).chain(&structure);
        let blocks: Option<Vec<_>> = all.map(|block| readable(block).map(Box::new)).collect();
        match blocks.filter(|_| is_short) {
            Some(blocks) => blocks.into_iter().map(Handed::Block).collect(),
            None => vec![self.hand_over(&serde_json::to_vec(result).unwrap_or_default(), is_paid)],
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

/// The structure of an answer, unless a text block is its JSON, as MCP recommends: it was paid for, too.
fn only_structured(result: &CallToolResult) -> Option<ContentBlock> {
    let value = result.structured_content.as_ref()?;
    let is_it = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|told| told == *value);
    let is_told =
        result.content.iter().any(|block| matches!(block, ContentBlock::Text(text) if is_it(&text.text)));
    (!is_told).then(|| ContentBlock::text(value.to_string()))
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
    fn a_tools_answer_is_handed_over_by_blocks_or_whole() {
        let (_folder, shelf) = shelf();
        let png = STANDARD.encode([PICTURES[0].0, b"rest"].concat());
        let blocks = vec![ContentBlock::text("one"), ContentBlock::image(png, "text/html")];
        let handed = shelf.hand_over_result(&CallToolResult::success(blocks), true);
        assert_eq!(handed.len(), 2);
        let Handed::Block(picture) = &handed[1] else { panic!("no picture") };
        assert_eq!(serde_json::to_value(picture).unwrap()["mimeType"], "image/png");
        let many = CallToolResult::success(vec![ContentBlock::text("x".repeat(60_000)); 2]);
        assert!(matches!(shelf.hand_over_result(&many, true)[..], [Handed::File(_)]));
        assert!(matches!(shelf.hand_over_result(&many, false)[..], [Handed::Not(_)]));
        let odd = CallToolResult::success(vec![ContentBlock::image("AAAA", "image/png")]);
        assert!(matches!(shelf.hand_over_result(&odd, true)[..], [Handed::Block(_)]), "as JSON");
    }

    /// The defect: what a tool said in structure alone was dropped beside blocks that can be read.
    #[test]
    fn what_a_tool_says_in_structure_alone_is_handed_over_too() {
        let (_folder, shelf) = shelf();
        let answer = |text: &str| {
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(serde_json::json!({ "a": 1, "b": 2 }));
            shelf.hand_over_result(&result, true)
        };
        assert_eq!(answer(r#"{ "b": 2, "a": 1 }"#).len(), 1, "said already");
        let [_, Handed::Block(structure)] = &answer("done")[..] else { panic!("it was dropped") };
        assert_eq!(serde_json::to_value(structure).unwrap()["text"], r#"{"a":1,"b":2}"#);
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
