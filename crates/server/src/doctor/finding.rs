//! What a look can find: each kind has a code that stays, a weight, and what to do.

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Looked at, and well.
    Ok,
    /// Could not be looked at.
    NotChecked,
    /// It works, and an operator should know of it.
    Warning,
    /// The start ends, a network closes, or money is at risk.
    Error,
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not_checked",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $severity:ident $code:literal $todo:literal)*) => {
        /// Kinds of findings; `docs/operations.md` lists each one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($variant,)*
        }

        impl Code {
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name that stays.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// Unless the case at hand weighs less.
            pub(crate) fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// What to do.
            pub(crate) fn todo(self) -> &'static str {
                match self {
                    $(Self::$variant => $todo,)*
                }
            }
        }
    };
}

codes! {
    ConfigUnreadable Error "config_unreadable" "correct the file, or pass another with --config"
    ConfigUnknownKey Error "config_unknown_key" "correct its spelling after deploy/quittance.toml, or take it out"
    ConfigValue Error "config_value" "write what the message asks for; deploy/quittance.toml shows every key"
    SecretUnresolved Error "secret_unresolved" "set the variable or write the file, and let this user read it"
    SecretFileOpen Warning "secret_file_open" "chmod 600 the file, and change the key if others use this machine"
    PlainHttp Warning "plain_http" "use https, or a node on this machine"
    AddressWithoutChecksum Warning "address_without_checksum" "write it with the capital letters that wallets and explorers show"
    RateFixed Warning "rate_fixed" "add live [[rates.sources]], two at least"
    ListensEverywhere Warning "listens_everywhere" "listen on loopback, or let only a proxy of yours reach the port"
    WalletKeyUnusable Error "wallet_key_unusable" "write the key as the message says where the reference leads"
    WalletTwice Error "wallet_twice" "name each key once"
    NetworkUnreachable Error "network_unreachable" "put an endpoint that answers into rpc_urls"
    EndpointSilent Warning "endpoint_silent" "correct the URL or replace the endpoint"
    EndpointWrongChain Error "endpoint_wrong_chain" "correct rpc_urls or network"
    EndpointSingle Warning "endpoint_single" "add one of another provider: a lone node that lies or stops is believed and waited for"
    EndpointSlow Warning "endpoint_slow" "use a nearer endpoint, or raise rpc_timeout_ms"
    EndpointBehind Warning "endpoint_behind" "ask its provider, or replace it; until then it is asked last"
    ClockOff Error "clock_off" "let NTP set this machine's clock; if it is right, the chain or all endpoints stand still"
    MethodRefused Error "method_refused" "use a plan or an endpoint that has it"
    MethodMissing Warning "method_missing" "use a plan or an endpoint that has it"
    SendRefused Error "send_refused" "use an endpoint that takes transactions: nothing could be settled"
    SimulationRefused Error "simulation_refused" "use an endpoint that has it: no payment could be checked"
    ReceiptsRefused Error "receipts_refused" "use an endpoint that has it: no landing could be proven"
    LogsRefused Error "logs_refused" "use an endpoint that has it: landings by others would not be found"
    LogsNarrow Warning "logs_narrow" "use a plan that allows 500 blocks or more: searches take many calls"
    FinalizedRefused Error "finalized_refused" "use an endpoint that has it: what never lands could not end"
    HistoryRefused Error "history_refused" "use an endpoint that searches its history: what never lands could not end"
    HistoryForgotten Error "history_forgotten" "put an endpoint that keeps a history of transactions into rpc_urls"
    SignaturesRefused Error "signatures_refused" "use an endpoint that has it: unexplained transfers would not be seen"
    TokenMissing Error "token_missing" "correct asset or network"
    TokenDecimals Error "token_decimals" "write the token's own decimals into asset_decimals, if it is the right token"
    TokenCurrency Error "token_currency" "put a dollar token into asset"
    TokenDomain Error "token_domain" "write name() and version() of the contract into asset_name and asset_version"
    TokenExtension Error "token_extension" "sell in another token: what is paid in this one may not arrive, or not stay"
    TokenPaused Error "token_paused" "wait for its issuer, or sell in another token"
    PayToUnusable Error "pay_to_unusable" "put an address there whose key you hold"
    PayToIsWallet Warning "pay_to_is_wallet" "let customers pay another address: a leaked hot key would take the takings, too"
    PayToBlocked Error "pay_to_blocked" "ask the token's issuer, and put another address into pay_to"
    TokenAccountByPayers Warning "token_account_by_payers" "set token_account = \"at_start\": official clients never create it"
    TokenAccountFrozen Error "token_account_frozen" "ask the mint's authority, and put another address into pay_to"
    TokenAccountForeign Error "token_account_foreign" "put another address into pay_to"
    TokenAccountRefuses Error "token_account_refuses" "change that setting of the account, or put another address into pay_to"
    WalletEmpty Error "wallet_empty" "send the gas coin to the address"
    WalletLow Warning "wallet_low" "send the gas coin to the address"
    FeeCapBelowBaseFee Error "fee_cap_below_base_fee" "raise max_fee_per_gas_wei above the base fee: nothing is signed above it"
    SurchargeAboveCeiling Error "surcharge_above_ceiling" "raise quote.gas_ceiling_usdc or wait: the network is not offered above it"
    RateSourceSilent Warning "rate_source_silent" "correct or replace the source"
    RateSourceStale Warning "rate_source_stale" "replace the source, or raise its age_max_seconds if it speaks seldom"
    RateMissing Error "rate_missing" "mend the sources: networks without a rate are not offered"
    LedgerUnreachable Error "ledger_unreachable" "correct ledger.url, or start the database"
    LedgerFolder Error "ledger_folder" "make the folder, and let this user write to it"
    LedgerNewer Error "ledger_newer" "run the version that wrote it, or a newer one"
    LedgerChanged Error "ledger_changed" "restore the backup of before the change; see Upgrade"
    LedgerUpgrade Warning "ledger_upgrade" "make a backup: the next start changes the tables; see Upgrade"
    LedgerStandby Error "ledger_standby" "let ledger.url lead to the primary"
    LedgerUnsafe Error "ledger_unsafe" "turn it on in postgresql.conf: a power cut would lose payments that were answered"
    LedgerSession Error "ledger_session" "connect without the pooler, or let it pass startup options on"
    LedgerConnections Warning "ledger_connections" "raise max_connections: each process uses nine"
    LedgerClock Warning "ledger_clock" "let NTP set both clocks"
    DiskLow Error "disk_low" "make room: a full disk stops every payment"
    CatalogueUnreadable Error "catalogue_unreadable" "correct the file; quittance catalog check FILE says where"
    CatalogueMissing Error "catalogue_missing" "write gateway.upstreams.NAME.catalogue"
    CatalogueSellsNothing Warning "catalogue_sells_nothing" "list a paid endpoint"
    UpstreamUnreachable Warning "upstream_unreachable" "start the API, or correct its url"
    UpstreamBodyLimit Warning "upstream_body_limit" "let the API take bodies of gate.body_bytes_max, or lower that: customers would pay for a 413"
    RouteUnknown Warning "route_unknown" "correct the path in the catalogue: customers would pay for a 404"
    PublicUrlMissing Warning "public_url_missing" "write how customers reach the program: offers name it"
    PublicUrlPlain Warning "public_url_plain" "put a proxy with TLS in front and write https"
    PublicUrlPrivate Warning "public_url_private" "write the name that customers use"
    PublicUrlUnreachable Warning "public_url_unreachable" "mend the proxy or its name"
    ProxyHeaderLimit Warning "proxy_header_limit" "let the proxy take headers of 16 KiB: a payment would be refused there"
    ProxyUntrusted Warning "proxy_untrusted" "name the proxy in server.trusted_proxies: else all customers share one caller's limits"
    ListenTaken Error "listen_taken" "stop the other program, or choose another port"
    ListenUnavailable Error "listen_unavailable" "write an address of this machine, and a port that this user may take"
    WorkLate Warning "work_late" "quittance status shows the task; restart if it hangs"
    NetworkClosed Warning "network_closed" "quittance status and the alert of that reason say what to do"
    MetricsSilent Warning "metrics_silent" "let Prometheus scrape this address from this host, or set gateway.admin_listen"
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// A code, or the name of the check where it is well or was not made.
    pub(crate) code: &'static str,
    /// The key or thing.
    pub(crate) about: String,
    /// What was seen; never a secret.
    pub(crate) seen: String,
    /// What to do; empty where nothing is.
    pub(crate) todo: &'static str,
}

