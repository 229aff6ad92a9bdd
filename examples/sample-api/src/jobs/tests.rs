use super::*;

fn facts(id: &str) -> JobFacts {
    JobFacts { request_id: id.to_owned(), client_request_id: None, billing_source: "x402", created_at: 1 }
}

fn output(bytes: usize) -> Output {
    Output {
        id: "item-0".to_owned(),
        kind: "image",
        model: "gen".to_owned(),
        status: "completed",
        output_format: "png",
        mime_type: "image/png",
        url: "x".repeat(bytes),
        duration_seconds: None,
    }
}

fn open(jobs: &Jobs, id: &str) -> Ticket {
    match jobs.start(facts(id)) {
        Started::New(ticket, _) => ticket,
        Started::Known(_) => panic!("{id} was known"),
        Started::Full => panic!("full"),
    }
}

#[test]
fn a_second_run_of_one_payment_finds_the_first_runs_job() {
    let jobs = Jobs::default();
    open(&jobs, "a").complete(vec![output(3)]);
    let Started::Known(job) = jobs.start(facts("a")) else { panic!("made twice") };
    assert_eq!(job.json()["status"], "completed");
    assert_eq!(job.json()["outputs"][0]["url"], "xxx");
}

#[test]
fn a_dropped_ticket_is_a_failed_job_and_can_be_opened_anew() {
    let jobs = Jobs::default();
    drop(open(&jobs, "a"));
    assert_eq!(jobs.get("a").unwrap().state(), State::Failed);
    assert_eq!(jobs.get("a").unwrap().json()["error"]["code"], "generation_failed");
    open(&jobs, "a").complete(vec![]);
    assert_eq!(jobs.get("a").unwrap().json()["status"], "completed");
    assert_eq!(jobs.kept(), (1, 0));
}

#[test]
fn the_oldest_finished_job_goes_first_and_unfinished_ones_never() {
    let jobs = Jobs::with_limits(3, 1_000);
    let unfinished = open(&jobs, "old");
    open(&jobs, "b").complete(vec![output(1)]);
    open(&jobs, "c").complete(vec![output(1)]);
    open(&jobs, "d").complete(vec![output(1)]);
    assert!(jobs.get("b").is_none());
    for id in ["old", "c", "d"] {
        assert!(jobs.get(id).is_some(), "{id}");
    }
    let (_e, _f) = (open(&jobs, "e"), open(&jobs, "f"));
    assert!(matches!(jobs.start(facts("g")), Started::Full));
    unfinished.complete(vec![]);
    assert!(matches!(jobs.start(facts("g")), Started::New(..)));
    assert!(jobs.get("old").is_none());
    assert_eq!(jobs.kept().0, 3);
}

#[test]
fn outputs_stay_within_their_bytes() {
    let jobs = Jobs::with_limits(100, 10);
    for (id, bytes) in [("a", 4), ("b", 4), ("c", 4)] {
        open(&jobs, id).complete(vec![output(bytes)]);
    }
    assert_eq!(jobs.kept(), (2, 8));
    assert!(jobs.get("a").is_none());
    open(&jobs, "huge").complete(vec![output(50)]);
    assert_eq!(jobs.kept(), (1, 50), "the newest is kept for the buyer who waits");
    open(&jobs, "d").complete(vec![output(1)]);
    assert_eq!(jobs.kept(), (1, 1));
}

#[tokio::test]
async fn waiting_ends_with_the_job() {
    let jobs = Jobs::default();
    let Started::New(ticket, mut job) = jobs.start(facts("a")) else { panic!() };
    assert_eq!(job.json()["status"], "accepted");
    ticket.begin();
    assert_eq!(job.json()["status"], "processing");
    let waiter = tokio::spawn(async move {
        job.finished().await;
        job.state()
    });
    ticket.complete(vec![]);
    assert_eq!(waiter.await.unwrap(), State::Completed(vec![]));
}
