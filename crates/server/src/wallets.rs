//! `quittance wallets`: who pays for settlements, what is left, and which retired one may go.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use quittance_facilitator::config::Config;
use quittance_facilitator::{Clock, configured_wallets, wallets_under_way};
use serde_json::{Value, json};

use crate::columns::{coins, table};
use crate::payments::open_books;
use crate::{CommandError, print, status};

pub(crate) fn run(path: &Path, as_json: bool) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    let configured = configured_wallets(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let books = open_books(&config).await?;
        let open = books.open_work(Clock::system().now_ms()).await?;
        let under_way: BTreeSet<(String, String)> = wallets_under_way(&open)
            .into_iter()
            .map(|(network, wallet)| (network.to_string(), wallet.to_lowercase()))
            .collect();
        let (program, silent) = match status::ask(&config).await {
            Ok(program) => (program, None),
            Err(error) => (Value::Null, Some(error.to_string())),
        };
        let configured = configured.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        let wallets: Vec<Value> =
            configured.into_iter().map(|wallet| whole(wallet, &program, &under_way)).collect();
        if as_json {
            let shown = json!({ "wallets": wallets, "error": silent });
            print(&serde_json::to_string_pretty(&shown)?)?;
        } else {
            print(text(&wallets, silent.as_deref()).trim_end())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What the configuration says, with what the program says of the same wallet, and the ledger.
fn whole(configured: Value, program: &Value, under_way: &BTreeSet<(String, String)>) -> Value {
    let key = |wallet: &Value| {
        let word = |field: &str| wallet[field].as_str().unwrap_or_default().to_owned();
        (word("network"), word("wallet"), word("role"))
    };
    let told = program["wallets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut wallet = told.iter().find(|one| key(one) == key(&configured)).cloned().unwrap_or(configured);
    let (network, address, _) = key(&wallet);
    wallet["under_way"] = json!(under_way.contains(&(network, address.to_lowercase())));
    wallet
}

fn text(wallets: &[Value], silent: Option<&str>) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("–").to_owned();
    let number = |value: &Value| value.as_u64().map_or_else(|| "–".to_owned(), |number| number.to_string());
    let row = |wallet: &Value| {
        let decimals = wallet["decimals"].as_u64().unwrap_or(0);
        let balance = wallet["balance_native"].as_str().map_or_else(
            || "–".to_owned(),
            |native| format!("{} {}", coins(native, decimals), word(&wallet["coin"])),
        );
        [
            word(&wallet["wallet"]),
            word(&wallet["network"]),
            word(&wallet["role"]),
            balance,
            word(&wallet["funds"]),
            number(&wallet["runway_settlements"]),
            number(&wallet["lane_payments"]),
            if wallet["under_way"] == true { "yes" } else { "no" }.to_owned(),
        ]
    };
    let titles = ["wallet", "network", "role", "balance", "funds", "runway", "in its lane", "under way"];
    let mut text = table(titles, wallets.iter().map(row));
    for wallet in wallets.iter().filter(|one| one["role"] == "retired" && one["under_way"] == false) {
        let address = word(&wallet["wallet"]);
        text.push_str(&format!(
            "  {address} is retired and nothing of it is under way: it may go once no offer names it\n"
        ));
    }
    if let Some(silent) = silent {
        text.push_str(&format!("  balances: {silent}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet(address: &str, role: &str) -> Value {
        json!({"network": "eip155:8453", "wallet": address, "role": role, "coin": "ETH", "decimals": 18,
            "balance_native": null, "funds": null, "runway_settlements": null, "lane_payments": null})
    }

    #[test]
    fn balances_are_whole_coins() {
        assert_eq!(coins("0", 18), "0");
        assert_eq!(coins("1", 18), "0.000000000000000001");
        assert_eq!(coins("1500000000", 9), "1.5");
        assert_eq!(coins("7", 0), "7");
    }

    #[test]
    fn what_the_program_says_is_shown_beside_what_the_ledger_still_needs() {
        let mut told = wallet("0xAb", "active");
        told["balance_native"] = json!("20000000000000000");
        told["funds"] = json!("low");
        told["runway_settlements"] = json!(9);
        told["lane_payments"] = json!(3);
        let program = json!({ "wallets": [told] });
        let open = BTreeSet::from([("eip155:8453".to_owned(), "0xab".to_owned())]);
        let all =
            [wallet("0xAb", "active"), wallet("0xCd", "retired")].map(|one| whole(one, &program, &open));
        assert_eq!((&all[0]["under_way"], &all[1]["under_way"]), (&json!(true), &json!(false)));
        let shown = text(&all, Some("the program cannot be reached"));
        for words in ["0.02 ETH", "low", "0xCd is retired and nothing of it", "balances: the program"] {
            assert!(shown.contains(words), "{words} in {shown}");
        }
    }
}