/// All that was looked at.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn found(&mut self, code: Code, about: impl Into<String>, seen: impl Into<String>) {
        self.found_as(code.severity(), code, about, seen);
    }

    /// Where something else makes up for it.
    pub(crate) fn found_as(
        &mut self,
        severity: Severity,
        code: Code,
        about: impl Into<String>,
        seen: impl Into<String>,
    ) {
        let (about, seen) = (about.into(), seen.into());
        self.findings.push(Finding { severity, code: code.as_str(), about, seen, todo: code.todo() });
    }

    pub(crate) fn well(&mut self, check: &'static str, about: impl Into<String>, seen: impl Into<String>) {
        let (about, seen) = (about.into(), seen.into());
        self.findings.push(Finding { severity: Severity::Ok, code: check, about, seen, todo: "" });
    }

    /// Says so instead of passing in silence.
    pub(crate) fn unchecked(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        why: impl Into<String>,
    ) {
        let (about, seen) = (about.into(), why.into());
        self.findings.push(Finding { severity: Severity::NotChecked, code: check, about, seen, todo: "" });
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(crate) fn document(&self) -> Value {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "severity": finding.severity.as_str(),
                    "code": finding.code,
                    "about": finding.about,
                    "seen": finding.seen,
                    "todo": finding.todo,
                })
            })
            .collect();
        json!({
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "not_checked": self.count(Severity::NotChecked),
            "findings": findings,
        })
    }

    /// The worst first.
    pub(crate) fn text(&self) -> String {
        let mut all: Vec<&Finding> = self.findings.iter().collect();
        all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let mut text = String::new();
        for finding in all {
            let Finding { severity, code, about, seen, todo } = finding;
            let about = if about.is_empty() { String::new() } else { format!(" {about}:") };
            text.push_str(&format!("{:<11} {code}{about} {seen}\n", severity.as_str()));
            if !todo.is_empty() {
                text.push_str(&format!("            → {todo}\n"));
            }
        }
        text.push_str(&format!(
            "{} errors, {} warnings, {} not checked\n",
            self.count(Severity::Error),
            self.count(Severity::Warning),
            self.count(Severity::NotChecked)
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/operations.md");

    #[test]
    fn the_page_of_operations_lists_every_code_with_what_to_do() {
        let (_, section) = PAGE.split_once("\n## Doctor\n").expect("a section on the doctor");
        let section = section.split("\n## ").next().unwrap();
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
        let made: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("| `{}` | {} | {} |", code.as_str(), code.severity().as_str(), code.todo()))
            .collect();
        for row in &made {
            assert!(rows.contains(&row.as_str()), "docs/operations.md lacks:\n{}", made.join("\n"));
        }
        assert_eq!(rows.len(), made.len(), "docs/operations.md has codes that nobody makes");
    }

    #[test]
    fn the_worst_comes_first_and_everything_is_counted() {
        let mut report = Report::default();
        report.well("keys", "a", "b");
        report.unchecked("metrics", "", "no program");
        report.found(Code::WalletLow, "networks.base.wallets[0]", "7 settlements");
        report.found(Code::DiskLow, "ledger.url", "3 MiB");
        let text = report.text();
        assert!(text.starts_with("error       disk_low ledger.url: 3 MiB\n"), "{text}");
        assert!(text.ends_with("1 errors, 1 warnings, 1 not checked\n"), "{text}");
        assert_eq!(report.document()["findings"][2]["code"], "wallet_low");
    }
}
