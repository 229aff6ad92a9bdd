//! The catalogue: a TOML text becomes a pure function from request to price.

use std::collections::HashMap;

use bigdecimal::BigDecimal;
use quittance_protocol::Amount;
use serde_json::{Map, Value};

use crate::limits::CATALOGUE_BYTES_MAX;
use crate::{Body, CatalogueError, EndpointInfo, Price, PriceRequest, Pricer, Pricing, Refusal, Route};

mod bill;
mod body;
mod call;
mod check;
mod example;
mod explain;
mod field;
mod file;
mod generation;
mod media;
mod query;
mod refusal;
mod route;
mod schema;
mod text;
mod tokens;
mod video;

use bill::Bill;
use file::{Endpoint, Model, Rule};
use refusal::Fault;
use route::Template;

pub use body::BODY_BYTES_MAX;
pub use generation::{ITEMS_MAX, PROMPT_BYTES_MAX};
pub use refusal::CHOICES_MAX;
pub use route::PATH_BYTES_MAX;
pub use text::{COUNT_MAX, IMAGE_TOKENS_DEFAULT, MESSAGES_MAX, OUTPUT_TOKENS_DEFAULT};
pub use tokens::TOKENIZED_BYTES_MAX;

/// Most models of a catalogue.
pub const MODELS_MAX: usize = 10_000;

/// Endpoints, models and prices of one API.
#[derive(Debug)]
pub struct Catalogue {
    name: String,
    unit: String,
    usd_per_unit: BigDecimal,
    error_shape: Option<Map<String, Value>>,
    models: HashMap<String, Model>,
    endpoints: Vec<Endpoint>,
    templates: Vec<Template>,
    declared_queries_only: bool,
}

impl Catalogue {
    /// Reads a catalogue. Unknown keys, contradictions and prices of zero are
    /// errors whose message says what to change.
    pub fn from_toml(text: &str) -> Result<Self, CatalogueError> {
        if text.len() > CATALOGUE_BYTES_MAX {
            return Err(CatalogueError::TooLong);
        }
        let file: file::File = toml::from_str(text).map_err(|error| match explain::explain(text) {
            Some((place, problem)) => CatalogueError::rule(place, problem),
            None => CatalogueError::Syntax(error.to_string().trim_end().to_owned()),
        })?;
        let templates = check::check(&file)?;
        let catalogue = Self {
            name: file.catalogue.name,
            unit: file.catalogue.unit,
            usd_per_unit: file.catalogue.usd_per_unit.0,
            error_shape: file.catalogue.error,
            models: file.models.into_iter().collect(),
            endpoints: file.endpoints,
            templates,
            declared_queries_only: false,
        };
        catalogue.check_examples()?;
        Ok(catalogue)
    }

    /// Refuses (400) paid requests with query parameters that their endpoint does not declare: for
    /// whoever hands requests to a server that it does not know. Without it such names reach the
    /// host, whose code says what they mean.
    #[must_use]
    pub fn declared_queries_only(mut self) -> Self {
        self.declared_queries_only = true;
        self
    }

    /// An example that is refused, or priced differently than its endpoint,
    /// would teach agents to send it.
    fn check_examples(&self) -> Result<(), CatalogueError> {
        for endpoint in &self.endpoints {
            let Some(example) = &endpoint.example else { continue };
            let place = || format!("endpoint {} {}", endpoint.method, endpoint.path);
            if let Err(problem) =
                quittance_protocol::parse_json_strict(example.as_bytes(), crate::BODY_JSON_DEPTH_MAX)
            {
                return Err(CatalogueError::rule(place(), format!("the example is not JSON: {problem}")));
            }
            let request = PriceRequest {
                method: &endpoint.method,
                path: &endpoint.example_path(),
                query: "",
                content_type: Some("application/json"),
                body: example.as_bytes(),
            };
            if let Err(refusal) = self.price(&request) {
                let problem = format!("the example has no price: {}; correct or remove it", refusal.message);
                return Err(CatalogueError::rule(place(), problem));
            }
        }
        Ok(())
    }

    /// Loads the tokenizer when text is sold here, so that the first customer
    /// does not wait for it. Programs call it once at the start.
    pub fn warm_up(&self) {
        if self.endpoints.iter().any(|endpoint| matches!(endpoint.price, Rule::Text(_))) {
            tokens::load();
        }
    }

    /// The catalogue's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every endpoint in the order of the file.
    pub fn endpoints(&self) -> Vec<EndpointInfo> {
        self.endpoints.iter().map(|endpoint| self.info(endpoint)).collect()
    }

    fn info(&self, endpoint: &Endpoint) -> EndpointInfo {
        let pricing = if matches!(endpoint.price, Rule::Free(_)) { Pricing::Free } else { Pricing::Paid };
        let example = self.example(endpoint);
        EndpointInfo {
            method: endpoint.method.clone(),
            path: endpoint.path.clone(),
            pricing,
            summary: self.summary(&endpoint.price),
            description: endpoint.description.clone(),
            mime_type: endpoint.mime_type.clone(),
            body_schema: self.body_schema(endpoint, example.as_ref()),
            query: schema::query(&endpoint.price),
            service_min: self.service_min(&endpoint.price),
            example: endpoint.example.clone().or_else(|| example.as_ref().map(Value::to_string)),
        }
    }

