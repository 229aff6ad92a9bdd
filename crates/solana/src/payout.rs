//! Our token account: what stands at its address, and its creation.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::plain_words;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;

use crate::ask::{Account, parse_account};
use crate::chain::{LAMPORTS_PER_SIGNATURE, SolanaChain, TokenAccountPolicy};
use crate::commitment::Commitment;
use crate::error::SolanaError;
use crate::instructions as layout;
use crate::node::Node;
use crate::rpc::RpcFailure;
use crate::token::{self, MintFault, TokenProgram};

const CREATION_POLL_MS: u64 = 400;
const CREATION_POLLS_MAX: u32 = 150;

/// What stands at our token account's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payout {
    /// Our token account; payments arrive.
    Ready,
    /// Nothing.
    Missing,
    /// Our token account, frozen by the mint's authority: every payment fails.
    Frozen,
    /// Something that is not ours: its authority was handed to somebody else.
    Foreign,
    /// Our token account, which takes no plain transfer: why.
    Refusing(&'static str),
}

/// What decides whether a settlement can succeed and be paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SolanaState {
    /// What each fee payer holds, in the order of [`SolanaChain::wallets`].
    pub wallets_lamports: Vec<u64>,
    /// Where payments go.
    pub payout: Payout,
    /// What became wrong with the token.
    pub token: Option<MintFault>,
}

/// What an account is at the address where the owner's token account stands.
pub(crate) fn judge(
    account: Option<&Account>,
    (mint, program): (&Pubkey, TokenProgram),
    owner: &Pubkey,
) -> Payout {
    let Some(account) = account else { return Payout::Missing };
    // Lamports sent to the address do not make it a token account.
    if account.owner == layout::SYSTEM.to_string() {
        return Payout::Missing;
    }
    let held = layout::held(&account.data).filter(|_| account.owner == program.id().to_string());
    match held.filter(|held| held.mint == *mint && held.owner == *owner) {
        None => Payout::Foreign,
        Some(held) if held.is_frozen() => Payout::Frozen,
        Some(_) if program == TokenProgram::Token => Payout::Ready,
        Some(_) => token::refuses(&account.data).map_or(Payout::Ready, Payout::Refusing),
    }
}

impl SolanaChain {
    /// Reads all in one call, and remembers whether the token account is missing.
    pub async fn state(&self) -> Result<SolanaState, SolanaError> {
        const METHOD: RpcRequest = RpcRequest::GetMultipleAccounts;
        let own = std::iter::once(self.token_account()).chain(self.wallets());
        // A mint of SPL Token stays as it is.
        let mint = (self.rules.program == TokenProgram::Token2022).then(|| self.rules.mint.to_string());
        let addresses: Vec<String> = own.chain(mint.clone()).collect();
        let params = json!([addresses, {"encoding": "base64", "commitment": self.commitment.as_str()}]);
        let (_, answer) = self.read(METHOD, params).await?;
        let malformed = || RpcFailure::Malformed { method: METHOD.as_str() };
        let values = answer.get("value").and_then(Value::as_array).ok_or_else(malformed)?;
        let (values, mint) = match (mint, values.split_last()) {
            (Some(_), Some((mint, others))) => (others, Some(parse_account(mint, METHOD.as_str())?)),
            (Some(_), None) => return Err(malformed().into()),
            (None, _) => (values.as_slice(), None),
        };
        let [account, wallets @ ..] = values else { return Err(malformed().into()) };
        let lamports = |wallet: &Value| match wallet {
            Value::Null => Some(0),
            wallet => wallet.get("lamports").and_then(Value::as_u64),
        };
        let wallets_lamports: Option<Vec<u64>> = wallets.iter().map(lamports).collect();
        let is_whole = |all: &Vec<u64>| all.len() == self.wallets().len();
        let wallets_lamports = wallets_lamports.filter(is_whole).ok_or_else(malformed)?;
        let token = (&self.rules.mint, self.rules.program);
        let payout = judge(parse_account(account, METHOD.as_str())?.as_ref(), token, &self.rules.pay_to);
        self.token_account_missing.store(payout == Payout::Missing, Ordering::Release);
        let token = mint.and_then(|mint| self.fault_of(mint));
        Ok(SolanaState { wallets_lamports, payout, token })
    }

    /// What is wrong with the mint as it stands now.
    fn fault_of(&self, mint: Option<Account>) -> Option<MintFault> {
        let gone = MintFault {
            extension: "MintCloseAuthority",
            problem: "closed it, or made another token of it",
            is_pause: false,
        };
        let mint = mint.filter(|mint| mint.owner == self.rules.program.id().to_string());
        let state =
            mint.and_then(|mint| token::read_mint(self.rules.program, &mint.data, self.permanent_delegate));
        match state {
            Some(state) if state.decimals == self.rules.decimals => state.fault,
            _ => Some(gone),
        }
    }

