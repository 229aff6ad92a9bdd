// The base fee of the devnet's chain, which does not move by itself.
import { rpc } from './chain.mjs';

const hex = value => `0x${BigInt(value).toString(16)}`;
const HOLD_MS = 100;

/** The newest block's. */
export const fee = async net => BigInt((await rpc(net.base.rpc_url, 'eth_getBlockByNumber', 'latest', false)).baseFeePerGas);

/** Holds every next block's base fee; `let go()` ends that, and leaves the low one. */
export function holdFee(net, wei) {
  let held = true;
  let at = BigInt(wei);
  const set = value => rpc(net.base.rpc_url, 'anvil_setNextBlockBaseFeePerGas', hex(value));
  const done = (async () => {
    while (held) {
      await set(at);
      await new Promise(resolve => setTimeout(resolve, HOLD_MS));
    }
  })();
  return {
    ready: () => set(at),
    to: async value => { at = BigInt(value); await set(at); },
    go: async low => {
      held = false;
      await done;
      if (low !== undefined) await set(low);
    },
  };
}