    /// How it is priced, with what a unit costs where prices are not in dollars.
    fn summary(&self, rule: &Rule) -> String {
        let units = self.summary_in_units(rule);
        let dollars = crate::decimal::plain(&self.usd_per_unit) == "1";
        if dollars || matches!(rule, Rule::Free(_)) {
            return units;
        }
        format!("{units}; 1 {} = {} USD", self.unit, crate::decimal::plain(&self.usd_per_unit))
    }

    fn summary_in_units(&self, rule: &Rule) -> String {
        let unit = &self.unit;
        match rule {
            Rule::Free(_) => "free".to_owned(),
            Rule::Call(rule) => match (&rule.units, &rule.model_field, &rule.count_field) {
                (Some(units), _, _) => {
                    let flat = crate::decimal::plain(&units.0);
                    let options = if rule.surcharges.is_empty() { "" } else { ", more with options" };
                    format!("{flat} {unit}(s) per call{options}")
                }
                (_, _, Some(count)) => format!("{unit}s by model and options, times `{count}`"),
                _ => format!("{unit}s by model and options"),
            },
            Rule::Generation(_) => format!("{unit}s per image, by duration for video; items add up"),
            Rule::Text(rule) => {
                let least = crate::decimal::plain(&rule.reserve_units_min.0);
                format!("prepaid reserve by tokens, at least {least} {unit}s")
            }
        }
    }

    /// Where a method and path go. A path that is not canonical (`//`, `/./`,
    /// `/../`, any `%`, a trailing slash, other letter case) is unknown: what
    /// the gate and the host could read differently must not pass either.
    pub fn route(&self, method: &str, path: &str) -> Route {
        match self.find(method, path) {
            None => Route::Unknown,
            Some((_, endpoint)) if matches!(endpoint.price, Rule::Free(_)) => Route::Free,
            Some((index, _)) => Route::Paid(index),
        }
    }

    fn find(&self, method: &str, path: &str) -> Option<(usize, &Endpoint)> {
        if !route::canonical(path) {
            return None;
        }
        let index = self.templates.iter().position(|template| template.matches(method, path))?;
        self.endpoints.get(index).map(|endpoint| (index, endpoint))
    }

    /// The price of a request, or the refusal its host would answer.
    ///
    /// Nothing is fetched and nothing is kept; the same body in another key
    /// order or spacing has the same price. A free endpoint has no price: 404.
    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    pub fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal> {
        self.price_body(request, &Body::new(request.body))
    }

    /// The same for a body that others read too, so that it is parsed once.
    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    pub fn price_body(&self, request: &PriceRequest<'_>, body: &Body<'_>) -> Result<Price, Refusal> {
        self.price_or_refuse(request, body, Bill::itemised(self))
    }

    /// Only [`Price::service`]: an unpaid request needs no lines.
    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    pub fn service_body(&self, request: &PriceRequest<'_>, body: &Body<'_>) -> Result<Amount, Refusal> {
        self.price_or_refuse(request, body, Bill::sum(self)).map(|price| price.service)
    }

    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    fn price_or_refuse(
        &self,
        request: &PriceRequest<'_>,
        body: &Body<'_>,
        bill: Bill<'_>,
    ) -> Result<Price, Refusal> {
        self.price_or_fault(request, body, bill)
            .map_err(|fault| fault.into_refusal(self.error_shape.as_ref()))
    }

    fn price_or_fault(
        &self,
        request: &PriceRequest<'_>,
        body: &Body<'_>,
        bill: Bill<'_>,
    ) -> Result<Price, Fault> {
        let Some((_, endpoint)) = self.find(request.method, request.path) else {
            return Err(Fault::not_found("no such endpoint"));
        };
        if let Some(declared) = endpoint.price.query() {
            query::check(declared, request.query)?;
            if self.declared_queries_only {
                query::refuse_undeclared(declared, request.query)?;
            }
        }
        match &endpoint.price {
            Rule::Free(_) => Err(Fault::not_found("this endpoint is free and has no price")),
            Rule::Call(rule) => {
                let price = self.price_call(rule, request, body, bill)?;
                Ok(Price { reads_json: rule.reads_body(), ..price })
            }
            Rule::Generation(rule) => self.price_generation(rule, request, body, bill),
            Rule::Text(rule) => self.price_text(rule, request, body, bill),
        }
    }

    /// Whether `name` is a text model.
    pub fn is_text_model(&self, name: &str) -> bool {
        matches!(self.models.get(name), Some(Model::Text(_)))
    }
}

impl Pricer for Catalogue {
    fn route(&self, method: &str, path: &str) -> Route {
        Self::route(self, method, path)
    }

    fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal> {
        Self::price(self, request)
    }

    fn service(&self, request: &PriceRequest<'_>) -> Result<Amount, Refusal> {
        self.service_body(request, &Body::new(request.body))
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        Self::endpoints(self)
    }
}

/// The JSON Schema of the catalogue language, for editors.
pub fn catalogue_schema() -> Value {
    schemars::schema_for!(file::File).to_value()
}
