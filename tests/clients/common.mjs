// What the buyers share: the official packages set up as their documentation
// has it, and the requests they buy. No package is patched.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { createKeyPairSignerFromBytes, getBase58Encoder } from "@solana/kit";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { x402Client } from "@x402/fetch";
import { ExactSvmScheme } from "@x402/svm/exact/client";
import { privateKeyToAccount } from "viem/accounts";

const OPTIONS = {
  api: { type: "string" },
  network: { type: "string", default: "base" },
  what: { type: "string", default: "image" },
  model: { type: "string" },
  prompt: { type: "string" },
  path: { type: "string" },
  body: { type: "string" },
  "evm-key": { type: "string" },
  "svm-key": { type: "string" },
  "solana-rpc": { type: "string" },
  "spend-controls": { type: "string", default: "off" },
  "timeout-seconds": { type: "string", default: "120" },
};

/** Command line options, the shared ones and a program's own. */
export function options(own = {}) {
  const { values } = parseArgs({ options: { ...OPTIONS, ...own } });
  if (!values.api) throw new Error("--api URL is missing");
  return values;
}

/** Version of an installed package, read where Node found it. */
export function version(name) {
  let folder = dirname(fileURLToPath(import.meta.resolve(name)));
  for (;;) {
    try {
      const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      if (manifest.name === name) return manifest.version;
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no package.json of ${name}`);
    folder = parent;
  }
}

/**
 * An official client for the networks asked for: `base`, `solana` or `any`.
 * With `any` the client itself chooses among the offers.
 */
export async function client(values) {
  const wanted = values.network;
  if (!["base", "solana", "any"].includes(wanted)) throw new Error("--network is base, solana or any");
  const buyer = new x402Client();
  if (wanted !== "solana") {
    if (!values["evm-key"]) throw new Error("--evm-key 0x… is missing");
    buyer.register("eip155:*", new ExactEvmScheme(privateKeyToAccount(values["evm-key"])));
  }
  if (wanted !== "base") {
    if (!values["svm-key"] || !values["solana-rpc"]) throw new Error("--svm-key and --solana-rpc are missing");
    const key = getBase58Encoder().encode(values["svm-key"]);
    const signer = await createKeyPairSignerFromBytes(Uint8Array.from(key));
    buyer.register("solana:*", new ExactSvmScheme(signer, { rpcUrl: values["solana-rpc"] }));
  }
  // The client refuses more than one dollar and tokens it does not know unless
  // told otherwise; a local chain's token may be one of those.
  if (values["spend-controls"] === "off") buyer.setSpendControls(false);
  return buyer;
}

/** The request to buy: `{ path, body }`. */
export function request(values) {
  if (values.path) return { path: values.path, body: values.body ?? "{}" };
  const { what, model, prompt } = values;
  const made = (item) => ({
    path: "/v1/generation-requests?wait=true",
    body: JSON.stringify({ requests: [item] }),
  });
  switch (what) {
    case "image":
      return made({
        type: "image",
        model: model ?? "gen",
        prompt: prompt ?? "A precise studio image of a brushed steel cube",
        aspect_ratio: "1:1",
        output_format: "png",
      });
    case "video":
      return made({
        type: "video",
        model: model ?? "ltx-2-3",
        prompt: prompt ?? "A slow dolly shot of a glass sculpture on a table",
        duration_seconds: 5,
        aspect_ratio: "16:9",
      });
    case "chat":
    case "chat-stream": {
      const content = prompt ?? "Write one concise sentence about API integration.";
      const body = { model: model ?? "claude-haiku-4-5", messages: [{ role: "user", content }], max_tokens: 64 };
      if (what === "chat-stream") body.stream = true;
      return { path: "/v1/chat/completions", body: JSON.stringify(body) };
    }
    default:
      throw new Error("--what is image, video, chat or chat-stream");
  }
}

/** A POST of JSON as `fetch` takes it. */
export function post(body, values) {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
    signal: AbortSignal.timeout(Number(values["timeout-seconds"]) * 1000),
  };
}

/** `"0.013938"` of a token with six decimals as `"13938"`. */
export function atomic(usdc) {
  const match = /^(\d+)\.(\d{6})$/.exec(usdc ?? "");
  if (!match) throw new Error(`not an amount with six decimals: ${usdc}`);
  return BigInt(match[1] + match[2]).toString();
}

/** The first line of an error and of what caused it. */
export function reason(error) {
  const line = (e) => String(e?.message ?? e).split("\n")[0];
  return error?.cause ? `${line(error)}: ${line(error.cause)}` : line(error);
}
