//! A chain in memory and our side of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use litesvm::LiteSVM;
use quittance_protocol::{Network, Secret};
use quittance_solana::{
    Commitment, Rpc, RpcFailure, SolanaChain, SolanaConfig, SolanaError, TokenAccountPolicy, TokenProgram,
};
use serde_json::{Value, json};
use solana_address_lookup_table_interface::state::{AddressLookupTable, LookupTableMeta};
use solana_program_runtime::solana_sbpf::program::BuiltinFunctionDefinition;
use solana_sdk::account::Account;
use solana_sdk::hash::Hash;
use solana_sdk::program_option::COption;
use solana_sdk::program_pack::Pack;
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signer;
use spl_token_interface::state::{Account as TokenAccount, AccountState, Mint};

use super::actors::{self, Actors, LIGHTHOUSE, SYSTEM};
use super::guard::Guard;

/// What everybody's token account holds at the start.
pub(crate) const HELD: u64 = 5_000_000;
const SOL: u64 = 1_000_000_000;
const DECIMALS: u8 = 6;
/// The feature with which p-token takes the place of SPL Token.
const P_TOKEN: Pubkey = Pubkey::from_str_const("ptokFjwyJtrwCa9Kgo9xoDS59V4QccBGEaRFnRPnSdP");

/// Who is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaidTo {
    FeePayer,
    OtherWallet,
    Merchant,
}

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) paid_to: PaidTo,
    /// Whether the account that is paid exists.
    pub(crate) exists: bool,
    /// Whether the payer may move what is in accounts of ours, by somebody's mistake.
    pub(crate) delegates: bool,
    /// Whether the token program is the old one.
    pub(crate) is_old: bool,
    /// Whether the token is one of Token-2022.
    pub(crate) is_2022: bool,
    /// Whether its mint keeps a part of each transfer.
    pub(crate) has_fee: bool,
}

const fn setting(paid_to: PaidTo, exists: bool, delegates: bool, is_old: bool) -> Setting {
    Setting { paid_to, exists, delegates, is_old, is_2022: false, has_fee: false }
}

const fn of_2022(paid_to: PaidTo, exists: bool, delegates: bool) -> Setting {
    Setting { is_2022: true, ..setting(paid_to, exists, delegates, false) }
}

/// All that are tried.
pub(crate) const SETTINGS: [Setting; 8] = [
    setting(PaidTo::FeePayer, true, false, false),
    setting(PaidTo::Merchant, true, false, false),
    setting(PaidTo::OtherWallet, true, false, true),
    setting(PaidTo::FeePayer, false, false, false),
    setting(PaidTo::Merchant, false, false, true),
    setting(PaidTo::Merchant, true, true, false),
    setting(PaidTo::FeePayer, true, true, true),
    setting(PaidTo::OtherWallet, true, true, false),
];

/// The same in a token of Token-2022.
pub(crate) const SETTINGS_2022: [Setting; 4] = [
    of_2022(PaidTo::Merchant, true, false),
    of_2022(PaidTo::FeePayer, false, false),
    of_2022(PaidTo::OtherWallet, true, true),
    of_2022(PaidTo::Merchant, true, true),
];

/// In one that must not be sold for.
pub(crate) const WITH_FEE: Setting = Setting { has_fee: true, ..of_2022(PaidTo::Merchant, true, false) };

/// A chain, and our side of it.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) actors: Actors,
    pub(crate) pay_to: Pubkey,
    /// The account that is paid.
    pub(crate) paid: Pubkey,
    pub(crate) svm: LiteSVM,
    /// The same when the blockhash has ended.
    pub(crate) late: LiteSVM,
    pub(crate) chain: SolanaChain,
    pub(crate) rent: u64,
    pub(crate) blockhash: Hash,
    /// What is ours, as it stands.
    pub(crate) ours: BTreeMap<Pubkey, Option<Account>>,
}

