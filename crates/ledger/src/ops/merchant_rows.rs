//! Merchants: their rows and keys.

use serde_json::json;

use crate::conn::{Row, Tx, amount, params, plain, unsigned};
use crate::error::LedgerError;
use crate::exposure::NATIVE_MAX;
use crate::ledger::{Ledger, Me, journal};
use crate::types::{
    FeePolicy, MERCHANT_KEYS_MAX, MERCHANT_NAME_MAX, MERCHANT_WITHOUT_KEY, MERCHANTS_MAX, Merchant,
    MerchantKey, MerchantLimits, MerchantNetwork, MerchantState,
};

impl Ledger {
    /// A merchant with its first key; `false`: the name was given before.
    pub async fn create_merchant(
        &self,
        merchant: &Merchant,
        key: &MerchantKey,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        check(merchant)?;
        let (me, merchant, key) = (self.me(), merchant.clone(), key.clone());
        self.write(now_ms, move |tx| Box::pin(create(tx, me, merchant, key, now_ms))).await
    }

    /// Other terms and limits for a merchant; `false`: there is no open one of this name.
    /// What was claimed is finished on the terms of its claim.
    pub async fn set_merchant(&self, merchant: &Merchant, now_ms: i64) -> Result<bool, LedgerError> {
        check(merchant)?;
        let (me, merchant) = (self.me(), merchant.clone());
        self.write(now_ms, move |tx| Box::pin(set(tx, me, merchant, now_ms))).await
    }

    /// A further key for an open merchant; its others end at `others_end_at_ms`, or before.
    /// `false`: there is no open merchant of this name.
    pub async fn add_merchant_key(
        &self,
        name: &str,
        key: &MerchantKey,
        others_end_at_ms: i64,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let (me, name, key) = (self.me(), plain(name, "name")?.to_owned(), key.clone());
        self.write(now_ms, move |tx| Box::pin(add_key(tx, me, name, key, others_end_at_ms, now_ms))).await
    }

    /// Closes a merchant for good; `false`: there is no open one of this name.
    pub async fn close_merchant(&self, name: &str, now_ms: i64) -> Result<bool, LedgerError> {
        let (me, name) = (self.me(), plain(name, "name")?.to_owned());
        self.write(now_ms, move |tx| {
            Box::pin(async move {
                let closed = tx
                    .execute(
                        "UPDATE merchants SET state = 'closed', changed_at_ms = $2 \
                         WHERE name = $1 AND state = 'open'",
                        params![name.as_str(), now_ms],
                    )
                    .await?;
                if closed == 1 {
                    journal(tx, &me, now_ms, None, "merchant_closed", json!({ "merchant": name })).await?;
                }
                Ok(closed == 1)
            })
        })
        .await
    }

    /// Every merchant by name, closed ones too, with the keys that live.
    pub async fn list_merchants(&self, now_ms: i64) -> Result<Vec<Merchant>, LedgerError> {
        self.read(move |tx| Box::pin(async move { list(tx, now_ms).await })).await
    }
}

/// What both databases can hold, and names that may be shown anywhere.
pub(crate) fn check(merchant: &Merchant) -> Result<(), LedgerError> {
    let out = |field| LedgerError::OutOfRange { field };
    let name = merchant.name.as_bytes();
    let first = name.first().is_some_and(u8::is_ascii_alphanumeric);
    let known = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    if !first || name.len() > MERCHANT_NAME_MAX || !name.iter().all(known) {
        return Err(out("merchant name: lower-case letters, digits and hyphens, 40 at most"));
    }
    if merchant.name == MERCHANT_WITHOUT_KEY || merchant.name == "other" {
        return Err(out("merchant name: `default` and `other` are taken"));
    }
    if merchant.in_flight_max == 0 {
        return Err(out("in_flight_max"));
    }
    for network in &merchant.networks {
        plain(&network.pay_to, "pay_to")?;
        plain(&network.asset, "asset")?;
        amount(network.limits.amount_day, "amount_day")?;
        amount(network.limits.cost_day, "cost_day")?;
        if network.limits.native_day > NATIVE_MAX {
            return Err(out("native_day"));
        }
    }
    Ok(())
}

