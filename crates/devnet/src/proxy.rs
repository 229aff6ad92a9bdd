//! A JSON-RPC proxy that counts calls, adds a fixed delay and injects faults.
//!
//! Control calls: `GET /__proxy/counts`, `GET /__proxy/sent`, `POST /__proxy/reset`,
//! `GET|POST|DELETE /__proxy/faults`, `POST|DELETE /__proxy/forgetting`, `POST|DELETE /__proxy/frozen`,
//! `GET /__proxy/profiles`, `POST|DELETE /__proxy/profile`. Every other `POST` goes upstream.

mod call;
mod control;
mod faults;
mod forgetting;
mod frozen;
mod http;
mod profile;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json, value::RawValue};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

pub use call::Call;
pub use faults::{Action, Counts, Fault, State};
pub use forgetting::Forgetting;
use frozen::Way;
use http::{Connection, Request, Response};
pub use profile::{Profile, Refusal, named as named_profiles};

use crate::DevnetError;

const CONTROL: &str = "/__proxy/";

/// What the proxy does to every request.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// Where the calls go.
    pub upstream: String,
    /// What every request waits before it goes upstream.
    pub delay: Duration,
}

/// The proxy; cheap to share.
#[derive(Debug)]
pub struct Proxy {
    options: ProxyOptions,
    client: reqwest::Client,
    state: Mutex<State>,
}

/// What to do with one HTTP request.
enum Outcome {
    Answer(Response),
    /// The connection ends without an answer.
    Cut,
}