impl World {
    pub(crate) fn new(setting: Setting) -> Self {
        Self::connected(setting).expect("it connects")
    }

    /// As far as the token is one that is sold for.
    pub(crate) fn connected(setting: Setting) -> Result<Self, SolanaError> {
        let actors = Actors::new(setting.is_2022);
        let pay_to = match setting.paid_to {
            PaidTo::FeePayer => actors.wallet.pubkey(),
            PaidTo::OtherWallet => actors.other.pubkey(),
            PaidTo::Merchant => actors.merchant.pubkey(),
        };
        let mut svm = runtime(setting.is_old).with_log_bytes_limit(Some(20_000));
        svm.warp_to_slot(100);
        svm.add_builtin(LIGHTHOUSE, Guard::register);
        let rent = svm.minimum_balance_for_rent_exemption(created_bytes(setting));
        Furnish { svm: &mut svm, actors: &actors, setting, pay_to }.all();
        let chain = connect(&svm, &actors, (setting, pay_to), rent)?;
        let paid = actors.account(&pay_to);
        let blockhash = svm.latest_blockhash();
        let mut late = svm.clone();
        late.expire_blockhash();
        let ours = ours(&actors, pay_to).into_iter().map(|at| (at, svm.get_account(&at))).collect();
        Ok(Self { setting, actors, pay_to, paid, svm, late, chain, rent, blockhash, ours })
    }
}

/// Of an account that was just created: of Token-2022, its owner does not change.
fn created_bytes(setting: Setting) -> usize {
    if setting.is_2022 { TokenAccount::LEN + 1 + 4 } else { TokenAccount::LEN }
}

/// With what mainnet has switched on; the old token program is what stood there before.
fn runtime(is_old: bool) -> LiteSVM {
    let mut features = LiteSVM::mainnet_feature_set();
    if is_old {
        features.deactivate(&P_TOKEN);
    }
    LiteSVM::default()
        .with_feature_set(features)
        .with_builtins()
        .with_lamports(1_000_000 * SOL)
        .with_sysvars()
        .with_feature_accounts()
        .with_default_programs()
        .with_sigverify(true)
        .with_blockhash_check(true)
}

/// What nobody may take from, or get power over.
fn ours(actors: &Actors, pay_to: Pubkey) -> Vec<Pubkey> {
    let (wallet, other) = (actors.wallet.pubkey(), actors.other.pubkey());
    let others_mint = actors::associated(&wallet, &actors.other_mint, &actors.program);
    vec![
        wallet,
        other,
        actors.account(&wallet),
        actors.account(&other),
        actors.account(&pay_to),
        others_mint,
        actors.foreign_account(&wallet),
        actors.wallets_spare,
        actors.wallets_nonce,
        actors.wallets_stake,
    ]
}

/// Puts accounts where they belong.
struct Furnish<'a> {
    svm: &'a mut LiteSVM,
    actors: &'a Actors,
    setting: Setting,
    pay_to: Pubkey,
}

