//! One API behind the gateway: where it is, what is shown to it, and whether it is well.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use quittance_facilitator::config::{ConfigError, UpstreamConfig, read_secret};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::CommandError;
use crate::gateway::circuit::{self, Circuit};
use crate::gateway::headers::Public;
use crate::gateway::upload::Upload;
use crate::gateway::words::Trouble;

/// An idle connection is used no more after this time: servers that close theirs earlier, most at
/// 2 to 5 seconds, would meet a request on its way.
const IDLE: Duration = Duration::from_millis(1_500);

/// One API.
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) config: UpstreamConfig,
    /// What the gateway shows to it.
    pub(crate) credentials: Vec<(HeaderName, HeaderValue)>,
    pub(crate) circuit: Circuit,
    /// Requests that nobody paid for.
    pub(crate) free: Arc<Semaphore>,
    /// `http://host:port`, as its own answers may name it.
    pub(crate) origin: String,
    /// What stands before every path, without a slash at its end.
    pub(crate) base: String,
    scheme: Scheme,
    authority: Authority,
    /// Under which name the gateway is known outside.
    public: Option<Public>,
    client: Client<HttpsConnector<HttpConnector>, Upload>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) trouble: Trouble,
    /// Nothing was sent: there was no connection to send it on.
    pub(crate) unbegun: bool,
    /// For the log; never a header's value.
    pub(crate) why: String,
}

impl Upstream {
    pub(crate) fn new(name: &str, config: &UpstreamConfig) -> Result<Self, CommandError> {
        let key = |key: &str| format!("gateway.upstreams.{name}.{key}");
        let uri: Uri = config.url.parse().map_err(|_| format!("{} cannot be read", key("url")))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(format!("{} lacks a scheme or a host", key("url")).into());
        };
        let base = parts.path_and_query.map_or_else(String::new, |path| path.path().to_owned());
        let limits = circuit::Limits {
            failures_max: config.failures_max,
            closed: Duration::from_secs(config.closed_seconds),
            pause_max: Duration::from_secs(config.pause_seconds_max),
            look_failures_max: config.health_failures_max,
            look: Duration::from_secs(config.health_seconds),
        };
        Ok(Self {
            name: name.to_owned(),
            credentials: credentials(name, config)?,
            circuit: Circuit::new(limits),
            free: Arc::new(Semaphore::new(config.free_in_flight_max)),
            origin: format!("{scheme}://{authority}"),
            base: base.trim_end_matches('/').to_owned(),
            client: client(config)?,
            config: config.clone(),
            scheme,
            authority,
            public: None,
        })
    }

    /// Tells it how the outside world reaches the gateway.
    #[must_use]
    pub(crate) fn behind(mut self, public_url: Option<&str>) -> Self {
        self.public = public_url.and_then(Public::of);
        self
    }

    /// The URL of a path and query there; `None` where no URL can be written so.
    pub(crate) fn uri(&self, path_and_query: &str) -> Option<Uri> {
        let path: PathAndQuery = [&self.base, path_and_query].concat().parse().ok()?;
        // What was matched and priced is what goes out, byte by byte.
        (path.as_str().strip_prefix(self.base.as_str()) == Some(path_and_query)).then_some(())?;
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        uri.path_and_query(path).build().ok()
    }

    /// Sends a request; waits for the head of its answer for so long.
    pub(crate) async fn send(
        &self,
        mut request: Request<Upload>,
        wait: Duration,
        is_paid: bool,
    ) -> Result<Response<Incoming>, Failed> {
        if let Some(public) = &self.public {
            public.say(request.headers_mut());
        }
        let began = |trouble, why| Failed { trouble, unbegun: false, why };
        match timeout(wait, self.client.request(request)).await {
            Err(_elapsed) => Err(began(Trouble::TooSlow, "no answer in time".to_owned())),
            Ok(Ok(answer)) => {
                self.circuit.taken();
                Ok(answer)
            }
            Ok(Err(error)) if error.is_connect() => Err(self.not_connected(&error, is_paid)),
            Ok(Err(error)) => Err(began(Trouble::BrokeOff, chain(&error))),
        }
    }

    /// A connection that took too long is no refusal: whoever keeps the upstream busy can cause it,
    /// so it is a failure like others.
    fn not_connected(&self, error: &(dyn Error + 'static), is_paid: bool) -> Failed {
        let why = chain(error);
        if timed_out(error) {
            return Failed { trouble: Trouble::TooSlow, unbegun: true, why };
        }
        match is_paid {
            true => self.circuit.refused_at_once(Instant::now()),
            false => self.circuit.refused(Instant::now()),
        }
        Failed { trouble: Trouble::Unreachable, unbegun: true, why }
    }

    /// Whether somebody takes connections there.
    pub(crate) async fn is_taking(&self) -> bool {
        let port = self.authority.port_u16().unwrap_or(if self.scheme == Scheme::HTTPS { 443 } else { 80 });
        let host = self.authority.host().trim_matches(['[', ']']);
        let connecting = TcpStream::connect((host, port));
        timeout(Duration::from_millis(self.config.connect_ms), connecting)
            .await
            .is_ok_and(|taken| taken.is_ok())
    }
}

/// Whether connecting ended because its time was up.
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with what caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn client(config: &UpstreamConfig) -> Result<Client<HttpsConnector<HttpConnector>, Upload>, CommandError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(Duration::from_millis(config.connect_ms)));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls()?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let mut client = Client::builder(TokioExecutor::new());
    client.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
    Ok(client.build(connector))
}

/// The machine's own authorities.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_platform_verifier()?.with_no_client_auth())
}

fn credentials(name: &str, config: &UpstreamConfig) -> Result<Vec<(HeaderName, HeaderValue)>, CommandError> {
    let read = |(index, credential): (usize, &quittance_facilitator::config::CredentialConfig)| {
        let key = format!("gateway.upstreams.{name}.credentials[{index}]");
        let invalid = |problem: &str| ConfigError::Invalid(format!("{key}: {problem}"));
        let secret = read_secret(&credential.secret).map_err(|error| match error {
            ConfigError::Secret { problem, .. } => ConfigError::Secret { key: key.clone(), problem },
            other => other,
        })?;
        let text = secret.expose_str().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| invalid("the secret is empty, or is no text"))?;
        let value = match &credential.scheme {
            Some(scheme) => format!("{scheme} {text}"),
            None => text.to_owned(),
        };
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| invalid("the secret cannot stand in a header"))?;
        value.set_sensitive(true);
        let header = credential.header.to_ascii_lowercase();
        let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| invalid("no header's name"))?;
        Ok((header, value))
    };
    config.credentials.iter().enumerate().map(read).collect()
}