async fn create(
    tx: &mut Tx,
    me: Me,
    merchant: Merchant,
    key: MerchantKey,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    let row = tx.one("SELECT COUNT(*) AS merchants FROM merchants", params![]).await?;
    let known = row.map_or(Ok(0), |row| row.unsigned("merchants"))?;
    if known >= MERCHANTS_MAX as u64 {
        return Err(LedgerError::OutOfRange { field: "merchants" });
    }
    let created = tx
        .execute(
            "INSERT INTO merchants (name, state, fee_policy, in_flight_max, accounts_max, created_at_ms, \
             changed_at_ms) VALUES ($1, 'open', $2, $3, $4, $5, $5) ON CONFLICT (name) DO NOTHING",
            params![
                merchant.name.as_str(),
                merchant.fee_policy.as_str(),
                i64::from(merchant.in_flight_max),
                i64::from(merchant.accounts_max),
                now_ms
            ],
        )
        .await?;
    if created == 0 {
        return Ok(false);
    }
    put_networks(tx, &merchant).await?;
    put_key(tx, &merchant.name, &key).await?;
    let detail = json!({"merchant": merchant.name, "key": key.id, "fee_policy": merchant.fee_policy});
    journal(tx, &me, now_ms, None, "merchant_created", detail).await?;
    Ok(true)
}

async fn set(tx: &mut Tx, me: Me, merchant: Merchant, now_ms: i64) -> Result<bool, LedgerError> {
    let changed = tx
        .execute(
            "UPDATE merchants SET fee_policy = $2, in_flight_max = $3, accounts_max = $4, changed_at_ms = $5 \
             WHERE name = $1 AND state = 'open'",
            params![
                merchant.name.as_str(),
                merchant.fee_policy.as_str(),
                i64::from(merchant.in_flight_max),
                i64::from(merchant.accounts_max),
                now_ms
            ],
        )
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    tx.later("DELETE FROM merchant_networks WHERE merchant = $1", params![merchant.name.as_str()]).await?;
    put_networks(tx, &merchant).await?;
    let networks: Vec<_> = merchant
        .networks
        .iter()
        .map(|one| json!({"network": one.network, "pay_to": one.pay_to, "asset": one.asset}))
        .collect();
    let detail = json!({"merchant": merchant.name, "fee_policy": merchant.fee_policy, "networks": networks});
    journal(tx, &me, now_ms, None, "merchant_changed", detail).await?;
    Ok(true)
}

async fn put_networks(tx: &mut Tx, merchant: &Merchant) -> Result<(), LedgerError> {
    for one in &merchant.networks {
        tx.later(
            "INSERT INTO merchant_networks (merchant, network, pay_to, asset, amount_day_max, cost_day_max, \
             native_day_max) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![
                merchant.name.as_str(),
                one.network.as_str(),
                one.pay_to.as_str(),
                one.asset.as_str(),
                amount(one.limits.amount_day, "amount_day")?,
                amount(one.limits.cost_day, "cost_day")?,
                unsigned(one.limits.native_day, "native_day")?,
            ],
        )
        .await?;
    }
    Ok(())
}

async fn put_key(tx: &mut Tx, merchant: &str, key: &MerchantKey) -> Result<(), LedgerError> {
    tx.later(
        "INSERT INTO merchant_keys (id, merchant, hash, created_at_ms, ends_at_ms) VALUES ($1, $2, $3, $4, $5)",
        params![plain(&key.id, "key")?, merchant, &key.hash, key.created_at_ms, key.ends_at_ms],
    )
    .await
}