impl Furnish<'_> {
    fn all(&mut self) {
        let actors = self.actors;
        let program = actors.program;
        for (mint, program) in [
            (actors.mint, program),
            (actors.other_mint, program),
            (actors.foreign_mint, actors.other_program),
        ] {
            self.mint(mint, program);
        }
        let (wallet, payer) = (actors.wallet.pubkey(), actors.payer.pubkey());
        for owner in [&actors.wallet, &actors.other, &actors.payer, &actors.third, &actors.merchant] {
            let owner = owner.pubkey();
            self.put(owner, 100 * SOL, &[], SYSTEM);
            if owner != self.pay_to || self.setting.exists {
                self.account(actors.account(&owner), owner, actors.mint, program);
            }
        }
        for owner in [wallet, payer] {
            let other = actors::associated(&owner, &actors.other_mint, &program);
            self.account(other, owner, actors.other_mint, program);
            self.account(actors.foreign_account(&owner), owner, actors.foreign_mint, actors.other_program);
        }
        self.account(actors.wallets_spare, wallet, actors.mint, program);
        self.account(actors.payers_spare, payer, actors.mint, program);
        self.account(actors.delegated, actors.third.pubkey(), actors.mint, program);
        for (nonce, stake, owner) in [
            (actors.wallets_nonce, actors.wallets_stake, wallet),
            (actors.payers_nonce, actors.payers_stake, payer),
        ] {
            self.put(nonce, SOL, &nonce_data(owner), SYSTEM);
            self.put(stake, 10 * SOL, &stake_data(owner), actors::STAKE);
        }
        self.table();
    }

    fn put(&mut self, at: Pubkey, lamports: u64, data: &[u8], owner: Pubkey) {
        let account = Account { lamports, data: data.to_vec(), owner, executable: false, rent_epoch: 0 };
        self.svm.set_account(at, account).expect("an account is put");
    }

    fn mint(&mut self, at: Pubkey, program: Pubkey) {
        let mint = Mint {
            mint_authority: COption::Some(self.actors.merchant.pubkey()),
            supply: 100 * HELD,
            decimals: DECIMALS,
            is_initialized: true,
            freeze_authority: COption::None,
        };
        let mut data = vec![0; Mint::LEN];
        mint.pack_into_slice(&mut data);
        if self.setting.has_fee && at == self.actors.mint {
            extend(&mut data, 1, 1, &fee());
        }
        let lamports = self.svm.minimum_balance_for_rent_exemption(data.len());
        self.put(at, lamports, &data, program);
    }

    fn account(&mut self, at: Pubkey, owner: Pubkey, mint: Pubkey, program: Pubkey) {
        let actors = self.actors;
        // Who has power over an account that is not the associated one has it without us, and
        // nothing in a message says whose it is.
        let is_ours = [actors.wallet.pubkey(), actors.other.pubkey(), self.pay_to].contains(&owner)
            && at != actors.wallets_spare;
        let is_open =
            at == actors.delegated || (is_ours && self.setting.delegates && program == actors.program);
        let delegate = if is_open { COption::Some(actors.payer.pubkey()) } else { COption::None };
        let account = TokenAccount {
            mint,
            owner,
            amount: HELD,
            delegate,
            state: AccountState::Initialized,
            is_native: COption::None,
            delegated_amount: if is_open { HELD } else { 0 },
            close_authority: COption::None,
        };
        let mut data = vec![0; TokenAccount::LEN];
        account.pack_into_slice(&mut data);
        if self.setting.has_fee && mint == self.actors.mint {
            extend(&mut data, 2, 2, &[0; 8]);
        }
        let lamports = self.svm.minimum_balance_for_rent_exemption(data.len());
        self.put(at, lamports, &data, program);
    }

    fn table(&mut self) {
        let meta = LookupTableMeta { last_extended_slot: 1, ..LookupTableMeta::default() };
        let table = AddressLookupTable { meta, addresses: self.actors.pool().into() };
        let data = table.serialize_for_tests().expect("a table is written");
        self.put(self.actors.table, SOL, &data, actors::LOOKUP);
    }
}

/// Of Token-2022: the kind of the account, and one extension.
fn extend(data: &mut Vec<u8>, kind: u8, extension: u16, value: &[u8]) {
    data.resize(TokenAccount::LEN, 0);
    data.push(kind);
    data.extend(extension.to_le_bytes());
    data.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    data.extend(value);
}

/// `TransferFeeConfig` that keeps half of each transfer.
fn fee() -> Vec<u8> {
    let of_epoch =
        [0_u64.to_le_bytes().to_vec(), u64::MAX.to_le_bytes().to_vec(), 5_000_u16.to_le_bytes().to_vec()];
    let of_epoch = of_epoch.concat();
    [vec![0; 72], of_epoch.clone(), of_epoch].concat()
}