    /// Looks whether our token account exists and is ours, and remembers it.
    pub async fn token_account_exists(&self) -> Result<bool, SolanaError> {
        match self.state().await?.payout {
            Payout::Missing => Ok(false),
            Payout::Foreign => Err(SolanaError::TokenAccountForeign { account: self.token_account() }),
            Payout::Ready | Payout::Frozen | Payout::Refusing(_) => Ok(true),
        }
    }

    /// What creating the token account costs us, in lamports.
    pub fn creation_lamports(&self) -> u64 {
        self.rent_lamports()
            .saturating_add(LAMPORTS_PER_SIGNATURE)
            .saturating_add(self.wallet_rent_lamports())
    }

    /// With [`TokenAccountPolicy::AtStart`]: creates our token account if it is
    /// missing and waits until that is confirmed. `true` when it was created.
    /// Idempotent on chain, so replicas may race. Costs the first wallet one signature and
    /// the rent.
    pub async fn ensure_token_account(&self) -> Result<bool, SolanaError> {
        self.create_token_account(&self.wallet()).await
    }

    /// The same at the cost of another wallet of ours.
    pub(crate) async fn create_token_account(&self, wallet: &str) -> Result<bool, SolanaError> {
        if self.token_account_exists().await? || self.policy == TokenAccountPolicy::InPayment {
            return Ok(false);
        }
        self.create_account_of(&self.rules.pay_to, wallet).await?;
        self.token_account_exists().await
    }

    /// The wallet that pays for what is new and holds most, and what that is.
    pub(crate) fn richest(&self, state: &SolanaState) -> Option<(String, u64)> {
        let paying = self.wallets().into_iter().zip(state.wallets_lamports.iter().copied());
        let paying: Vec<_> = paying.take(self.paying).collect();
        // The first of several.
        paying.into_iter().rev().max_by_key(|(_, lamports)| *lamports)
    }

    /// Sends the creation of an owner's token account at a wallet's cost, and waits until it is
    /// confirmed.
    pub(crate) async fn create_account_of(
        &self,
        owner: &Pubkey,
        wallet: &str,
    ) -> Result<String, SolanaError> {
        let wallet = self.keypair_of(wallet).ok_or(SolanaError::FeePayerMismatch)?;
        let fee_payer = wallet.pubkey();
        let (mint, program) = (&self.rules.mint, self.rules.program);
        let creation = layout::create_token_account_of(&fee_payer, owner, mint, program);
        let (endpoint, newest) = self.read_blockhash().await?;
        let message = layout::compile_v0(&fee_payer, &[creation], newest.hash)
            .ok_or(SolanaError::TokenAccountFailed { reason: "message too large".to_owned() })?;
        let signature = wallet.sign_message(&message);
        let mut raw = vec![1];
        raw.extend_from_slice(signature.as_ref());
        raw.extend_from_slice(&message);
        let params = json!([STANDARD.encode(&raw), {
            "encoding": "base64", "preflightCommitment": self.commitment.as_str(),
        }]);
        let endpoint = self.endpoint(endpoint)?;
        endpoint.ask::<Value>(RpcRequest::SendTransaction, params).await?;
        self.await_creation(endpoint, &signature.to_string()).await?;
        Ok(signature.to_string())
    }

    async fn await_creation(&self, endpoint: &Node, transaction: &str) -> Result<(), SolanaError> {
        for _ in 0..CREATION_POLLS_MAX {
            let asked = json!([[transaction]]);
            let answer: Value = endpoint.ask(RpcRequest::GetSignatureStatuses, asked).await?;
            let status = answer.pointer("/value/0").filter(|status| !status.is_null());
            if let Some(error) = status.and_then(|status| status.get("err")).filter(|error| !error.is_null())
            {
                return Err(SolanaError::TokenAccountFailed { reason: plain_words(&error.to_string()) });
            }
            let level = status.and_then(|status| status.get("confirmationStatus")).and_then(Value::as_str);
            let deep_enough = match self.commitment {
                Commitment::Confirmed => matches!(level, Some("confirmed" | "finalized")),
                Commitment::Finalized => level == Some("finalized"),
            };
            if deep_enough {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(CREATION_POLL_MS)).await;
        }
        Err(SolanaError::TokenAccountUnconfirmed { transaction: transaction.to_owned() })
    }
}

#[cfg(test)]
mod tests;
