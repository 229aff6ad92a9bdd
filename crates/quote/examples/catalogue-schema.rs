//! Prints the JSON Schema of the catalogue language:
//! `cargo run -p quittance-quote --example catalogue-schema > catalogs/catalogue.schema.json`

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = serde_json::to_string_pretty(&quittance_quote::catalogue_schema())?;
    writeln!(std::io::stdout(), "{schema}")?;
    Ok(())
}
