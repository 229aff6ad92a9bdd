//! `quittance debug URL`: one call as a sequence, with times. The call is `quittance pay`'s own.

mod steps;
pub(crate) mod words;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use quittance_payer::{Answer, Event, Look, Outcome, PayError};
use serde_json::json;
use tokio::time::Instant;

use crate::debug::steps::Step;
use crate::pay::{self, PayArgs};
use crate::{CommandError, print};

/// What to look at, and whether to pay for it.
#[derive(Args)]
pub(crate) struct DebugArgs {
    #[command(flatten)]
    call: PayArgs,
    /// Sign and pay, within the same limits as `quittance pay`; without it nothing is signed, and
    /// what would be is shown.
    #[arg(long)]
    pay: bool,
}

/// What was seen so far.
struct Log {
    begun: Instant,
    as_json: bool,
    steps: Mutex<Vec<serde_json::Value>>,
}

impl Log {
    fn note(&self, event: &Event) {
        let at = self.begun.elapsed();
        let step = Step::of(event);
        if self.as_json {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            steps.push(step.json(at));
        } else {
            // A terminal that is gone ends nothing that is under way.
            let _ = print(&step.text(at));
        }
    }
}

pub(crate) fn run(args: DebugArgs) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(debug(args))
}

async fn debug(args: DebugArgs) -> Result<ExitCode, CommandError> {
    let request = pay::request(&args.call)?;
    let log = Arc::new(Log { begun: Instant::now(), as_json: args.call.json, steps: Mutex::default() });
    let noted = Arc::clone(&log);
    let payer = pay::payer(&args.call.payer)?.with_observer(Arc::new(move |event| noted.note(&event)));
    if !log.as_json {
        print(&format!("{} {}", request.method(), request.url()))?;
    }
    let ended = match args.pay {
        true => payer.buy(&request).await.map(|answer| Ended::Answered(Box::new(answer))),
        false => payer.look(&request).await.map(|look| match look {
            Look::Free(answer) => Ended::Answered(answer),
            Look::Asks(_) => Ended::Looked,
        }),
    };
    finish(&args, &log, ended)
}

enum Ended {
    Answered(Box<Answer>),
    /// Asked for money, and nobody was to pay.
    Looked,
}

fn finish(args: &DebugArgs, log: &Log, ended: Result<Ended, PayError>) -> Result<ExitCode, CommandError> {
    let end = match &ended {
        Ok(Ended::Answered(answer)) => words::of_answer(answer),
        Ok(Ended::Looked) => words::of_look(),
        Err(error) => words::of_error(error),
    };
    if let (Ok(Ended::Answered(answer)), Some(path)) = (&ended, &args.call.output) {
        std::fs::write(path, &answer.body).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if log.as_json {
        let steps = log.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        print(&json!({ "steps": steps, "end": end }).to_string())?;
    } else {
        print(&steps::of_end(&end, log.begun.elapsed()))?;
    }
    let good = match ended {
        Ok(Ended::Looked) => true,
        Ok(Ended::Answered(answer)) => {
            matches!(answer.outcome, Outcome::Paid | Outcome::Free) && (200..300).contains(&answer.status)
        }
        Err(_) => false,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
