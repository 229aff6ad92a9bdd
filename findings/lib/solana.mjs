// A stand-in for a Solana node that answers what a paying client asks for: one
// blockhash for the while, and an initialised mint and token accounts.
import { createServer } from "node:http";

export const MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const BLOCKHASH = "EkSnNWid2cvwEVnVx9aBqawnmiCNiDgp3gUdkDPTKN1N";

/** Serves on a loopback port of the system's choosing: `{ url, close }`. */
export async function node() {
  const mint = Buffer.alloc(82);
  mint[44] = 6; // decimals
  mint[45] = 1; // initialised
  const account = (data) => ({ data: [data.toString("base64"), "base64"], executable: false, lamports: 2039280, owner: TOKEN, rentEpoch: 0, space: data.length });
  const answers = {
    getAccountInfo: ([address]) => account(address === MINT ? mint : Buffer.alloc(165)),
    getLatestBlockhash: () => ({ blockhash: BLOCKHASH, lastValidBlockHeight: 1000 }),
  };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const { id, method, params } = JSON.parse(body);
    const value = answers[method]?.(params);
    const outcome = value ? { result: { context: { slot: 100 }, value } } : { error: { code: -32601, message: "Method not found" } };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
