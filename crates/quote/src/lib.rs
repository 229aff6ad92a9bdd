#![doc = include_str!("../README.md")]

mod body;
mod catalogue;
mod decimal;
mod error;
mod limits;
mod offer;
mod pricer;
mod reserve;
mod tariff;

pub use body::{BODY_JSON_DEPTH_MAX, Body};
pub use catalogue::{
    BODY_BYTES_MAX, CHOICES_MAX, COUNT_MAX, Catalogue, IMAGE_TOKENS_DEFAULT, ITEMS_MAX, MESSAGES_MAX,
    MODELS_MAX, OUTPUT_TOKENS_DEFAULT, PATH_BYTES_MAX, PROMPT_BYTES_MAX, TOKENIZED_BYTES_MAX,
    catalogue_schema,
};
pub use decimal::{Markup, Rate};
pub use error::{CatalogueError, QuoteError};
pub use limits::CATALOGUE_BYTES_MAX;
pub use offer::{NetworkTerms, OfferTemplate, requirements};
pub use pricer::{
    EndpointInfo, Price, PriceLine, PriceRequest, Pricer, Pricing, QueryParameter, Refusal, Route,
};
pub use reserve::{Metered, TextReserve};
pub use tariff::{
    BaseCost, LAMPORTS_PER_SIGNATURE, SolanaCost, Tariff, TariffWindow, WINDOW_TARIFFS_MAX, base_gas_usdc,
    native_to_usdc, next_gas, solana_gas_usdc, usdc_to_native,
};