async fn add_key(
    tx: &mut Tx,
    me: Me,
    name: String,
    key: MerchantKey,
    others_end_at_ms: i64,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    // Locks the row, so that two at once count each other's keys.
    let open = tx
        .execute(
            "UPDATE merchants SET changed_at_ms = $2 WHERE name = $1 AND state = 'open'",
            params![name.as_str(), now_ms],
        )
        .await?;
    if open == 0 {
        return Ok(false);
    }
    tx.later(
        "UPDATE merchant_keys SET ends_at_ms = $2 \
         WHERE merchant = $1 AND (ends_at_ms IS NULL OR ends_at_ms > $2)",
        params![name.as_str(), others_end_at_ms],
    )
    .await?;
    tx.later(
        "DELETE FROM merchant_keys WHERE merchant = $1 AND ends_at_ms <= $2",
        params![name.as_str(), now_ms],
    )
    .await?;
    let row = tx
        .one("SELECT COUNT(*) AS living FROM merchant_keys WHERE merchant = $1", params![name.as_str()])
        .await?;
    if row.map_or(Ok(0), |row| row.unsigned("living"))? >= MERCHANT_KEYS_MAX as u64 {
        return Err(LedgerError::OutOfRange { field: "living keys of one merchant" });
    }
    put_key(tx, &name, &key).await?;
    let detail = json!({"merchant": name, "key": key.id, "others_end_at_ms": others_end_at_ms});
    journal(tx, &me, now_ms, None, "merchant_key_added", detail).await?;
    Ok(true)
}

async fn list(tx: &mut Tx, now_ms: i64) -> Result<Vec<Merchant>, LedgerError> {
    let rows = tx.all("SELECT * FROM merchants ORDER BY name", params![]).await?;
    let mut found = rows.iter().map(merchant).collect::<Result<Vec<_>, _>>()?;
    let of = |name: String| found.iter().position(|merchant: &Merchant| merchant.name == name);
    let mut networks = Vec::new();
    for row in &tx.all("SELECT * FROM merchant_networks ORDER BY merchant, network", params![]).await? {
        networks.push((of(row.text("merchant")?), network(row)?));
    }
    let mut keys = Vec::new();
    for row in &tx
        .all(
            "SELECT * FROM merchant_keys WHERE ends_at_ms IS NULL OR ends_at_ms > $1 \
             ORDER BY merchant, created_at_ms, id",
            params![now_ms],
        )
        .await?
    {
        keys.push((of(row.text("merchant")?), key(row)?));
    }
    for (at, network) in networks {
        found
            .get_mut(at.unwrap_or(usize::MAX))
            .into_iter()
            .for_each(|one| one.networks.push(network.clone()));
    }
    for (at, key) in keys {
        found.get_mut(at.unwrap_or(usize::MAX)).into_iter().for_each(|one| one.keys.push(key.clone()));
    }
    Ok(found)
}

fn merchant(row: &Row) -> Result<Merchant, LedgerError> {
    let count = |field| u32::try_from(row.int(field)?).map_err(|_| LedgerError::Corrupt { field });
    Ok(Merchant {
        name: row.text("name")?,
        state: state(row)?,
        fee_policy: FeePolicy::from_stored(&row.text("fee_policy")?)
            .ok_or(LedgerError::Corrupt { field: "fee_policy" })?,
        in_flight_max: count("in_flight_max")?,
        accounts_max: count("accounts_max")?,
        created_at_ms: row.int("created_at_ms")?,
        changed_at_ms: row.int("changed_at_ms")?,
        networks: Vec::new(),
        keys: Vec::new(),
    })
}

pub(super) fn state(row: &Row) -> Result<MerchantState, LedgerError> {
    MerchantState::from_stored(&row.text("state")?).ok_or(LedgerError::Corrupt { field: "state" })
}

fn network(row: &Row) -> Result<MerchantNetwork, LedgerError> {
    Ok(MerchantNetwork {
        network: row.network()?,
        pay_to: row.text("pay_to")?,
        asset: row.text("asset")?,
        limits: limits(row)?,
    })
}

pub(super) fn limits(row: &Row) -> Result<MerchantLimits, LedgerError> {
    Ok(MerchantLimits {
        amount_day: row.amount("amount_day_max")?,
        cost_day: row.amount("cost_day_max")?,
        native_day: row.unsigned("native_day_max")?,
    })
}

fn key(row: &Row) -> Result<MerchantKey, LedgerError> {
    Ok(MerchantKey {
        id: row.text("id")?,
        hash: row.hash("hash")?,
        created_at_ms: row.int("created_at_ms")?,
        ends_at_ms: row.int_opt("ends_at_ms")?,
    })
}
