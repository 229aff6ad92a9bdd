//! A configuration read for all that is wrong with it, where a start ends at the first thing.

use std::collections::BTreeSet;
use std::path::Path;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};

use super::read::{ENV_PREFIX, text_overrides};
use super::report::{not_toml, tell};
use super::secrets::{SCHEMES, file_of, is_reference};
use super::{Config, ConfigError, read_secret_of};

/// Most problems that one look reports: each leads to one more reading of the file.
const PROBLEMS_MAX: usize = 64;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// No file, or no TOML.
    Unreadable,
    /// A key that nobody knows.
    UnknownKey,
    /// A value that is missing, of the wrong type or out of its range, or that contradicts another.
    Value,
    /// A reference to a secret that leads nowhere.
    Secret,
}

/// One thing that is wrong; never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// The key, where it is about one.
    pub key: String,
    /// What is wrong and what to do.
    pub text: String,
}

/// A configuration as far as it could be read.
#[derive(Debug)]
pub struct ConfigExam {
    /// `None` where too much is missing. With what is wrong left out: good for questions, never for a start.
    pub config: Option<Config>,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads `path` and the environment, and goes on past what is wrong.
    pub fn examine(path: &Path) -> ConfigExam {
        let unreadable = |text: String| {
            let problem = Problem { kind: ProblemKind::Unreadable, key: String::new(), text };
            ConfigExam { config: None, problems: vec![problem] }
        };
        if !path.is_file() {
            return unreadable(format!("{} is not a file; pass --config FILE", path.display()));
        }
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return unreadable(format!("{} cannot be read: {}", path.display(), error.kind())),
        };
        let table = match toml::from_str::<toml::Table>(&text) {
            Ok(table) => table,
            Err(error) => return unreadable(not_toml(&text, &error)),
        };
        let (config, mut problems) = read_past(table);
        if let Some(config) = &config {
            problems.extend(config.problems().iter().map(Problem::of));
            problems.extend(config.secret_problems());
        }
        problems.truncate(PROBLEMS_MAX);
        ConfigExam { config, problems }
    }

    /// Where secrets are referred to, each with what stands there.
    fn references(&self) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        for (name, network) in &self.networks {
            for (key, list) in [("wallets", &network.wallets), ("retired_wallets", &network.retired_wallets)]
            {
                let each = list.iter().enumerate();
                found.extend(each.map(|(at, one)| (format!("networks.{name}.{key}[{at}]"), one.as_str())));
            }
        }
        for (name, upstream) in &self.gateway.upstreams {
            let key = |at: usize| format!("gateway.upstreams.{name}.credentials[{at}].secret");
            let each = upstream.credentials.iter().enumerate();
            found.extend(each.map(|(at, one)| (key(at), one.secret.as_str())));
        }
        let signing = self.receipts.signing_key.as_deref();
        found.extend(signing.map(|key| ("receipts.signing_key".to_owned(), key)));
        // Where a secret may stand by reference, and something else by itself.
        let mut maybe = vec![("ledger.url".to_owned(), self.ledger.url.as_str())];
        for (at, source) in self.rates.sources.iter().enumerate() {
            maybe.extend(source.url.as_deref().map(|url| (format!("rates.sources[{at}].url"), url)));
        }
        found.extend(
            maybe.into_iter().filter(|(_, text)| SCHEMES.iter().any(|scheme| text.starts_with(scheme))),
        );
        found
    }

    fn secret_problems(&self) -> Vec<Problem> {
        let each = self.references().into_iter();
        each.filter_map(|(key, reference)| read_secret_of(&key, reference).err())
            .map(|error| Problem::of(&error))
            .collect()
    }

    /// Files that secrets are read from, by the key that names them.
    pub fn secret_files(&self) -> Vec<(String, std::path::PathBuf)> {
        let each = self.references().into_iter();
        each.filter(|(_, reference)| is_reference(reference))
            .filter_map(|(key, reference)| Some((key, file_of(reference)?.into())))
            .collect()
    }
}

impl Problem {
    fn of(error: &ConfigError) -> Self {
        match error {
            ConfigError::Secret { key, problem } => {
                Self { kind: ProblemKind::Secret, key: key.clone(), text: problem.clone() }
            }
            ConfigError::Read(text) | ConfigError::Invalid(text) => {
                let (first, _) = text.split_once(' ').unwrap_or((text, ""));
                let is_key = |word: &&str| word.contains('.') && !word.contains('/');
                let key = Some(first.trim_end_matches(':')).filter(is_key).unwrap_or_default();
                Self { kind: ProblemKind::Value, key: key.to_owned(), text: text.clone() }
            }
        }
    }
}

