//! What must hold in a catalogue before it may price anything.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::Zero as _;

use super::MODELS_MAX;
use super::file::{
    CallRule, Decimal, Field, FieldType, File, Model, PlainModel, Rule, Scalar, TextModel, TextRule,
    VideoModel, When,
};
use super::route::Template;
use crate::CatalogueError;

/// Largest factor between two vocabularies' counts.
const PROMPT_FACTOR_MAX: u64 = 10;

/// Largest count that may multiply a price.
const CALL_COUNT_MAX: i64 = 1_000;

type Checked = Result<(), CatalogueError>;

fn need(holds: bool, place: &str, problem: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(CatalogueError::rule(place, problem)) }
}

fn need_above_zero(units: &Decimal, place: &str, what: &str) -> Checked {
    need(
        !units.0.is_zero(),
        place,
        format!("{what} must be above zero; list free endpoints as kind = \"free\""),
    )
}

pub(super) fn check(file: &File) -> Result<Vec<Template>, CatalogueError> {
    need(!file.catalogue.name.is_empty(), "[catalogue]", "name must not be empty")?;
    need(!file.catalogue.unit.is_empty(), "[catalogue]", "unit must not be empty")?;
    need_above_zero(&file.catalogue.usd_per_unit, "[catalogue]", "usd_per_unit")?;
    need(file.models.len() <= MODELS_MAX, "[models]", format!("at most {MODELS_MAX} models are allowed"))?;
    for (name, model) in &file.models {
        let place = format!("[models.{name}]");
        match model {
            Model::Text(model) => check_text_model(model, &place)?,
            Model::Image(model) => {
                need_above_zero(&model.units, &place, "units")?;
                for units in [&model.fast_units, &model.uhd_units].into_iter().flatten() {
                    need_above_zero(units, &place, "a mode's price")?;
                }
                check_aspects(&model.aspects, &place)?;
                let satisfiable = !model.image_required || model.images_max > 0;
                need(satisfiable, &place, "image_required needs images_max of at least 1")?;
                let meant = !model.source_image || model.images_max == 0;
                need(meant, &place, "source_image says nothing where images_max is above 0; remove it")?;
            }
            Model::Video(model) => check_video_model(model, &place)?,
            Model::Plain(model) => check_plain_model(model, &place)?,
        }
    }
    check_endpoints(file)
}

fn check_endpoints(file: &File) -> Result<Vec<Template>, CatalogueError> {
    need(!file.endpoints.is_empty(), "[[endpoints]]", "list at least one endpoint")?;
    let mut templates: Vec<Template> = Vec::with_capacity(file.endpoints.len());
    for endpoint in &file.endpoints {
        let place = format!("endpoint {} {}", endpoint.method, endpoint.path);
        let template = Template::parse(&endpoint.method, &endpoint.path)
            .map_err(|problem| CatalogueError::rule(&*place, problem))?;
        let clear = !templates.iter().any(|other| other.overlaps(&template));
        need(clear, &place, "another endpoint matches the same paths; make them differ")?;
        templates.push(template);
        match &endpoint.price {
            Rule::Free(_) => {}
            Rule::Call(rule) => check_call(rule, &file.models, &place)?,
            Rule::Generation(rule) => {
                let any =
                    file.models.values().any(|model| matches!(model, Model::Image(_) | Model::Video(_)));
                need(any, &place, "kind = \"generation\" needs an image or video model")?;
                need(rule.items_max != Some(0), &place, "items_max must be at least 1")?;
                check_fields(&rule.query, &place)?;
            }
            Rule::Text(rule) => {
                let any = file.models.values().any(|model| matches!(model, Model::Text(_)));
                need(any, &place, "kind = \"text\" needs a text model")?;
                check_text_rule(rule, &place)?;
                check_fields(&rule.query, &place)?;
            }
        }
    }
    Ok(templates)
}

fn check_text_rule(rule: &TextRule, place: &str) -> Checked {
    need_above_zero(&rule.reserve_units_min, place, "reserve_units_min")?;
    need_above_zero(&rule.charge_units_min, place, "charge_units_min")?;
    need(rule.output_tokens_default != Some(0), place, "output_tokens_default must be at least 1")?;
    for (input, tokens) in &rule.media_tokens {
        let known = ["file", "audio", "video"].contains(&input.as_str());
        need(known, place, format!("media_tokens has `{input}`; it may hold file, audio and video"))?;
        need(*tokens > 0, place, format!("media_tokens.{input} must be at least 1"))?;
    }
    need(rule.choices_max != Some(0), place, "choices_max must be at least 1")
}

