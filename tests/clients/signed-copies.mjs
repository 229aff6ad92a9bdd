// Signs one payment with the official client and prints it without sending it,
// so that a test can send as many copies as it likes, when it likes.
//
//   node signed-copies.mjs --api URL --network base|solana [--what … | --path PATH --body JSON]
//     [--evm-key 0x…] [--svm-key BASE58 --solana-rpc URL] [--variants]
//
// Prints one line of JSON: { network, amount, pay_to, request: { method, url, headers, body },
// header, variants? }; `header` is the value of PAYMENT-SIGNATURE, `variants` are
// other spellings of the same payment: [{ name, header }].

import { x402HTTPClient } from "@x402/fetch";

import { client, options, post, reason, request } from "./common.mjs";
import { variants } from "./variants.mjs";

async function sign(values) {
  const buyer = new x402HTTPClient(await client(values));
  const { path, body } = request(values);
  const url = new URL(path, values.api);
  const answer = await fetch(url, post(body, values));
  const text = await answer.text();
  if (answer.status !== 402) throw new Error(`expected 402, got ${answer.status}: ${text.slice(0, 300)}`);
  const required = buyer.getPaymentRequiredResponse((name) => answer.headers.get(name));
  const payment = await buyer.createPaymentPayload(required);
  const header = buyer.encodePaymentSignatureHeader(payment)["PAYMENT-SIGNATURE"];
  const signed = {
    network: payment.accepted.network,
    amount: payment.accepted.amount,
    pay_to: payment.accepted.payTo,
    request: { method: "POST", url: url.href, headers: { "Content-Type": "application/json" }, body },
    header,
  };
  if (values.variants) signed.variants = variants(payment);
  return signed;
}

try {
  console.log(JSON.stringify(await sign(options({ variants: { type: "boolean", default: false } }))));
} catch (error) {
  console.error(`signed-copies: ${reason(error)}`);
  process.exitCode = 1;
}
