//! What flags leave open is asked on a terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::CommandError;

/// Somebody to ask, or nobody.
pub(crate) struct Ask {
    is_there: bool,
}

impl Ask {
    pub(crate) fn of_terminal() -> Self {
        Self { is_there: io::stdin().is_terminal() && io::stderr().is_terminal() }
    }

    /// What a flag says, or what is typed.
    pub(crate) fn unless(
        &mut self,
        said: &Option<String>,
        flag: &str,
        what: &str,
    ) -> Result<String, CommandError> {
        match self.perhaps(said, what)? {
            Some(text) => Ok(text),
            None => Err(format!("{what} is missing: pass {flag}").into()),
        }
    }

    /// The same, and nothing where nothing is typed.
    pub(crate) fn perhaps(
        &mut self,
        said: &Option<String>,
        what: &str,
    ) -> Result<Option<String>, CommandError> {
        if said.is_some() || !self.is_there {
            return Ok(said.clone());
        }
        let mut out = io::stderr().lock();
        write!(out, "{what}: ")?;
        out.flush()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let text = line.trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
}
