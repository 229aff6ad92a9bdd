//! A guard program that has turned against us, in the place of the real one: it calls whatever
//! its data says with whatever it is given. What stays harmless beside it needs no trust in
//! what a guard does. Data that starts otherwise does nothing, as an assertion that is met.

use solana_program_runtime::invoke_context::InvokeContext;
use solana_program_runtime::solana_sbpf::program::BuiltinFunctionDefinition;
use solana_sdk::instruction::{AccountMeta, Instruction, InstructionError};

/// First byte of data that is a call; assertions of the real program are below.
pub(crate) const CALL: u8 = 200;
const UNITS: u64 = 150;
const SIGNER: u8 = 1;
const WRITABLE: u8 = 2;

/// See the module.
pub(crate) struct Guard;

impl BuiltinFunctionDefinition<InvokeContext<'_, '_>> for Guard {
    type Error = Box<dyn std::error::Error>;

    fn rust(
        context: &mut InvokeContext<'_, '_>,
        _: u64,
        _: u64,
        _: u64,
        _: u64,
        _: u64,
    ) -> Result<u64, Self::Error> {
        context.compute_meter.consume_checked(UNITS)?;
        let asked = {
            let instruction = context.transaction_context.get_current_instruction_context()?;
            let mut accounts = Vec::new();
            for at in 0..instruction.get_number_of_instruction_accounts() {
                accounts.push(*instruction.get_key_of_instruction_account(at)?);
            }
            call_of(instruction.get_instruction_data(), &accounts)
        };
        match asked {
            None => Ok(0),
            Some(Err(error)) => Err(Box::new(error)),
            Some(Ok(call)) => match context.native_invoke_signed(call, &[]) {
                Ok(()) => Ok(0),
                Err(error) => Err(Box::new(error)),
            },
        }
    }
}

/// `CALL`, the program's place among the accounts, their number, place and use of each, and the data.
fn call_of(
    data: &[u8],
    given: &[solana_sdk::pubkey::Pubkey],
) -> Option<Result<Instruction, InstructionError>> {
    let [CALL, program, count, rest @ ..] = data else { return None };
    let read = || {
        let (uses, data) = rest.split_at_checked(usize::from(*count) * 2)?;
        let mut accounts = Vec::new();
        for pair in uses.chunks_exact(2) {
            let [at, used] = pair else { return None };
            let pubkey = *given.get(usize::from(*at))?;
            let (is_signer, is_writable) = (used & SIGNER != 0, used & WRITABLE != 0);
            accounts.push(AccountMeta { pubkey, is_signer, is_writable });
        }
        let program_id = *given.get(usize::from(*program))?;
        Some(Instruction { program_id, accounts, data: data.to_vec() })
    };
    Some(read().ok_or(InstructionError::InvalidInstructionData))
}

/// The guard that makes this call, and what it must be given for it.
pub(crate) fn calling(call: &Instruction) -> Instruction {
    let mut accounts = call.accounts.clone();
    let place = u8::try_from(accounts.len()).unwrap_or(u8::MAX);
    accounts.push(AccountMeta::new_readonly(call.program_id, false));
    let mut data = vec![CALL, place, place];
    for (at, meta) in call.accounts.iter().enumerate() {
        let used = if meta.is_signer { SIGNER } else { 0 } | if meta.is_writable { WRITABLE } else { 0 };
        data.extend([u8::try_from(at).unwrap_or(u8::MAX), used]);
    }
    data.extend(&call.data);
    Instruction { program_id: super::actors::LIGHTHOUSE, accounts, data }
}

/// Whether it is one.
pub(crate) fn is_call(instruction: &Instruction) -> bool {
    instruction.program_id == super::actors::LIGHTHOUSE && instruction.data.first() == Some(&CALL)
}
