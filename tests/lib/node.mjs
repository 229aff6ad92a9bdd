// A JSON-RPC node in front of a real one: something may happen before a call
// goes through.
import { createServer } from 'node:http';
import { once } from 'node:events';

/**
 * `before(call)` runs, and then the call goes on, or the one that it returns in its
 * place; a `{ result }` that it returns is the answer of a single call. Resolves to
 * `{ url, close }`.
 */
export async function nodeBefore(upstream, before) {
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', async () => {
      const asked = JSON.parse(Buffer.concat(chunks).toString());
      const calls = [];
      for (const call of [asked].flat()) calls.push((await before(call)) ?? call);
      if (!Array.isArray(asked) && calls[0].result !== undefined) {
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ jsonrpc: '2.0', id: asked.id, result: calls[0].result }));
        return;
      }
      const body = JSON.stringify(Array.isArray(asked) ? calls : calls[0]);
      try {
        const answer = await fetch(upstream, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
        response.writeHead(answer.status, { 'Content-Type': 'application/json' });
        response.end(await answer.text());
      } catch {
        // A node that is gone, as at the end of a test, answers nobody.
        response.destroy();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
