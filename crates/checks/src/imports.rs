//! Which file of a crate imports from which other: `crate::`, `super::` and `self::` paths,
//! followed through re-exports to the file that has the item. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{below, read};

/// How many re-exports a path may pass.
const REEXPORTS_MAX: usize = 8;

type Path = Vec<String>;

/// The files of one crate, by module path (`engine::seen`, the root is empty).
pub(crate) struct Imports {
    texts: BTreeMap<Path, String>,
    files: Vec<String>,
    reexports: BTreeMap<Path, BTreeMap<String, Path>>,
}

impl Imports {
    /// Reads `FOLDER/src`.
    pub(crate) fn of(folder: &str) -> Self {
        let src = format!("{folder}/src");
        let mut texts = BTreeMap::new();
        let files = below(&src, &[".rs"]);
        for file in &files {
            let inner = file.trim_start_matches(&format!("{src}/")).trim_end_matches(".rs");
            let mut path: Path = inner.split('/').map(str::to_owned).collect();
            if path.iter().any(|part| part == "tests" || part == "bin") {
                continue;
            }
            if path.len() == 1 && (path[0] == "lib" || path[0] == "main") || path.last().unwrap() == "mod" {
                path.pop();
            }
            let text = without_tests(&without_comments(&read(file)));
            texts.entry(path).and_modify(|before: &mut String| before.push_str(&text)).or_insert(text);
        }
        let mut for_tests = Vec::new();
        for (path, text) in &texts {
            for name in test_modules(text) {
                let mut child = path.clone();
                child.push(name);
                for_tests.push(child);
            }
        }
        texts.retain(|path, _| !for_tests.iter().any(|test| path.starts_with(test)));
        let mut imports = Self { texts, files, reexports: BTreeMap::new() };
        imports.reexports =
            imports.texts.iter().map(|(path, text)| (path.clone(), imports.reexported(path, text))).collect();
        imports
    }

    /// The text of each file, without comments, strings and tests.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        self.texts.values()
    }

    /// The modules whose code names a package, each as the path of its file below `src`.
    pub(crate) fn naming(&self, package: &str) -> BTreeSet<String> {
        let word = package.replace('-', "_");
        let names = |text: &&String| {
            text.match_indices(&word).any(|(index, _)| {
                let letter = |c: char| c.is_alphanumeric() || c == '_';
                let before = text[..index].chars().next_back().is_some_and(letter);
                !before && !text[index + word.len()..].starts_with(letter)
            })
        };
        let users = self.texts.iter().filter(|(_, text)| names(text));
        users
            .map(|(path, _)| {
                format!("{}.rs", if path.is_empty() { "lib".to_owned() } else { path.join("/") })
            })
            .collect()
    }

    /// The text of each file as it stands.
    pub(crate) fn with_strings(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|file| read(file))
    }

    fn reexported(&self, at: &Path, text: &str) -> BTreeMap<String, Path> {
        let mut found = BTreeMap::new();
        for (index, _) in text.match_indices("use ") {
            let before = text[..index].trim_end();
            if !(before.ends_with("pub") || before.ends_with(')')) || !text[..index].ends_with(' ') {
                continue;
            }
            for (path, name) in tree(&text[index + 4..]) {
                if let Some(path) = self.absolute(at, &path) {
                    found.insert(name, path);
                }
            }
        }
        found
    }

    /// A path as written in the module `at`, from the crate's root; `None` for other crates.
    fn absolute(&self, at: &Path, path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let mut start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => at.clone(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            _ => {
                let child: Path = at.iter().cloned().chain([first.clone()]).collect();
                return self.texts.contains_key(&child).then(|| at.iter().chain(path).cloned().collect());
            }
        };
        let mut rest = rest;
        while rest.first().is_some_and(|part| part == "super") {
            start.pop()?;
            rest = &rest[1..];
        }
        start.extend_from_slice(rest);
        Some(start)
    }

    /// The module that has what a path from the root names.
    fn home(&self, path: &Path) -> Path {
        let mut path = path.clone();
        for _ in 0..REEXPORTS_MAX {
            let length = (0..=path.len()).rev().find(|length| self.texts.contains_key(&path[..*length]));
            let (module, rest) = path.split_at(length.unwrap_or(0));
            let target = rest.first().and_then(|name| self.reexports.get(module)?.get(name));
            match target {
                Some(target) => path = target.iter().chain(&rest[1..]).cloned().collect(),
                None => return module.to_vec(),
            }
        }
        path
    }

    /// For each module the other modules that it imports from; parents and children are free.
    pub(crate) fn arrows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut arrows = BTreeMap::new();
        for (at, text) in &self.texts {
            let mut to = BTreeSet::new();
            for start in ["crate::", "super::", "self::"] {
                for (index, _) in text.match_indices(start) {
                    let before = text[..index].chars().next_back();
                    if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                        continue;
                    }
                    for (path, _) in tree(&text[index..]) {
                        let Some(path) = self.absolute(at, &path) else { continue };
                        let home = self.home(&path);
                        if !home.starts_with(at) && !at.starts_with(&home) {
                            to.insert(home.join("::"));
                        }
                    }
                }
            }
            arrows.insert(at.join("::"), to);
        }
        arrows
    }

    /// The sets of files that import from each other in a circle.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<String>> {
        let arrows = self.arrows();
        let reach: BTreeMap<_, _> = arrows.keys().map(|start| (start, reached(&arrows, start))).collect();
        let mut circles: Vec<BTreeSet<String>> = Vec::new();
        for start in arrows.keys() {
            if circles.iter().any(|circle| circle.contains(start)) {
                continue;
            }
            let circle: BTreeSet<_> = arrows
                .keys()
                .filter(|other| reach[start].contains(*other) && reach[other].contains(start))
                .cloned()
                .collect();
            if circle.len() > 1 {
                circles.push(circle);
            }
        }
        circles
    }
}

