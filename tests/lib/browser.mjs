// A headless Chromium, driven over its own protocol: what a page really does in a browser.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import * as stack from './stack.mjs';

const WIDTH = 1280;
const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];

async function launch(folder) {
  const args = [
    '--headless=new', '--no-sandbox', '--disable-lcd-text', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--remote-debugging-port=0',
    `--user-data-dir=${folder}`, '--no-first-run', '--disable-background-networking', 'about:blank',
  ];
  for (const program of PROGRAMS) {
    const child = stack.start(program, args);
    const began = new Promise(resolve => {
      child.errors.on('line', line => {
        const found = /DevTools listening on (ws:\S+)/.exec(line);
        if (found) resolve(found[1]);
      });
    });
    const url = await Promise.race([began, once(child, 'error').then(() => null)]);
    if (url) return { child, url };
  }
  throw new Error('there is no chromium: scripts/setup --with-chromium');
}

/** Opens a browser for `body`; its `page(url, { wallet })` loads one, with `wallet(method, params)` behind it. */
export async function withBrowser(body) {
  const folder = mkdtempSync(join(tmpdir(), 'quittance-chromium-'));
  const { child, url } = await launch(folder);
  const { default: WebSocket } = await stack.clients('ws');
  const socket = new WebSocket(url);
  await once(socket, 'open');
  let last = 0;
  const waiting = new Map();
  const heard = [];
  socket.on('message', text => {
    const said = JSON.parse(text);
    if (said.id === undefined) return heard.forEach(listener => { listener(said); });
    const { resolve, reject } = waiting.get(said.id);
    waiting.delete(said.id);
    if (said.error) reject(new Error(said.error.message));
    else resolve(said.result);
  });
  const call = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { resolve, reject });
    socket.send(JSON.stringify({ id: last, method, params, sessionId }));
  });
  try {
    return await body({ page: (address, options) => page(call, heard, address, options) });
  } finally {
    socket.close();
    await stack.stop(child, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/**
 * A wallet of both chains that makes itself known as browser wallets do (EIP-6963, Wallet Standard);
 * what it is asked, and says, goes through `askWallet` to the test.
 */
const WALLET = name => `(() => {
  const asked = new Map();
  window.walletSays = (id, { value, error }) => {
    const { resolve, reject } = asked.get(id);
    if (error) reject(Object.assign(new Error(error.message), error));
    else resolve(value);
  };
  const ask = (method, params) => new Promise((resolve, reject) => {
    asked.set(asked.size + 1, { resolve, reject });
    window.askWallet(JSON.stringify({ id: asked.size, method, params }));
  });
  const detail = Object.freeze({
    info: { uuid: crypto.randomUUID(), name: ${JSON.stringify(name)}, icon: 'data:,', rdns: 'example.test' },
    provider: { request: ({ method, params }) => ask(method, params ?? []) },
  });
  const announce = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
  window.addEventListener('eip6963:requestProvider', announce);
  const features = ['solana:signTransaction'];
  const accounts = () => ask('connect', []).then(({ address, bytes }) => [{ address, publicKey: Uint8Array.from(bytes), chains: ['solana:mainnet'], features }]);
  const standard = {
    version: '1.0.0', name: 'Sun wallet', icon: 'data:,', chains: ['solana:mainnet'], accounts: [],
    features: {
      'standard:connect': { version: '1.0.0', connect: async () => ({ accounts: await accounts() }) },
      'solana:signTransaction': {
        version: '1.0.0', supportedTransactionVersions: ['legacy', 0],
        signTransaction: async ({ account, transaction, chain }) => [{ signedTransaction: Uint8Array.from(await ask('signTransaction', [account.address, [...transaction], chain])) }],
      },
    },
  };
  const register = api => api.register(standard);
  window.addEventListener('wallet-standard:app-ready', ({ detail: api }) => register(api));
  window.dispatchEvent(new CustomEvent('wallet-standard:register-wallet', { detail: register }));
})()`;

async function answered(wallet, { id, method, params }) {
  try {
    return [id, { value: await wallet(method, params) }];
  } catch (error) {
    return [id, { error: { message: error.message, code: error.code } }];
  }
}

async function page(call, heard, address, { wallet, name = 'Test <b>wallet</b>' } = {}) {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const ask = (method, params) => call(method, params, sessionId);
  const complaints = [];
  heard.push(({ method, params, sessionId: of }) => {
    if (of !== sessionId) return;
    if (method === 'Log.entryAdded') complaints.push(params.entry.text);
    if (method === 'Runtime.exceptionThrown') complaints.push(params.exceptionDetails.text);
  });
  await Promise.all(['Page', 'Runtime', 'Log', 'Network'].map(domain => ask(`${domain}.enable`)));
  await ask('Emulation.setDeviceMetricsOverride', { width: WIDTH, height: 900, deviceScaleFactor: 1, mobile: false });
  if (wallet) {
    heard.push(async ({ method, params, sessionId: of }) => {
      if (of !== sessionId || method !== 'Runtime.bindingCalled') return;
      const said = await answered(wallet, JSON.parse(params.payload));
      await ask('Runtime.evaluate', { expression: `window.walletSays(${said.map(one => JSON.stringify(one)).join()})` });
    });
    await ask('Runtime.addBinding', { name: 'askWallet' });
    await ask('Page.addScriptToEvaluateOnNewDocument', { source: WALLET(name) });
  }
  const load = async (method, params) => {
    const loaded = new Promise(resolve => {
      heard.push(({ method: what, sessionId: of }) => { if (of === sessionId && what === 'Page.loadEventFired') resolve(); });
    });
    await ask(method, params);
    await loaded;
  };
  await load('Page.navigate', { url: address });
  const run = async expression => {
    const { result, exceptionDetails } = await ask('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  };
  return {
    complaints,
    run,
    reload: () => load('Page.reload', {}),
    /** Keys as a person presses them. */
    type: text => ask('Input.insertText', { text }),
    async press(key) {
      for (const type of ['keyDown', 'keyUp']) await ask('Input.dispatchKeyEvent', { type, key, code: key, windowsVirtualKeyCode: key === 'Enter' ? 13 : 9, text: key === 'Enter' && type === 'keyDown' ? '\r' : undefined });
    },
    theme: value => ask('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] }),
    width: width => ask('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 }),
    /** Of the whole page, as a PNG file. */
    async shoot(path, most = 2_000) {
      const { cssContentSize: { width, height } } = await ask('Page.getLayoutMetrics');
      const clip = { x: 0, y: 0, width, height: Math.min(height, most), scale: 1 };
      const { data } = await ask('Page.captureScreenshot', { format: 'png', clip, captureBeyondViewport: true });
      writeFileSync(path, Buffer.from(data, 'base64'));
    },
  };
}
