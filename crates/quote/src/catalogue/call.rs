//! Calls: a flat price or a model's, surcharges, factors, a count.

use bigdecimal::BigDecimal;
use quittance_protocol::JsonObject;

use super::Catalogue;
use super::bill::Bill;
use super::body::{self, refuse_unknown, text};
use super::field::{Resolved, Values};
use super::file::{CallRule, Model, PlainModel};
use super::refusal::{Fault, echo};
use crate::{Body, Price, PriceRequest};

impl CallRule {
    /// Whether anything of the body is priced.
    pub(super) fn reads_body(&self) -> bool {
        !self.fields.is_empty() || self.model_field.is_some()
    }
}

impl Catalogue {
    pub(super) fn price_call(
        &self,
        rule: &CallRule,
        request: &PriceRequest<'_>,
        body: &Body<'_>,
        bill: Bill<'_>,
    ) -> Result<Price, Fault> {
        let nothing = JsonObject::default();
        let body = if rule.reads_body() { body::object(request, body)? } else { &nothing };
        let known = known_fields(rule);
        refuse_unknown(body, &[&known], &rule.passthrough)?;
        let (name, model) = self.call_model(rule, body)?;
        let values = Values::read(&rule.fields, body)?;
        let units = match (model, &rule.units) {
            (Some(model), _) => model_units(name, model, &values)?,
            (None, Some(units)) => &units.0,
            (None, None) => return Err(Fault::whole("unpriced", "this call has no price")),
        };
        bill_call(rule, name, units, &values, bill)
    }

    fn call_model<'a>(
        &'a self,
        rule: &'a CallRule,
        body: &'a JsonObject<'a>,
    ) -> Result<(&'a str, Option<&'a PlainModel>), Fault> {
        let Some(field) = rule.model_field.as_deref() else { return Ok(("call", None)) };
        let sold = || match &rule.models {
            Some(models) => models.iter().map(String::as_str).collect(),
            None => self.model_names("plain"),
        };
        let name = match (text(body, field)?, rule.default_model.as_deref()) {
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err(Fault::missing(field).choices(sold())),
        };
        let listed = rule.models.as_ref().is_none_or(|models| models.iter().any(|known| known == name));
        match self.models.get(name) {
            Some(Model::Plain(model)) if listed => Ok((name, Some(model))),
            known => {
                let (code, word) = match known {
                    Some(_) => ("wrong_model_type", "is not sold here"),
                    None => ("unknown_model", "does not exist"),
                };
                Err(Fault::new(code, field, format!("model `{}` {word}", echo(name))).choices(sold()))
            }
        }
    }
}

fn bill_call(
    rule: &CallRule,
    name: &str,
    units: &BigDecimal,
    values: &Values<'_>,
    mut bill: Bill<'_>,
) -> Result<Price, Fault> {
    let count = match rule.count_field.as_deref().and_then(|field| values.get(field)) {
        Some(Resolved::Int(count)) => u64::try_from(count).unwrap_or(1).max(1),
        _ => 1,
    };
    let mut factor = BigDecimal::from(1);
    for applied in rule.factors.iter().filter(|factor| values.hold(&factor.when)) {
        factor *= &applied.by.0;
    }
    bill.add(|| name.to_owned(), count, &(units * &factor));
    for surcharge in rule.surcharges.iter().filter(|surcharge| values.hold(&surcharge.when)) {
        bill.add(|| surcharge.label.clone(), count, &(&surcharge.units.0 * &factor));
    }
    bill.total(None)
}

fn known_fields(rule: &CallRule) -> Vec<&str> {
    let mut known = Vec::with_capacity(rule.fields.len() + 1);
    known.extend(rule.model_field.as_deref());
    for (name, field) in &rule.fields {
        known.push(name.as_str());
        known.extend(field.aliases.iter().map(String::as_str));
    }
    known
}

fn model_units<'a>(name: &str, model: &'a PlainModel, values: &Values<'_>) -> Result<&'a BigDecimal, Fault> {
    if let Some(max) = model.images_max
        && values.images > max
    {
        let message =
            format!("model `{}` takes at most {max} input images; {} were sent", echo(name), values.images);
        return Err(Fault::whole("too_many_images", message));
    }
    values.check_limits(&model.limits, name)?;
    let case = model.prices.iter().find(|case| values.hold(&case.when));
    match (case.and_then(|case| case.units.as_ref()), case, &model.units) {
        (Some(units), _, _) | (None, None, Some(units)) => Ok(&units.0),
        (None, Some(case), _) => {
            let message = case.refuse.clone().unwrap_or_else(|| "this combination is not sold".to_owned());
            let fault = match &case.field {
                Some(field) => Fault::new("unsupported_value", field, message),
                None => Fault::whole("unsupported_value", message),
            };
            Err(fault.choices(&case.choices))
        }
        (None, None, None) => {
            Err(Fault::whole("unpriced", format!("model `{}` has no price for this request", echo(name))))
        }
    }
}