fn check_text_model(model: &TextModel, place: &str) -> Checked {
    need_above_zero(&model.input_units_per_million, place, "input_units_per_million")?;
    need_above_zero(&model.output_units_per_million, place, "output_units_per_million")?;
    need(model.context_tokens > 0, place, "context_tokens must be at least 1")?;
    need(model.output_tokens_max != Some(0), place, "output_tokens_max must be at least 1")?;
    if let Some(factor) = &model.prompt_tokens_factor {
        let inside = factor.0 >= 1 && factor.0 <= PROMPT_FACTOR_MAX;
        need(inside, place, format!("prompt_tokens_factor must be from 1 to {PROMPT_FACTOR_MAX}"))?;
    }
    for input in &model.inputs {
        let known = ["text", "image", "file", "audio", "video"].contains(&input.as_str());
        need(known, place, format!("input {input:?} is not one of text, image, file, audio, video"))?;
    }
    Ok(())
}

fn check_video_model(model: &VideoModel, place: &str) -> Checked {
    check_aspects(&model.aspects, place)?;
    need(!model.durations.is_empty(), place, "list at least one duration")?;
    let mut seen = BTreeSet::new();
    for duration in &model.durations {
        need(duration.seconds > 0, place, "a duration must be at least one second")?;
        need(seen.insert(duration.seconds), place, format!("duration {} stands twice", duration.seconds))?;
        need_above_zero(&duration.units, place, "a duration's units")?;
    }
    let satisfiable = !model.first_frame_required || model.frames.contains(&super::file::Frame::First);
    need(satisfiable, place, "first_frame_required needs frames = [\"first\", …]")
}

fn check_aspects(aspects: &[String], place: &str) -> Checked {
    need(!aspects.is_empty(), place, "list at least one aspect ratio")?;
    for aspect in aspects {
        let side = |text: &str| text.len() <= 3 && text.parse::<u16>().is_ok_and(|side| side > 0);
        let ratio = aspect.split_once(':').is_some_and(|(width, height)| side(width) && side(height));
        need(ratio, place, format!("aspect ratio {aspect:?} is not of the form \"16:9\""))?;
    }
    Ok(())
}

fn check_plain_model(model: &PlainModel, place: &str) -> Checked {
    if let Some(units) = &model.units {
        need_above_zero(units, place, "units")?;
    }
    need(
        model.units.is_some() || !model.prices.is_empty(),
        place,
        "give units, or prices for the cases sold",
    )?;
    for case in &model.prices {
        need(
            case.units.is_some() != case.refuse.is_some(),
            place,
            "an entry of prices has either units or refuse",
        )?;
        if let Some(units) = &case.units {
            need_above_zero(units, place, "a case's units")?;
        }
    }
    Ok(())
}

fn check_call(rule: &CallRule, models: &BTreeMap<String, Model>, place: &str) -> Checked {
    need(rule.units.is_some() != rule.model_field.is_some(), place, "give either units or model_field")?;
    if let Some(units) = &rule.units {
        need_above_zero(units, place, "units")?;
    }
    let by_model = rule.model_field.is_some() || (rule.models.is_none() && rule.default_model.is_none());
    need(by_model, place, "models and default_model need model_field")?;
    check_fields(&rule.fields, place)?;
    check_fields(&rule.query, place)?;
    check_names(rule, place)?;
    check_count(rule, place)?;
    for surcharge in &rule.surcharges {
        need_above_zero(&surcharge.units, place, "a surcharge")?;
        check_when(&surcharge.when, rule, place)?;
    }
    for factor in &rule.factors {
        need_above_zero(&factor.by, place, "a factor")?;
        check_when(&factor.when, rule, place)?;
    }
    if rule.model_field.is_some() { check_call_models(rule, models, place) } else { Ok(()) }
}

/// One name must not mean two fields.
fn check_names(rule: &CallRule, place: &str) -> Checked {
    let mut seen = BTreeSet::new();
    let names = rule.fields.iter().flat_map(|(name, field)| std::iter::once(name).chain(&field.aliases));
    for name in names.chain(&rule.model_field).chain(&rule.passthrough) {
        need(seen.insert(name), place, format!("field `{name}` is declared twice"))?;
    }
    Ok(())
}