impl Proxy {
    /// A proxy in front of `options.upstream`.
    pub fn new(options: ProxyOptions) -> Result<Arc<Self>, DevnetError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|source| DevnetError::Transport { method: "client".into(), source })?;
        Ok(Arc::new(Self { options, client, state: Mutex::default() }))
    }

    /// Serves `listener` for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&self).connection(stream))),
                // Out of file descriptors: wait for some to come back.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let Ok(mut connection) = Connection::new(stream) else { return };
        loop {
            let request = match connection.read().await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => {
                    let body = json!({"error": error.to_string()}).to_string();
                    let _ = connection.write(&Response::json(400, body), false).await;
                    return;
                }
            };
            let keep_alive = request.keep_alive;
            let Outcome::Answer(response) = self.handle(request).await else { return };
            if connection.write(&response, keep_alive).await.is_err() || !keep_alive {
                return;
            }
        }
    }

    async fn handle(&self, request: Request) -> Outcome {
        if let Some(command) = request.path.strip_prefix(CONTROL) {
            if (request.method.as_str(), command) == ("POST", "frozen") {
                return Outcome::Answer(self.freeze().await);
            }
            return Outcome::Answer(self.control(&request.method, command, &request.body));
        }
        if request.method != "POST" {
            return Outcome::Answer(Response::json(405, r#"{"error":"only POST goes upstream"}"#));
        }
        self.proxy(request.body).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain counters: they cannot be left half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn proxy(&self, body: Vec<u8>) -> Outcome {
        let Ok(parsed) = Parsed::read(&body) else {
            return Outcome::Answer(Response::json(400, r#"{"error":"not a JSON-RPC request"}"#));
        };
        if let [(_, call)] = parsed.calls.as_slice() {
            let refused = self.state().provider.as_mut().and_then(|it| it.answer(call, Instant::now()));
            if let Some(refused) = refused {
                {
                    let mut state = self.state();
                    state.arrive([call]);
                    state.refused_one(&call.method);
                }
                sleep(self.options.delay.saturating_add(refused.delay)).await;
                return Outcome::Answer(refused.response);
            }
        }
        let actions = self.state().arrive(parsed.calls.iter().map(|(_, call)| call));
        let plan = Plan::make(&parsed, actions);
        let delay = self.options.delay.saturating_add(plan.delay);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if let Some(status) = plan.status {
            return Outcome::Answer(Response::json(status, Vec::new()));
        }
        let upstream = match plan.forward {
            Forward::Nothing => None,
            Forward::AsItCame => Some(self.ask(&parsed, &body).await),
            Forward::Rest(rest) => Some(self.send(rest).await),
        };
        if plan.cut {
            return Outcome::Cut;
        }
        let upstream = upstream.map(|answer| self.forget(&parsed, answer));
        Outcome::Answer(merge(parsed.batch, plan.errors, upstream))
    }

    /// The upstream's answers without what this node would have forgotten.
    fn forget(&self, parsed: &Parsed<'_>, response: Response) -> Response {
        let mut state = self.state();
        let Some(forgetting) = state.forgetting else { return response };
        let Ok(mut answers) = serde_json::from_slice::<Value>(&response.body) else { return response };
        let list = match &mut answers {
            Value::Array(list) => list.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for answer in list {
            let id = answer.get("id").map(Value::to_string);
            let asked = parsed.calls.iter().map(|(_, call)| call);
            if let Some(call) = asked.into_iter().find(|call| call.id.map(ToString::to_string) == id) {
                forgetting.apply(call, answer, &mut state.newest_slot);
            }
        }
        Response { body: answers.to_string().into_bytes(), ..response }
    }

    /// The upstream's answer, or that of a node that stands still.
    async fn ask(&self, parsed: &Parsed<'_>, body: &[u8]) -> Response {
        let single = match parsed.calls.as_slice() {
            [(_, call)] if !parsed.batch => Some(call),
            _ => None,
        };
        let way = single.and_then(|call| Some((call, self.state().frozen.as_ref()?.before(call))));
        let Some((call, way)) = way else { return self.send(body.to_vec()).await };
        let id: Value = call.id.and_then(|id| serde_json::from_str(id.get()).ok()).unwrap_or_default();
        let mut answer = match way {
            Way::Answer(answer) => answer,
            Way::Ask(params) => {
                let request = json!({"jsonrpc": "2.0", "id": id, "method": call.method, "params": params});
                let response = self.send(request.to_string().into_bytes()).await;
                let Ok(mut answer) = serde_json::from_slice(&response.body) else { return response };
                if let Some(frozen) = self.state().frozen.as_mut() {
                    frozen.after(call, &mut answer);
                }
                answer
            }
        };
        answer["jsonrpc"] = json!("2.0");
        answer["id"] = id;
        Response::json(200, answer.to_string())
    }

    async fn send(&self, body: Vec<u8>) -> Response {
        let sent = self
            .client
            .post(&self.options.upstream)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await;
        let failed =
            |error: reqwest::Error| Response::json(502, json!({"error": error.to_string()}).to_string());
        match sent {
            Ok(response) => {
                let status = response.status().as_u16();
                match response.bytes().await {
                    Ok(body) => Response::json(status, body.to_vec()),
                    Err(error) => failed(error),
                }
            }
            Err(error) => failed(error),
        }
    }
}

/// The calls of one HTTP request.
struct Parsed<'a> {
    batch: bool,
    calls: Vec<(&'a RawValue, Call<'a>)>,
}

impl<'a> Parsed<'a> {
    fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_slice(body)?;
        let batch = raw.get().starts_with('[');
        let raws: Vec<&RawValue> = if batch { serde_json::from_str(raw.get())? } else { vec![raw] };
        let calls = raws
            .into_iter()
            .map(|raw| serde_json::from_str(raw.get()).map(|call| (raw, call)))
            .collect::<Result<_, _>>()?;
        Ok(Self { batch, calls })
    }
}

enum Forward {
    Nothing,
    AsItCame,
    Rest(Vec<u8>),
}

/// What the faults make of one HTTP request.
struct Plan {
    delay: Duration,
    status: Option<u16>,
    cut: bool,
    forward: Forward,
    /// Answers the proxy gives itself. With an id they replace the upstream's.
    errors: Vec<String>,
}

impl Plan {
    fn make(parsed: &Parsed<'_>, actions: Vec<Option<Action>>) -> Self {
        let mut plan = Self {
            delay: Duration::ZERO,
            status: None,
            cut: false,
            forward: Forward::AsItCame,
            errors: vec![],
        };
        let mut rest = Vec::with_capacity(parsed.calls.len());
        for ((raw, call), action) in parsed.calls.iter().zip(actions) {
            match action {
                None => rest.push(raw.get()),
                Some(Action::DelayMs { ms }) => {
                    plan.delay = plan.delay.max(Duration::from_millis(ms));
                    rest.push(raw.get());
                }
                Some(Action::DropRequest) => plan.cut = true,
                Some(Action::DropResponse) => {
                    plan.cut = true;
                    rest.push(raw.get());
                }
                Some(Action::Error { error }) => plan.errors.push(call.refuse(&error)),
                Some(Action::ErrorAfter { error }) => {
                    plan.errors.push(call.refuse(&error));
                    rest.push(raw.get());
                }
                Some(Action::HttpStatus { status }) => plan.status = Some(status),
            }
        }
        if rest.is_empty() {
            plan.forward = Forward::Nothing;
        } else if rest.len() < parsed.calls.len() {
            plan.forward = Forward::Rest(format!("[{}]", rest.join(",")).into_bytes());
        }
        plan
    }
}

/// The upstream's answer together with the errors the proxy answers itself.
fn merge(batch: bool, errors: Vec<String>, upstream: Option<Response>) -> Response {
    let Some(upstream) = upstream else {
        let body = if batch { format!("[{}]", errors.join(",")) } else { errors.concat() };
        return Response::json(200, body);
    };
    if errors.is_empty() {
        return upstream;
    }
    if !batch {
        return Response::json(200, errors.concat());
    }
    let replaced: Vec<Value> = errors.iter().filter_map(|error| serde_json::from_str(error).ok()).collect();
    let answers: Vec<Value> = serde_json::from_slice(&upstream.body).unwrap_or_default();
    let merged: Vec<Value> = answers
        .into_iter()
        .filter(|answer| !replaced.iter().any(|error| error["id"] == answer["id"]))
        .chain(replaced.iter().cloned())
        .collect();
    Response::json(upstream.status, json!(merged).to_string())
}
