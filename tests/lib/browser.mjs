// Chromium without a window, driven over its own pipe: no package, no driver.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `program` is Chromium; resolves to `{ open, close }`. */
export function browser(program = process.env.QUITTANCE_CHROMIUM ?? 'chromium') {
  const profile = mkdtempSync(join(tmpdir(), 'quittance-chromium-'));
  const args = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank'];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const [, , , to, from] = child.stdio;
  const waiting = new Map();
  const listeners = [];
  let next = 1;
  let rest = '';
  from.setEncoding('utf8');
  from.on('data', text => {
    const messages = (rest + text).split('\0');
    rest = messages.pop();
    for (const message of messages.map(one => JSON.parse(one))) {
      const { resolve, reject } = waiting.get(message.id) ?? {};
      waiting.delete(message.id);
      if (message.error) reject?.(new Error(message.error.message));
      else resolve?.(message.result);
      for (const listen of listeners) listen(message);
    }
  });
  const ended = new Promise((_, reject) => child.once('exit', code => reject(new Error(`${program} ended with ${code}`))));
  ended.catch(() => {});
  const send = (method, params = {}, sessionId) => {
    const id = next++;
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return Promise.race([answer, ended]);
  };
  return {
    /** A page with `wallet(method, params)` behind `window.ethereum`; `undefined` where there is none. */
    async open(url, wallet) {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      const here = (method, params) => send(method, params, sessionId);
      const said = [];
      listeners.push(async message => {
        if (message.sessionId !== sessionId) return;
        if (message.method === 'Log.entryAdded') said.push(message.params.entry.text);
        if (message.method === 'Runtime.exceptionThrown') said.push(message.params.exceptionDetails.text);
        if (message.method !== 'Runtime.bindingCalled') return;
        const { id, method, params } = JSON.parse(message.params.payload);
        const value = await wallet(method, params ?? []);
        await here('Runtime.evaluate', { expression: `window.walletSays(${id}, ${JSON.stringify(value)})` });
      });
      await here('Page.enable');
      await here('Runtime.enable');
      await here('Log.enable');
      if (wallet) {
        await here('Runtime.addBinding', { name: 'askWallet' });
        await here('Page.addScriptToEvaluateOnNewDocument', { source: `
          const asked = new Map();
          window.walletSays = (id, value) => { asked.get(id)(value); asked.delete(id); };
          window.ethereum = { request: ({ method, params }) => new Promise(resolve => {
            asked.set(asked.size + 1, resolve);
            window.askWallet(JSON.stringify({ id: asked.size, method, params }));
          }) };` });
      }
      await here('Page.navigate', { url });
      return {
        said,
        evaluate: async expression => {
          const { result, exceptionDetails } = await here('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
          if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
          return result.value;
        },
        screenshot: async () => Buffer.from((await here('Page.captureScreenshot', { captureBeyondViewport: true })).data, 'base64'),
      };
    },
    close() {
      child.kill('SIGKILL');
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
