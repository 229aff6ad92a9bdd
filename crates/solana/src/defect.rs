//! Checks that a fuzzer leaves out on purpose, one at a time: one that does not notice is blind
//! there. Without the feature `defects` each of them holds, and nothing can ask otherwise.

#[cfg(feature = "defects")]
use std::cell::Cell;

macro_rules! defects {
    ($($name:ident $text:literal $what:literal;)*) => {
        /// What is not checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(feature = "defects"), allow(unreachable_pub, reason = "public with the feature"))]
        pub enum Defect { $(#[doc = $what] $name,)* }

        #[cfg(feature = "defects")]
        impl Defect {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What is not checked.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

defects! {
    AnyScheme "any-scheme" "which scheme the payment says it is of";
    AnyNetwork "any-network" "which network the payment says it is for";
    AnyAsset "any-asset" "which token the payment says it is in";
    AnyPayTo "any-pay-to" "whom the payment says it pays";
    AnyMaximum "any-maximum" "that both amounts of the payment are one";
    AnyHint "any-hint" "that the fee payer of the offer is a wallet of ours";
    AnyPayer "any-payer" "that who signed is who the payment says pays";
    AnyMemo "any-memo" "that the memo is the one that the seller demanded";
    TrailingBytes "trailing-bytes" "that nothing stands behind a transaction";
    LongLengths "long-lengths" "that a length is in its shortest form";
    LookupTables "lookup-tables" "that all accounts stand in the message";
    DoubledKeys "doubled-keys" "that no account key stands twice";
    AnyHeader "any-header" "that the header describes keys and signatures";
    AnyIndex "any-index" "that instructions name accounts that exist";
    ThirdSigner "third-signer" "that nobody signs but payer and fee payer";
    AnyFeePayer "any-fee-payer" "that the fee payer is a wallet of ours";
    Unsigned "unsigned" "the payer's signature";
    FreePriority "free-priority" "what the priority fee comes to";
    DefaultFree "default-free" "what units cost that no instruction limits";
    FeeRoundedDown "fee-rounded-down" "that the runtime rounds a fee up";
    OurAuthority "our-authority" "that a wallet of ours is not who transfers";
    OurAccountPays "our-account-pays" "that what pays is not the account that is paid";
    WalletAccountPays "wallet-account-pays" "that what pays is no wallet's token account";
    OtherWalletPays "other-wallet-pays" "the same of wallets beside the fee payer";
    AnyMint "any-mint" "which token the transfer moves";
    MintUnexamined "mint-unexamined" "what the extensions of a mint do";
    AnyDestination "any-destination" "where the transfer goes";
    TooLittle "too-little" "that the transfer moves no less than the price";
    TooMuch "too-much" "that the transfer moves no more than the price";
    AnyInstruction "any-instruction" "that each instruction is on the list";
    SystemInstructions "system-instructions" "that no instruction is the system program's";
    TokenInstructions "token-instructions" "that the token program does one thing";
    GuardHolds "guard-holds" "what a guard is given beside the fee payer";
    GuardBesideSystem "guard-beside-system" "that no guard with the fee payer is near the system program";
    GuardBesideWritable "guard-beside-writable" "that a guard with the fee payer gets nothing that may be ours";
    CreationForAnybody "creation-for-anybody" "whose token account is created";
    CreationOfAnyMint "creation-of-any-mint" "for which token an account is created";
    CreationUncounted "creation-uncounted" "that creating an account costs its rent";
    RentUncharged "rent-uncharged" "that the offer charged the rent";
    MemoSignedByUs "memo-signed-by-us" "that a memo is signed by nobody but the payer";
    TwoMemos "two-memos" "that there is one memo";
    LongMemo "long-memo" "how long a memo is";
    SlotKept "slot-kept" "what stands in our signature's place";
    SignedUnread "signed-unread" "once more what is about to be signed";
    CostAllowed "cost-allowed" "that a signature costs no more than is allowed";
}

#[cfg(feature = "defects")]
thread_local! {
    static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
}

/// From now on this thread leaves the check out; `None`: none.
#[cfg(feature = "defects")]
pub fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

#[cfg(feature = "defects")]
pub(crate) fn is_planted(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

#[cfg(not(feature = "defects"))]
#[inline]
pub(crate) const fn is_planted(_defect: Defect) -> bool {
    false
}

/// Whether a check is passed: it is, or it was left out.
#[inline]
pub(crate) fn holds(passed: bool, defect: Defect) -> bool {
    passed || is_planted(defect)
}