/// `Versions::Current(State::Initialized)` of the system program.
fn nonce_data(authority: Pubkey) -> Vec<u8> {
    let mut data = vec![1, 0, 0, 0, 1, 0, 0, 0];
    data.extend(authority.to_bytes());
    data.extend(actors::nonce_value().to_bytes());
    data.extend(5_000_u64.to_le_bytes());
    data
}

/// `StakeStateV2::Initialized`.
fn stake_data(authority: Pubkey) -> Vec<u8> {
    let mut data = vec![1, 0, 0, 0];
    data.extend(2_282_880_u64.to_le_bytes());
    data.extend(authority.to_bytes());
    data.extend(authority.to_bytes());
    data.resize(200, 0);
    data
}

fn connect(
    svm: &LiteSVM,
    actors: &Actors,
    (setting, pay_to): (Setting, Pubkey),
    rent: u64,
) -> Result<SolanaChain, SolanaError> {
    let asked = [actors.mint, pay_to, actors.account(&pay_to), actors.wallet.pubkey(), actors.other.pubkey()];
    let shown = asked.into_iter().map(|at| (at.to_string(), show(svm.get_account(&at)))).collect();
    let config = SolanaConfig {
        network: Network::SOLANA.parse().expect("a network"),
        rpc_urls: Vec::new(),
        asset: actors.mint.to_string(),
        token_program: if setting.is_2022 { TokenProgram::Token2022 } else { TokenProgram::Token },
        permanent_delegate: false,
        asset_decimals: DECIMALS,
        pay_to: pay_to.to_string(),
        token_account: TokenAccountPolicy::InPayment,
        compute_unit_limit_max: 400_000,
        compute_unit_price_micro_lamports_max: 5_000_000,
        priority_fee_lamports_max: actors::PRIORITY_MAX,
        transaction_v1: true,
        rpc_timeout_ms: 1_000,
        head_age_max_ms: 6_000,
        commitment: Commitment::Confirmed,
        second_opinion_value: u64::MAX,
        late: false,
        retired: false,
    };
    let secret = |key: &solana_sdk::signature::Keypair| Secret::new(key.to_base58_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let node: Arc<dyn Rpc> = Arc::new(Node { shown, rent });
        let chain = SolanaChain::connect_with(config, &secret(&actors.wallet), vec![node]).await?;
        let chain = chain.with_wallets(&[secret(&actors.other)], &[]);
        let chain = chain.expect("both wallets are taken");
        chain.token_account_exists().await.expect("its account is read");
        Ok(chain)
    })
}

fn show(account: Option<Account>) -> Value {
    account.map_or(Value::Null, |account| {
        json!({
            "owner": account.owner.to_string(), "lamports": account.lamports,
            "executable": account.executable, "data": [STANDARD.encode(account.data), "base64"],
        })
    })
}

/// Answers what is asked at the start.
struct Node {
    shown: BTreeMap<String, Value>,
    rent: u64,
}

impl Node {
    fn at(&self, address: &Value) -> Value {
        let known = address.as_str().and_then(|address| self.shown.get(address));
        known.cloned().unwrap_or(Value::Null)
    }
}

#[async_trait::async_trait]
impl Rpc for Node {
    async fn call(&self, method: &'static str, params: Value) -> Result<Value, RpcFailure> {
        let first = params.get(0).unwrap_or(&Value::Null);
        let value = match method {
            "getMinimumBalanceForRentExemption" => return Ok(json!(self.rent)),
            "getAccountInfo" => self.at(first),
            "getMultipleAccounts" => {
                let asked = first.as_array().map(Vec::as_slice).unwrap_or_default();
                asked.iter().map(|one| self.at(one)).collect()
            }
            _ => return Err(RpcFailure::Timeout),
        };
        Ok(json!({"context": {"slot": 1}, "value": value}))
    }
}
