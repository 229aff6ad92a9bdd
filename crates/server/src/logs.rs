//! Where log lines go. Libraries log by themselves, what servers tell them among it: each line
//! passes one gate, whoever wrote it.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use quittance_facilitator::LOG_TARGETS_WITH_REQUESTS;
use quittance_protocol::log_line;
use tracing_subscriber::EnvFilter;

/// Logs to standard error, with colours on a terminal.
pub(crate) fn start(filter: &str) {
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(without_requests(filter))
        .with_ansi(colours)
        .with_writer(move || Lines { to: io::stderr(), colours, lost: &LOST })
        // It would be told on standard error, which panics where that cannot be written either.
        .log_internal_errors(false)
        .init();
}

fn without_requests(filter: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = LOG_TARGETS_WITH_REQUESTS.iter().filter_map(|target| format!("{target}=info").parse().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

/// Lines that could not be written since one could.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Takes a whole line at a time, as the subscriber gives it. One that cannot be written, to a full disk
/// or a reader that is gone, is lost and counted: it must not end what wrote it.
struct Lines<W> {
    to: W,
    colours: bool,
    lost: &'static AtomicU64,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = log_line(&String::from_utf8_lossy(bytes), self.colours);
        if self.to.write_all(line.as_bytes()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(bytes.len());
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && writeln!(self.to, "{lost} lines before this one could not be written").is_err() {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
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

    static NONE_LOST: AtomicU64 = AtomicU64::new(0);
    static SOME_LOST: AtomicU64 = AtomicU64::new(0);

    /// A disk that is full for its first writes.
    struct Full {
        refusals: usize,
        kept: Vec<u8>,
    }

    impl Write for &mut Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.refusals > 0 {
                self.refusals -= 1;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.kept.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_takes_no_more_ends_nobody_and_is_counted() {
        let mut full = Full { refusals: 2, kept: Vec::new() };
        let mut lines = Lines { to: &mut full, colours: false, lost: &SOME_LOST };
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            assert_eq!(lines.write(line.as_bytes()).unwrap(), line.len());
        }
        let kept = String::from_utf8(full.kept).unwrap();
        assert_eq!(kept, "three\n2 lines before this one could not be written\nfour\n");
    }

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
            .with_writer(move || Lines { to: to.clone(), colours: false, lost: &NONE_LOST })
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
