//! Wallets, what settling costs, and the rates that price it.

use std::collections::BTreeMap;

use quittance_facilitator::chain::CostSnapshot;
use quittance_facilitator::config::{Config, NetworkConfig};
use quittance_facilitator::{NetworkExam, RateExam, WalletExam};
use quittance_quote::{Markup, Rate, native_to_usdc};

use super::finding::{Code, Report, Severity};
use crate::columns::coins;

/// One network's wallets and costs.
pub(super) fn examine(exam: &NetworkExam, config: &Config, rates: &[RateExam], report: &mut Report) {
    let Some(network) = config.networks.get(&exam.name) else { return };
    keys(exam, report);
    match &exam.costs {
        Ok(costs) => {
            wallets(exam, network, costs, report);
            fees(exam, network, costs, report);
            surcharge(exam, config, costs, rates, report);
        }
        Err(why) => report.unchecked("wallets and costs", format!("networks.{}", exam.name), why.clone()),
    }
}

fn keys(exam: &NetworkExam, report: &mut Report) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for wallet in &exam.wallets {
        match &wallet.address {
            Err(why) => report.found(Code::WalletKeyUnusable, wallet.key.clone(), why.clone()),
            Ok(address) => match seen.insert(address, &wallet.key) {
                Some(before) => {
                    let seen = format!("is the key of {address}, as {before} is");
                    report.found(Code::WalletTwice, wallet.key.clone(), seen);
                }
                None => report.well("keys", wallet.key.clone(), format!("is the key of {address}")),
            },
        }
    }
}

/// What each wallet holds, in settlements.
fn wallets(exam: &NetworkExam, network: &NetworkConfig, costs: &CostSnapshot, report: &mut Report) {
    let active = || exam.wallets.iter().filter(|wallet| !wallet.retired);
    let pays = |wallet: &WalletExam| wallet.native.is_some_and(|native| costs.suffices(native, 1, 0));
    let others_pay = active().any(pays);
    for wallet in active() {
        let (Some(native), Ok(address)) = (wallet.native, &wallet.address) else { continue };
        let held = coins(&native.to_string(), u64::from(exam.coin.decimals));
        let spendable = native.saturating_sub(costs.floor_native);
        let runway = spendable.checked_div(costs.bound_native).unwrap_or(0);
        let seen = format!(
            "{address} holds {held} {}, for {runway} settlements at the most each may cost",
            exam.coin.name
        );
        let about = wallet.key.clone();
        if runway == 0 {
            let severity = if others_pay { Severity::Warning } else { Severity::Error };
            report.found_as(severity, Code::WalletEmpty, about, seen);
        } else if !costs.suffices(native, network.wallet_low_settlements, 0) {
            report.found(Code::WalletLow, about, seen);
        } else {
            report.well("wallets", about, seen);
        }
    }
}

/// Nothing is signed above the cap (I8).
fn fees(exam: &NetworkExam, network: &NetworkConfig, costs: &CostSnapshot, report: &mut Report) {
    let base = costs.detail["base_fee_wei"].as_str().and_then(|text| text.parse::<u128>().ok());
    let (Some(base), Some(cap)) = (base, network.fee_cap_wei()) else { return };
    let about = format!("networks.{}.max_fee_per_gas_wei", exam.name);
    let seen = format!("the base fee is {base} wei, the cap {cap} wei");
    match base > u128::from(cap) {
        true => report.found(Code::FeeCapBelowBaseFee, about, seen),
        false => report.well("fee cap", about, seen),
    }
}

/// Above the ceiling the network is not offered.
fn surcharge(
    exam: &NetworkExam,
    config: &Config,
    costs: &CostSnapshot,
    rates: &[RateExam],
    report: &mut Report,
) {
    const KEY: &str = "quote.gas_ceiling_usdc";
    let rate = rates.iter().find(|rate| rate.pair == exam.coin.pair).and_then(|rate| rate.rate.as_ref().ok());
    let rate = rate.and_then(|text| text.parse::<Rate>().ok());
    let (Some(rate), Ok(markup)) = (rate, config.quote.markup.parse::<Markup>()) else {
        let about = format!("networks.{}", exam.name);
        return report.unchecked("surcharge", about, "no exchange rate, or no markup");
    };
    let surcharge = native_to_usdc(costs.cost_native, i64::from(exam.coin.decimals), &rate, &markup);
    let ceiling = config.quote.gas_ceiling();
    let (Ok(surcharge), Ok(ceiling)) = (surcharge, ceiling) else {
        return report.unchecked("surcharge", KEY, "it cannot be worked out");
    };
    let seen = format!(
        "a settlement on {} is {} USDC now, the ceiling {}",
        exam.name,
        surcharge.to_usdc(),
        ceiling.to_usdc()
    );
    match surcharge > ceiling {
        true => report.found(Code::SurchargeAboveCeiling, KEY, seen),
        false => report.well("surcharge", KEY, seen),
    }
}

/// The sources of each rate, and what comes of them.
pub(super) fn rates(rates: &[RateExam], report: &mut Report) {
    for rate in rates {
        for source in &rate.sources {
            let about = format!("rates {} {}", rate.pair, source.name);
            match (&source.said, source.fresh) {
                (Err(why), _) => report.found(Code::RateSourceSilent, about, why.clone()),
                (Ok(said), false) => {
                    report.found(
                        Code::RateSourceStale,
                        about,
                        format!("says {said}, and dates it too long ago"),
                    );
                }
                (Ok(said), true) => report.well("rates", about, format!("says {said}")),
            }
        }
        let about = format!("rates {}", rate.pair);
        match &rate.rate {
            Ok(dollars) => report.well("rates", about, format!("{dollars} USD")),
            Err(why) => report.found(Code::RateMissing, about, why.clone()),
        }
    }
}
