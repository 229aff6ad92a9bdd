// The official MCP server, as its documentation sets up one without sessions. Its tools sell as x402's binding to MCP
// has it: requirements in a result that is an error, payments and receipts in `_meta`.
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

/** `tools` has `{ name, description, inputSchema, call }`; `call(arguments, _meta)` gives a result. */
export async function serve(tools) {
  const listed = tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  const answer = async (req, res) => {
    const server = new Server({ name: 'seller', version: '1.0.0' }, { capabilities: { tools: {} } });
    server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: listed }));
    server.setRequestHandler(CallToolRequestSchema, ({ params }) =>
      tools.find(({ name }) => name === params.name).call(params.arguments, params._meta ?? {}));
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    res.on('close', () => (transport.close(), server.close()));
    await server.connect(transport);
    await transport.handleRequest(req, res);
  };
  const http = createServer((req, res) => answer(req, res).catch(() => res.destroy()));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return { url: `http://127.0.0.1:${http.address().port}/mcp`, close: () => (http.closeAllConnections(), http.close()) };
}
