// A shop on `x402-express` in a process of its own, because a facilitator that is away ends it: `shop-v1.mjs
// FACILITATOR_URL NETWORK PAY_TO`. Says its address in a line, then `ran` for each run of its handler.
import * as v1 from '../lib/version-1.mjs';

const [facilitator, network, payTo] = process.argv.slice(2);
const { url, counted } = await v1.shopOnExpress(facilitator, network, payTo);
let runs = 0;
Object.defineProperty(counted, 'runs', { get: () => runs, set: value => { runs = value; console.log('ran'); } });
console.log(url);