fn reached(arrows: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(at) = open.pop() {
        for next in arrows.get(&at).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

/// The paths of a `use` tree, or of one path in an expression, each with the name it gets.
fn tree(text: &str) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    branch(&mut rest, &mut Vec::new(), &mut found);
    found
}

fn branch(rest: &mut &str, before: &mut Path, found: &mut Vec<(Path, String)>) {
    let depth = before.len();
    loop {
        *rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('{') {
            *rest = inner;
            loop {
                *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
                if rest.is_empty() {
                    break;
                }
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    break;
                }
                let length = rest.len();
                branch(rest, before, found);
                if rest.len() == length {
                    break;
                }
            }
            before.truncate(depth);
            return;
        }
        let name: String =
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect();
        *rest = &rest[name.len()..];
        if name.is_empty() {
            break;
        }
        before.push(name);
        match rest.trim_start().strip_prefix("::") {
            Some(after) => *rest = after,
            None => break,
        }
    }
    if before.len() > depth {
        let mut name = before.last().cloned().unwrap_or_default();
        if let Some(after) = rest.trim_start().strip_prefix("as ") {
            name = after.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            *rest = &after.trim_start()[name.len()..];
        }
        let mut path = before.clone();
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        found.push((path, name));
    }
    before.truncate(depth);
}

/// The text without `//` comments and without the insides of strings.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_string = false;
    for line in text.lines() {
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if in_string => _ = chars.next(),
                '\'' if !in_string && chars.peek() == Some(&'"') => {
                    chars.next();
                    chars.next();
                }
                '"' => in_string = !in_string,
                '/' if !in_string && chars.peek() == Some(&'/') => break,
                _ if !in_string => out.push(c),
                _ => {}
            }
        }
        out.push('\n');
    }
    out
}

/// The text before an inline `#[cfg(test)] mod tests {`, which stands last.
fn without_tests(text: &str) -> String {
    let inline = text.match_indices("#[cfg(test)]").find(|(index, _)| {
        let after = text[index + 12..].trim_start();
        after.starts_with("mod ") && after.find('{') < after.find(';').or(Some(usize::MAX))
    });
    text[..inline.map_or(text.len(), |(index, _)| index)].to_owned()
}

/// The names of `#[cfg(test)] mod NAME;`.
fn test_modules(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, _) in text.match_indices("#[cfg(test)]") {
        let after = text[index + 12..].trim_start();
        let declared =
            after.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ");
        if let Some(name) = declared {
            found.push(name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

#[test]
fn paths_are_read_from_use_trees_and_expressions() {
    let read = |text: &str| -> Vec<String> {
        tree(text).into_iter().map(|(path, name)| format!("{} {name}", path.join("::"))).collect()
    };
    assert_eq!(
        read("crate::a::{self, b::C as D, e::{F, G}};"),
        ["crate::a self", "crate::a::b::C D", "crate::a::e::F F", "crate::a::e::G G"]
    );
    assert_eq!(read("crate::{Inner, used};"), ["crate::Inner Inner", "crate::used used"]);
    assert_eq!(read("super::super::x::call(1)"), ["super::super::x::call call"]);
    assert_eq!(without_comments("a // crate::x\n\"crate::y \\\" z\" b '\"' c"), "a \n b  c\n");
}
