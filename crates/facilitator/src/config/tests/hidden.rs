//! No message repeats a value: a canary stands in each key in turn.

use super::*;

const CANARY: &str = "CaNaRy0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// Every key that holds text, as TOML around the canary.
const TEXTS: [(&str, &str); 34] = [
    ("server", "listen"),
    ("server", "public_url"),
    ("ledger", "url"),
    ("ledger", "instance"),
    ("networks.base", "network"),
    ("networks.base", "asset"),
    ("networks.base", "pay_to"),
    ("networks.base", "asset_symbol"),
    ("networks.base", "asset_name"),
    ("networks.base", "asset_version"),
    ("networks.base", "second_opinion_usdc"),
    ("networks.base", "token_account"),
    ("networks.base", "gas_coin"),
    ("networks.base", "gas_coin_rate"),
    ("rates", "fixed"),
    ("rates", "eth_usd"),
    ("rates", "sol_usd"),
    ("rates", "deviation_max"),
    ("quote", "markup"),
    ("quote", "base_fee_headroom"),
    ("quote", "fall_per_minute"),
    ("quote", "gas_floor_usdc"),
    ("quote", "gas_ceiling_usdc"),
    ("quote", "cost_budget_usdc"),
    ("quote", "uncollected_payer_day_usdc"),
    ("quote", "uncollected_network_day_usdc"),
    ("quote", "probe_network_day_usdc"),
    ("quote", "payer_history_part"),
    ("quote", "in_flight_payer_usdc"),
    ("quote", "in_flight_network_usdc"),
    ("quote", "spent_network_day_usdc"),
    ("gate", "catalogue"),
    ("rates", "sources"),
    ("receipts", "signing_key"),
];

fn quiet(text: &str) {
    let shown = match load(text) {
        Ok(config) => {
            let warnings: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
            let wallet = config.networks.values().map(|network| {
                read_secret(&network.wallets[0]).err().map(|error| format!("{error} {error:?}"))
            });
            format!("{warnings:?} {:?}", wallet.collect::<Vec<_>>())
        }
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains("59c6995e"), "{text}\n→ {shown}");
}

#[test]
fn a_secret_in_any_key_is_never_repeated() {
    for (section, key) in TEXTS {
        for value in
            [format!("\"{CANARY}\""), format!("[\"{CANARY}\"]"), format!("{{ {key} = \"{CANARY}\" }}")]
        {
            let text = without(MINIMAL, key);
            let header = format!("[{section}]");
            let text = if text.contains(&header) { text } else { format!("{text}\n{header}\n") };
            quiet(&text.replacen(&header, &format!("{header}\n{key} = {value}"), 1));
        }
    }
}

#[test]
fn a_secret_in_numbers_lists_names_and_broken_lines_is_never_repeated() {
    let numbers = load(MINIMAL).unwrap();
    for range in numbers.ranges() {
        let (section, key) = range.key.rsplit_once('.').unwrap();
        let header = format!("[{section}]");
        let text =
            if MINIMAL.contains(&header) { MINIMAL.to_owned() } else { format!("{MINIMAL}\n{header}\n") };
        quiet(&text.replacen(&header, &format!("{header}\n{key} = \"{CANARY}\""), 1));
    }
    let wallets = "wallets = [\"env:BASE_WALLET\"]";
    for (from, to) in [
        (wallets, format!("wallets = [\"{CANARY}\"]")),
        (wallets, format!("wallets = [\"env:{CANARY}\"]")),
        (wallets, format!("wallets = [\"file:{CANARY}\"]")),
        (wallets, format!("wallets = \"{CANARY}\"")),
        (wallets, format!("wallets = [env:{CANARY}]")),
        (wallets, format!("wallets = [\"env:BASE_WALLET\", \"{CANARY}\"]")),
        (wallets, format!("wallet = \"{CANARY}\"")),
        (wallets, format!("{wallets}\n{CANARY}")),
        (wallets, format!("{wallets}\n{CANARY} = 1")),
        (wallets, format!("{wallets}\n{CANARY} = 1\n{CANARY} = 1")),
        (wallets, format!("{wallets}\n\"{CANARY}")),
        (wallets, format!("{wallets}\n[{CANARY}]\nkey = 1")),
        (wallets, format!("{wallets}\nasset_name = {CANARY}")),
        ("rpc_urls = [", format!("rpc_urls = [\"https://user:{CANARY}@host/{CANARY}?key={CANARY}\", 7, ")),
        ("rpc_urls = [", format!("rpc_urls = [\"http://{CANARY}.example/{CANARY}\", ")),
        ("[rates]", format!("[[rates.sources]]\nkind = \"{CANARY}\"\n[rates]")),
        ("[rates]", format!("[rates]\n{CANARY} = \"1\"")),
    ] {
        quiet(&MINIMAL.replacen(from, &to, 1));
    }
}

#[test]
fn sources_do_not_repeat_what_they_hold() {
    let keys = ["kind", "pair", "name", "url", "address", "account", "pointer", "time_pointer", "value"];
    let base = without(MINIMAL, "eth_usd");
    for kind in ["chainlink", "pyth", "http", "static"] {
        for key in keys {
            let mut lines = vec![format!("kind = \"{kind}\""), "pair = \"eth_usd\"".to_owned()];
            lines.retain(|line| !line.starts_with(key));
            lines.push(format!("{key} = \"{CANARY}\""));
            quiet(&format!("{base}\n[[rates.sources]]\n{}\n", lines.join("\n")));
        }
    }
}

#[test]
fn debug_prints_no_urls_and_no_references() {
    let text = MINIMAL
        .replace("http://127.0.0.1:1", &format!("https://rpc.example/{CANARY}"))
        .replace("sqlite://books.sqlite", &format!("postgres://user:{CANARY}@host/books"))
        .replace("env:BASE_WALLET", &format!("file:/{CANARY}"));
    let shown = format!("{:?}", load(&text).unwrap());
    assert!(!shown.contains("59c6995e"), "{shown}");
}

/// `text` without the lines of a key.
fn without(text: &str, key: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(&format!("{key} =")));
    lines.collect::<Vec<_>>().join("\n")
}
