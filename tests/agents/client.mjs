// The official MCP client, as its documentation sets it up.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

/** Starts a server and connects to it. */
export async function connect(command, args, env) {
  const client = new Client({ name: 'quittance-test', version: '1.0.0' });
  await client.connect(new StdioClientTransport({ command, args, env, stderr: 'inherit' }));
  return client;
}
