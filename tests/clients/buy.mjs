// Buys one thing over HTTP with the unmodified official client and prints one
// line of JSON about it. Exits 0 only when the thing was paid for, delivered,
// and is what was asked for.
//
//   node buy.mjs --api URL --network base|solana|any --what image|video|chat|chat-stream
//     [--evm-key 0x…] [--svm-key BASE58 --solana-rpc URL] [--model M] [--prompt P]
//     [--path PATH --body JSON] [--spend-controls default|off] [--timeout-seconds N]

import { decodePaymentResponseHeader, wrapFetchWithPayment } from "@x402/fetch";
import { decodePaymentRequiredHeader } from "@x402/core/http";

import { atomic, client, options, post, reason, request, version } from "./common.mjs";

async function buy(values) {
  const buyer = await client(values);
  let selected, sent;
  buyer.onAfterPaymentCreation(async (context) => {
    selected = context.selectedRequirements;
    sent = context.paymentPayload;
  });
  // The wrapper around the wrapped function only looks on.
  let required;
  const watched = async (input, init) => {
    const answer = await fetch(input, init);
    const header = answer.headers.get("PAYMENT-REQUIRED");
    if (answer.status === 402 && header) required ??= decodePaymentRequiredHeader(header);
    return answer;
  };

  const { path, body } = request(values);
  const begun = performance.now();
  const answer = await wrapFetchWithPayment(watched, buyer)(new URL(path, values.api), post(body, values));
  const text = await answer.text();
  const seconds = Number(((performance.now() - begun) / 1000).toFixed(3));

  const receipt = header(answer, "PAYMENT-RESPONSE", decodePaymentResponseHeader);
  const { service_usdc, gas_usdc, total_usdc } = selected?.extra?.breakdown ?? {};
  const bought = {
    client: `@x402/fetch ${version("@x402/fetch")}`,
    network: selected?.network,
    resource: `POST ${path.split("?")[0]}`,
    status: answer.status,
    amount: selected?.amount,
    service: service_usdc && atomic(service_usdc),
    gas: gas_usdc && atomic(gas_usdc),
    transaction: receipt?.transaction,
    payer: receipt?.payer,
    pay_to: selected?.payTo,
    request_id: undefined,
    seconds,
    offers: required?.accepts?.map(({ network, asset, amount, payTo }) => ({ network, asset, amount, pay_to: payTo })),
  };
  const problems = [];
  const check = (holds, problem) => holds || problems.push(problem);
  check(answer.status === 200, `status ${answer.status}: ${text.slice(0, 300)}`);
  check(required !== undefined, "nothing was asked for: no 402 with PAYMENT-REQUIRED came first");
  check(receipt?.success === true, `no receipt of a settled payment (${receipt?.errorReason ?? "no PAYMENT-RESPONSE"})`);
  check(Boolean(receipt?.transaction), "the receipt names no transaction");
  check(receipt?.network === selected?.network, "the receipt is for another network than the payment");
  check(total_usdc && atomic(total_usdc) === selected.amount, "amount and breakdown.total_usdc differ");
  check(
    service_usdc && gas_usdc && BigInt(bought.service) + BigInt(bought.gas) === BigInt(selected.amount),
    "service and gas do not add up to the amount",
  );
  check(sent === undefined || sent.accepted.amount === selected?.amount, "the payment is not for the offer");
  if (answer.status === 200) Object.assign(bought, delivered(text, values, problems));
  return { bought, problems };
}

function header(answer, name, decode) {
  const value = answer.headers.get(name);
  return value ? decode(value) : undefined;
}

/** What came, after a look at whether it is the thing that was bought. */
function delivered(text, values, problems) {
  if (values.path) return { answer: text.slice(0, 2000) };
  if (values.what === "chat-stream") return streamed(text, problems);
  const answer = JSON.parse(text);
  if (values.what === "chat") {
    const reply = answer.choices?.[0]?.message?.content;
    if (!reply) problems.push("the chat has no reply");
    return chat(answer.id, reply, answer.usage, problems);
  }
  const output = answer.outputs?.[0];
  const [, mime, base64] = /^data:([^;]+);base64,(.+)$/.exec(output?.url ?? "") ?? [];
  const bytes = Buffer.from(base64 ?? "", "base64");
  const [name, magic] = values.what === "image" ? ["image/png", "\x89PNG"] : ["image/gif", "GIF8"];
  if (answer.status !== "completed") problems.push(`the request is ${answer.status}`);
  if (mime !== name || bytes.toString("latin1", 0, 4) !== magic) problems.push(`the output is not ${name}`);
  return { request_id: answer.request_id, delivered: { media_type: mime, bytes: bytes.length } };
}

function streamed(text, problems) {
  const events = text.split("\n\n").filter(Boolean).map((event) => event.replace(/^data: /, ""));
  if (events.pop() !== "[DONE]") problems.push("the stream does not end with [DONE]");
  const chunks = events.map((event) => JSON.parse(event));
  const reply = chunks.map((chunk) => chunk.choices?.[0]?.delta?.content ?? "").join("");
  if (!reply) problems.push("the stream has no words");
  return chat(chunks[0]?.id, reply, chunks.at(-1)?.usage, problems);
}

function chat(id, reply, usage, problems) {
  if (usage?.imgnai?.billing_source !== "x402") problems.push("usage.imgnai does not say x402");
  return { request_id: id?.replace(/^chatcmpl-/, ""), delivered: { reply, usage: usage?.imgnai } };
}

try {
  const { bought, problems } = await buy(options());
  if (problems.length > 0) bought.problems = problems;
  console.log(JSON.stringify(bought));
  for (const problem of problems) console.error(`buy: ${problem}`);
  process.exitCode = problems.length > 0 ? 1 : 0;
} catch (error) {
  console.error(`buy: ${reason(error)}`);
  process.exitCode = 1;
}