/// Reads it again without each thing that is wrong, until the rest can be used or nothing is left to
/// leave out.
fn read_past(mut table: toml::Table) -> (Option<Config>, Vec<Problem>) {
    let mut problems: Vec<Problem> = Vec::new();
    let mut left_out: BTreeSet<String> = BTreeSet::new();
    for _ in 0..PROBLEMS_MAX {
        let error = match figment_of(&table).extract::<Config>() {
            Ok(config) => return (Some(config), problems),
            Err(error) => error,
        };
        let mut is_less = false;
        for one in error {
            let path = place(&one);
            let key = path.join(".");
            // What is missing because it was left out was told already.
            if !left_out.contains(&key) {
                let kind = match one.kind {
                    Kind::UnknownField(..) => ProblemKind::UnknownKey,
                    _ => ProblemKind::Value,
                };
                problems.push(Problem { kind, key: shown(&one), text: tell(&one) });
            }
            let out = match &one.kind {
                Kind::MissingField(_) => path.split_last().map_or(&[][..], |(_, section)| section),
                _ => &path[..],
            };
            is_less |= leave_out(&mut table, out);
            left_out.insert(key);
        }
        if !is_less {
            break;
        }
    }
    (None, problems)
}

fn figment_of(table: &toml::Table) -> Figment {
    let text = toml::to_string(table).unwrap_or_default();
    let figment = Figment::new().merge(Toml::string(&text)).merge(Env::prefixed(ENV_PREFIX).split("__"));
    text_overrides(std::env::vars()).into_iter().fold(figment, Figment::merge)
}

/// Which key an error is about, down to its own name.
fn place(error: &figment::Error) -> Vec<String> {
    let mut path = error.path.clone();
    let field = match &error.kind {
        Kind::UnknownField(field, _) => Some(field.clone()),
        Kind::MissingField(field) => Some(field.to_string()),
        _ => None,
    };
    if let Some(field) = field.filter(|field| path.last() != Some(field)) {
        path.push(field);
    }
    path
}

/// The section; what stands in it may be a secret in the place of a key, and `tell` names it or hides it.
fn shown(error: &figment::Error) -> String {
    let text = tell(error);
    text.split_once(": ").map(|(key, _)| key.to_owned()).filter(|key| !key.contains(' ')).unwrap_or_default()
}

/// Takes the key at this path out, or the nearest thing around it that can be taken out by its name.
fn leave_out(table: &mut toml::Table, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let inside = match table.get_mut(first) {
        Some(toml::Value::Table(inside)) if !rest.is_empty() => Some(leave_out(inside, rest)),
        _ => None,
    };
    match inside {
        Some(true) => true,
        Some(false) | None => table.remove(first).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [ledger]
        url = "sqlite:///tmp/none.sqlite"
        [networks.base]
        network = "eip155:84532"
        rpc_urls = ["http://127.0.0.1:1"]
        asset = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
        pay_to = "0x000000000000000000000000000000000000dEaD"
        wallets = ["env:QUITTANCE_TEST_NO_SUCH_WALLET"]
        [rates]
        eth_usd = "2500"
    "#;

    fn examine(text: &str) -> ConfigExam {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quittance.toml");
        std::fs::write(&path, text).unwrap();
        Config::examine(&path)
    }

    #[test]
    fn all_that_is_wrong_is_found_and_the_rest_is_read() {
        let text = GOOD.replace("[rates]", "[quote]\nmarkup = \"0.5\"\nmarkupp = \"2\"\n[rates]\nage = 1");
        let text = text.replace("[ledger]", "[server]\nlisten = \"nowhere\"\nworkers = \"two\"\n[ledger]");
        let exam = examine(&text);
        let found: Vec<_> = exam.problems.iter().map(|one| (one.kind, one.text.as_str())).collect();
        for (kind, words) in [
            (ProblemKind::UnknownKey, "unknown key markupp"),
            (ProblemKind::UnknownKey, "unknown key age"),
            (ProblemKind::Value, "workers"),
            (ProblemKind::Value, "markup must be between"),
            (ProblemKind::Value, "server.listen must be"),
            (ProblemKind::Secret, "QUITTANCE_TEST_NO_SUCH_WALLET"),
        ] {
            assert!(
                found.iter().any(|(of, text)| *of == kind && text.contains(words)),
                "{words} in {found:?}"
            );
        }
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(exam.config.is_some_and(|config| config.networks.contains_key("base")));
    }

    #[test]
    fn a_network_that_lacks_something_is_left_out_and_said_once() {
        let text = GOOD.replace("pay_to =", "pay_too =");
        let exam = examine(&text);
        let texts: Vec<_> = exam.problems.iter().map(|one| one.text.as_str()).collect();
        assert!(texts.iter().any(|text| text.contains("pay_too")), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("pay_to is missing")), "{texts:?}");
    }

    #[test]
    fn what_is_no_toml_is_one_problem() {
        let exam = examine("a = ");
        assert_eq!(exam.problems.len(), 1);
        assert_eq!(exam.problems[0].kind, ProblemKind::Unreadable);
        assert!(exam.config.is_none());
    }
}
