//! Where log lines go. Libraries log by themselves, what servers tell them among it: each line
//! passes one gate, whoever wrote it.

use std::io::{self, IsTerminal as _, Write};

use quittance_facilitator::LOG_TARGETS_WITH_REQUESTS;
use quittance_protocol::log_line;
use tracing_subscriber::EnvFilter;

/// Logs to standard error, with colours on a terminal.
pub(crate) fn start(filter: &str) {
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(without_requests(filter))
        .with_ansi(colours)
        .with_writer(move || Lines { to: io::stderr(), colours })
        .init();
}

fn without_requests(filter: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = LOG_TARGETS_WITH_REQUESTS.iter().filter_map(|target| format!("{target}=info").parse().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

/// Takes a whole line at a time, as the subscriber gives it.
struct Lines<W> {
    to: W,
    colours: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(log_line(&String::from_utf8_lossy(bytes), self.colours).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_library_logs_by_itself_is_one_line_without_a_password() {
        let kept = Kept::default();
        let to = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Lines { to: to.clone(), colours: false })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let notice = "moved\n2030-01-01T00:00:00Z ERROR forged\u{1b}[2J";
            tracing::warn!(%notice, url = "postgres://shop:word@db/books", "a server said something");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("forged") && text.contains("postgres://db/books"), "{text}");
        assert!(!text.contains("word") && !text.trim_end().chars().any(char::is_control), "{text}");
    }
}
