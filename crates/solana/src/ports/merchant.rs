//! Recipients other than the configured one: a merchant's own address.

use async_trait::async_trait;
use quittance_chain::{ChainFault, Payout, Payouts};
use quittance_protocol::PaymentPayload;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::pubkey::Pubkey;

use super::{SolanaPorts, fault};
use crate::ask::parse_account;
use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::inspect::Rules;
use crate::instructions as layout;
use crate::key;
use crate::payment::SolanaPayment;
use crate::payout::{Payout as Own, judge};
use crate::recipient;
use crate::rpc::RpcFailure;

/// Whether a merchant may be paid in this token at this address, as far as no node is asked.
pub fn check_pay_to(pay_to: &str, asset: &str) -> Result<(), SolanaError> {
    let (owner, mint) = (key::address("pay_to", pay_to)?, key::address("asset", asset)?);
    recipient::check(&owner, &mint, &owner, None)
}

impl SolanaChain {
    /// [`Self::check_local`] for a merchant's recipient. Its token account is created before
    /// anybody pays and charged to the merchant, so no payment creates it.
    pub fn check_local_to(
        &self,
        payload: &PaymentPayload,
        pay_to: &str,
    ) -> Result<SolanaPayment, SolanaError> {
        let owner = key::address("pay_to", pay_to)?;
        let payment = self.rules_to(owner).check(payload)?;
        if let Some(index) = payment.inspected().creation_instruction {
            return Err(SolanaError::TokenAccountCreation { index });
        }
        // The operator's own account is nobody's purse, whoever may move it.
        if payment.source().as_deref() == Some(self.token_account().as_str()) {
            return Err(SolanaError::FeePayerTransferring);
        }
        Ok(payment)
    }

    fn rules_to(&self, pay_to: Pubkey) -> Rules {
        let token_account = layout::token_account_of(&pay_to, &self.rules.mint, self.rules.program);
        Rules { pay_to, token_account, ..self.rules.clone() }
    }

    async fn payout_of(&self, pay_to: &str) -> Result<Payout, SolanaError> {
        const METHOD: RpcRequest = RpcRequest::GetMultipleAccounts;
        let owner = key::address("pay_to", pay_to)?;
        let account = layout::token_account_of(&owner, &self.rules.mint, self.rules.program);
        let addresses = [owner.to_string(), account.to_string()];
        let params = json!([addresses, {"encoding": "base64", "commitment": self.commitment.as_str()}]);
        let (_, answer) = self.read(METHOD, params).await?;
        let malformed = || RpcFailure::Malformed { method: METHOD.as_str() };
        let values = answer.get("value").and_then(Value::as_array).ok_or_else(malformed)?;
        let [of_owner, of_account] = values.as_slice() else { return Err(malformed().into()) };
        let standing = parse_account(of_owner, METHOD.as_str())?;
        let check = |wallet| recipient::check(&owner, &self.rules.mint, wallet, standing.as_ref()).err();
        let mut refusals = self.rules.wallets.iter().filter_map(|wallet| check(&wallet.key));
        if let Some(SolanaError::Recipient { problem, .. }) = refusals.next() {
            return Ok(Payout::Unusable(problem));
        }
        let there = parse_account(of_account, METHOD.as_str())?;
        // Lamports sent to the address do not make it a token account.
        let there = there.filter(|there| there.owner != layout::SYSTEM.to_string());
        let Some(there) = there else {
            self.refresh_rent().await?;
            let native = self.rent_lamports().saturating_add(crate::chain::LAMPORTS_PER_SIGNATURE);
            return Ok(Payout::Missing { account: account.to_string(), native });
        };
        let token = (&self.rules.mint, self.rules.program);
        Ok(match judge(Some(&there), token, &owner) {
            Own::Foreign | Own::Missing => {
                Payout::Unusable("has a token account whose authority is somebody else's")
            }
            Own::Frozen => Payout::Unusable("has a token account that is frozen"),
            Own::Refusing(why) => Payout::Unusable(why),
            Own::Ready => Payout::Ready,
        })
    }
}

#[async_trait]
impl Payouts for SolanaPorts {
    async fn payout(&self, pay_to: &str) -> Result<Payout, ChainFault> {
        self.chain.payout_of(pay_to).await.map_err(fault)
    }

    async fn create_payout(&self, pay_to: &str) -> Result<String, ChainFault> {
        let owner = key::address("pay_to", pay_to).map_err(fault)?;
        let state = self.chain.state().await.map_err(fault)?;
        let (wallet, _) = self.chain.richest(&state).ok_or_else(|| fault(SolanaError::BadKey))?;
        self.chain.create_account_of(&owner, &wallet).await.map_err(fault)
    }
}
