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

/** Opens a browser for `body`; its `page(url)` loads one. */
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
    return await body({ page: address => page(call, heard, address) });
  } finally {
    socket.close();
    await stack.stop(child, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function page(call, heard, address) {
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
  const loaded = new Promise(resolve => {
    heard.push(({ method, sessionId: of }) => { if (of === sessionId && method === 'Page.loadEventFired') resolve(); });
  });
  await ask('Page.navigate', { url: address });
  await loaded;
  const run = async expression => {
    const { result, exceptionDetails } = await ask('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  };
  return {
    complaints,
    run,
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
