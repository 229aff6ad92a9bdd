//! Requests that have a price, and the least that one costs, for discovery.

use bigdecimal::BigDecimal;
use quittance_protocol::Amount;
use serde_json::{Map, Value, json};

use super::Catalogue;
use super::file::{CallRule, Endpoint, Field, FieldType, Model, PlainModel, Rule, TextRule};
use super::schema::scalar;
use crate::decimal::usdc_ceil;
use crate::{PriceRequest, Pricer as _};

/// A picture of one pixel, for fields that must hold one.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// What to draw, say or answer, where an example has to say it.
const WORDS: &str = "A brass key on slate";

impl Catalogue {
    /// The endpoint's own example, or one made from what its rule asks for; `None` where no
    /// body is read, or none was found that has a price.
    pub(super) fn example(&self, endpoint: &Endpoint) -> Option<Value> {
        if let Some(text) = &endpoint.example {
            return serde_json::from_str(text).ok();
        }
        let tried: Vec<Value> = match &endpoint.price {
            Rule::Free(_) => return None,
            Rule::Call(rule) if rule.fields.is_empty() && rule.model_field.is_none() => return None,
            Rule::Call(rule) => self.call_examples(rule),
            Rule::Generation(_) => ["image", "video"]
                .into_iter()
                .filter_map(|kind| Some(json!({ "requests": [self.item_example(kind)?] })))
                .collect(),
            Rule::Text(_) => self
                .model_names("text")
                .into_iter()
                .map(|model| json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello" }] }))
                .collect(),
        };
        tried.into_iter().find(|body| self.has_price(endpoint, body))
    }

    fn has_price(&self, endpoint: &Endpoint, body: &Value) -> bool {
        let body = body.to_string();
        let request = PriceRequest {
            method: &endpoint.method,
            path: &endpoint.example_path(),
            query: "",
            content_type: Some("application/json"),
            body: body.as_bytes(),
        };
        self.service(&request).is_ok()
    }

    fn call_examples(&self, rule: &CallRule) -> Vec<Value> {
        let models: Vec<Option<&str>> = match (&rule.model_field, &rule.default_model) {
            (Some(_), None) => self.sold_models(rule).into_iter().map(Some).collect(),
            (_, default) => vec![default.as_deref()],
        };
        models
            .into_iter()
            .map(|name| {
                let model = name.and_then(|name| match self.models.get(name) {
                    Some(Model::Plain(model)) => Some(model),
                    _ => None,
                });
                let mut body = Map::new();
                if let (Some(field), Some(name)) = (&rule.model_field, name) {
                    body.insert(field.clone(), json!(name));
                }
                for (name, field) in rule.fields.iter().filter(|(_, field)| field.required) {
                    body.insert(name.clone(), least_value(name, field, model));
                }
                Value::Object(body)
            })
            .collect()
    }

    /// One image or video of the first model that needs no input of its own.
    pub(super) fn item_example(&self, kind: &str) -> Option<Value> {
        self.model_names(kind).into_iter().find_map(|name| match self.models.get(name)? {
            Model::Image(model) if !model.image_required => Some(json!({
                "type": kind, "model": name, "prompt": WORDS, "aspect_ratio": model.aspects.first()?,
            })),
            Model::Video(model) if !model.first_frame_required => Some(json!({
                "type": kind, "model": name, "prompt": WORDS, "aspect_ratio": model.aspects.first()?,
                "duration_seconds": model.durations.first()?.seconds,
            })),
            _ => None,
        })
    }

    /// A price that no request to the endpoint is below; `None` where it is free.
    pub(super) fn service_min(&self, rule: &Rule) -> Option<Amount> {
        let units = match rule {
            Rule::Free(_) => return None,
            Rule::Call(rule) => self.call_units_min(rule)?,
            Rule::Generation(_) => self.models.values().filter_map(media_units_min).min()?,
            Rule::Text(TextRule { reserve_units_min, .. }) => reserve_units_min.0.clone(),
        };
        usdc_ceil(&(units * &self.usd_per_unit)).ok()
    }

    fn call_units_min(&self, rule: &CallRule) -> Option<BigDecimal> {
        let sold = self.sold_models(rule);
        let plain = sold.into_iter().filter_map(|name| match self.models.get(name) {
            Some(Model::Plain(model)) => plain_units_min(model),
            _ => None,
        });
        let units = match (&rule.units, &rule.model_field) {
            (Some(units), _) => units.0.clone(),
            (None, Some(_)) => plain.min()?,
            (None, None) => return None,
        };
        // As if every factor that makes it cheaper applied at once.
        let one = BigDecimal::from(1);
        Some(
            rule.factors
                .iter()
                .map(|factor| &factor.by.0)
                .filter(|by| **by < one)
                .fold(units, |a, by| a * by),
        )
    }
}

fn plain_units_min(model: &PlainModel) -> Option<BigDecimal> {
    let cases = model.prices.iter().filter_map(|case| case.units.as_ref());
    cases.chain(&model.units).map(|units| units.0.clone()).min()
}

fn media_units_min(model: &Model) -> Option<BigDecimal> {
    match model {
        Model::Image(model) => {
            let modes = [Some(&model.units), model.fast_units.as_ref(), model.uhd_units.as_ref()];
            modes.into_iter().flatten().map(|units| units.0.clone()).min()
        }
        Model::Video(model) => model.durations.iter().map(|duration| duration.units.0.clone()).min(),
        Model::Text(_) | Model::Plain(_) => None,
    }
}

/// A value that the field takes, within the limits that the model sets for it.
fn least_value(name: &str, field: &Field, model: Option<&PlainModel>) -> Value {
    let limits: Vec<_> =
        model.iter().flat_map(|model| &model.limits).filter(|limit| limit.field == name).collect();
    let narrowed = limits.iter().find_map(|limit| limit.choices.as_ref()).or(field.choices.as_ref());
    if let Some(choice) = narrowed.and_then(|choices| choices.first()).or(field.default.as_ref()) {
        return scalar(choice);
    }
    // The strictest of all cases holds in each of them.
    let least = limits.iter().filter_map(|limit| limit.min).chain(field.min).max();
    match field.kind {
        FieldType::String => json!(WORDS),
        FieldType::Integer | FieldType::Number => json!(least.unwrap_or(1)),
        FieldType::Boolean => json!(false),
        FieldType::Array => json!([]),
        FieldType::Object => json!({}),
        FieldType::DataUrl => json!(PIXEL),
        FieldType::DataUrls => json!([PIXEL]),
    }
}