fn check_count(rule: &CallRule, place: &str) -> Checked {
    let Some(count) = &rule.count_field else { return Ok(()) };
    let bounded = rule.fields.get(count).is_some_and(|field| {
        field.kind == FieldType::Integer
            && field.min.is_some_and(|min| min >= 1)
            && field.max.is_some_and(|max| max <= CALL_COUNT_MAX)
    });
    let problem = format!(
        "count_field `{count}` must be declared in fields as an integer with min >= 1 and max <= {CALL_COUNT_MAX}"
    );
    need(bounded, place, problem)
}

fn check_call_models(rule: &CallRule, models: &BTreeMap<String, Model>, place: &str) -> Checked {
    let plain = |name: &String| match models.get(name) {
        Some(Model::Plain(model)) => Ok(model),
        Some(_) => Err(CatalogueError::rule(
            place,
            format!("model `{name}` must be of type \"plain\" to be sold by the call"),
        )),
        None => Err(CatalogueError::rule(place, format!("model `{name}` is not in [models]"))),
    };
    let sold: Vec<&String> = match &rule.models {
        Some(names) => names.iter().collect(),
        None => models
            .iter()
            .filter(|(_, model)| matches!(model, Model::Plain(_)))
            .map(|(name, _)| name)
            .collect(),
    };
    need(!sold.is_empty(), place, "no plain model is sold here")?;
    if let Some(default) = &rule.default_model {
        need(sold.contains(&default), place, format!("default_model `{default}` is not sold here"))?;
    }
    for name in sold {
        let model = plain(name)?;
        for case in &model.prices {
            check_when(&case.when, rule, &format!("{place}, model {name}"))?;
        }
        for limit in &model.limits {
            let place = format!("{place}, model {name}");
            let field = rule.fields.get(&limit.field);
            need(field.is_some(), &place, format!("limit on undeclared field `{}`", limit.field))?;
            check_when(&limit.when, rule, &place)?;
            if let Some(field) = field {
                check_scalars(&limit.field, field.kind, limit.choices.iter().flatten(), &place)?;
            }
        }
    }
    Ok(())
}

fn check_when(when: &When, rule: &CallRule, place: &str) -> Checked {
    for (name, accepted) in when {
        let Some(field) = rule.fields.get(name) else {
            return Err(CatalogueError::rule(place, format!("`when` names the undeclared field `{name}`")));
        };
        check_scalars(name, field.kind, accepted.as_slice(), place)?;
    }
    Ok(())
}

fn check_fields(fields: &BTreeMap<String, Field>, place: &str) -> Checked {
    fields.iter().try_for_each(|(name, field)| check_field(name, field, place))
}

fn check_field(name: &str, field: &Field, place: &str) -> Checked {
    check_scalars(name, field.kind, field.default.iter().chain(field.choices.iter().flatten()), place)?;
    if let (Some(default), Some(choices)) = (&field.default, &field.choices) {
        need(choices.contains(default), place, format!("the default of `{name}` is not among its choices"))?;
    }
    if let Some(Scalar::Int(default)) = field.default {
        let inside = field.min.is_none_or(|min| default >= min) && field.max.is_none_or(|max| default <= max);
        need(inside, place, format!("the default of `{name}` is outside its bounds"))?;
    }
    let both = field.required && field.default.is_some();
    need(!both, place, format!("`{name}` is required, so its default is never used"))?;
    let ordered = field.min.zip(field.max).is_none_or(|(min, max)| min <= max);
    need(ordered, place, format!("min of `{name}` is above its max"))
}

fn check_scalars<'a>(
    name: &str,
    kind: FieldType,
    scalars: impl IntoIterator<Item = &'a Scalar>,
    place: &str,
) -> Checked {
    for scalar in scalars {
        let fits = matches!(
            (kind, scalar),
            (FieldType::String, Scalar::Text(_))
                | (FieldType::Integer, Scalar::Int(_))
                | (FieldType::Boolean, Scalar::Bool(_))
        );
        need(fits, place, format!("`{scalar}` is not a value that field `{name}` can have"))?;
    }
    Ok(())
}
