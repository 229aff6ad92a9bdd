// Requests that are refused for what they are, whatever is paid for them:
// bodies, paths, bytes on the wire, credentials.
import { stranger } from './base-payment.mjs';
import { encode } from './http.mjs';

/** Rows of `[name, status, body, path?]`; `good` is a body that would be served. */
export function badBodies(good) {
  const item = changed => JSON.stringify({ requests: [{ type: 'image', model: 'gen', prompt: 'A mug', aspect_ratio: '1:1', ...changed }] });
  const chat = changed => JSON.stringify({ model: 'claude-haiku-4-5', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 8, ...changed });
  const CHAT = '/v1/chat/completions';
  return [
    ['no body', 400, ''], ['not JSON', 400, '{'], ['an array', 400, '[]'], ['null', 400, 'null'], ['text', 400, '"x"'],
    ['empty', 400, '{}'], ['no items', 400, '{"requests":[]}'],
    ['seventeen items', 400, JSON.stringify({ requests: Array(17).fill(JSON.parse(good).requests[0]) })],
    ['not UTF-8', 400, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ['more behind it', 400, `${good}{}`], ['nested too deeply', 400, `${'['.repeat(50_000)}`],
    ['the model twice', 400, good.replace('"model":"gen"', '"model":"gen","model":"gen"')],
    ['the model twice, one escaped', 400, good.replace('"model":"gen"', '"model":"gen","\\u006dodel":"gen"')],
    ['unknown model', 400, item({ model: 'nonesuch' })], ['model is a number', 400, item({ model: 7 })],
    ['unknown type', 400, item({ type: 'music' })], ['unknown aspect', 400, item({ aspect_ratio: '77:1' })],
    ['an unknown field', 400, item({ quality: 'free' })],
    ['unknown duration', 400, item({ type: 'video', model: 'ltx-2-3', duration_seconds: 5_000, aspect_ratio: '16:9' })],
    ['negative duration', 400, item({ type: 'video', model: 'ltx-2-3', duration_seconds: -5, aspect_ratio: '16:9' })],
    ['unknown wait', 400, good, '/v1/generation-requests?wait=maybe'],
    ['chat: unknown model', 400, chat({ model: 'nonesuch' }), CHAT], ['chat: no messages', 400, chat({ messages: [] }), CHAT],
    ['chat: negative tokens', 400, chat({ max_tokens: -1 }), CHAT], ['chat: text as tokens', 400, chat({ max_tokens: '8' }), CHAT],
    ['chat: too many choices', 400, chat({ n: 1_000_000 }), CHAT],
    ['too long', 413, `{"x":"${'x'.repeat(65_536)}"}`],
  ];
}

/** Rows of `[name, text]`, of which a proxy in front and we could each read another request. */
export function badWire(paid, good) {
  const head = (...lines) => `${['POST /v1/generation-requests HTTP/1.1', 'Host: x', ...lines].join('\r\n')}\r\n\r\n`;
  const type = 'Content-Type: application/json';
  const length = `Content-Length: ${good.length}`;
  const payment = `PAYMENT-SIGNATURE: ${paid}`;
  const chunked = `${good.length.toString(16)}\r\n${good}\r\n0\r\n\r\n`;
  return [
    ['length and chunks', head(type, length, 'Transfer-Encoding: chunked', payment) + chunked],
    ['two lengths', head(type, length, 'Content-Length: 1', payment) + good],
    ['a negative length', head(type, 'Content-Length: -1', payment) + good],
    ['a length above 64 bits', head(type, 'Content-Length: 99999999999999999999', payment) + good],
    ['an unknown transfer encoding', head(type, 'Transfer-Encoding: gzip', payment) + good],
    ['a chunk of no length', head(type, 'Transfer-Encoding: chunked', payment) + 'zz\r\n'],
    ['a folded header', head(type, length, `PAYMENT-SIGNATURE: ${paid.slice(0, 50)}\r\n ${paid.slice(50)}`) + good],
    ['a space before the colon', head(type, length, `PAYMENT-SIGNATURE : ${paid}`) + good],
    ['a null byte in the header', head(type, length, `PAYMENT-SIGNATURE: ${paid.slice(0, 50)}\0${paid.slice(50)}`) + good],
    ['a payment that starts with a line end', `\r\n\r\n${head(type, length, `PAYMENT-SIGNATURE:\r\n${paid}`)}${good}`],
    ['no HTTP', 'hello\r\n\r\n'], ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'.padEnd(600, '\x00')],
    ['HTTP/3.0', head(payment).replace('HTTP/1.1', 'HTTP/3.0')], ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ];
}

/** Paths that are no routes, most of them other spellings of one. */
export const BAD_PATHS = [
  '//v1/generation-requests', '/v1//generation-requests', '/v1/generation-requests/', '/v1/generation-requests//',
  '/./v1/generation-requests', '/v1/./generation-requests', '/v1/../v1/generation-requests', '/x/../v1/generation-requests',
  '/v1/%2e/generation-requests', '/v1/%2e%2e/v1/generation-requests', '/v1%2fgeneration-requests', '/v1%2Fgeneration-requests',
  '/v1%5cgeneration-requests', '/v1\\generation-requests', '/V1/generation-requests', '/v1/Generation-Requests',
  '/v1/generation-requests%00', '/v1/generation-requests%20', '/v1/generation-requests;x', '/v1/generation-requests.json',
  '/v1/generation%252drequests', '/v1/generation-requests%ff', '/v1/%67eneration-requests%2f', '/test/slow/', '//test/slow',
  '/unlisted', '/v1', '/', '/admin', '/v1/chat', '/test/nonesuch',
];

/** Rows of `[name, status, body]` for /verify and /settle. */
export function badApiBodies(payment, terms) {
  const good = { x402Version: 2, paymentPayload: payment, paymentRequirements: terms };
  const text = JSON.stringify(good);
  const without = name => { const { [name]: _, ...rest } = good; return JSON.stringify(rest); };
  const { accepted: _, ...bare } = payment;
  return [
    ['no body', 400, undefined], ['not JSON', 400, 'x'], ['cut off', 400, text.slice(0, -1)], ['more behind it', 400, `${text}{}`],
    ['an array', 400, `[${text}]`], ['null', 400, 'null'], ['empty', 400, '{}'], ['not UTF-8', 400, Buffer.from([0x22, 0xff, 0x22])],
    ['without version', 400, JSON.stringify({ ...good, x402Version: undefined, paymentPayload: { ...payment, x402Version: undefined } })],
    ['without payment', 400, without('paymentPayload')],
    ['without terms', 400, without('paymentRequirements')],
    ['version as text', 400, JSON.stringify({ ...good, x402Version: '2' })],
    ['payment as header text', 400, JSON.stringify({ ...good, paymentPayload: encode(payment) })],
    ['payment without accepted', 400, JSON.stringify({ ...good, paymentPayload: bare })],
    ['amount is a number', 400, JSON.stringify({ ...good, paymentRequirements: { ...terms, amount: 5 } })],
    ['timeout is negative', 400, JSON.stringify({ ...good, paymentRequirements: { ...terms, maxTimeoutSeconds: -1 } })],
    ['the version twice', 400, text.replace('{', '{"x402Version":2,')],
    ['the terms twice', 400, text.replace('{', `{"paymentRequirements":${JSON.stringify({ ...terms, payTo: stranger().address })},`)],
    ['the recipient twice', 400, text.replaceAll('"payTo":', '"payTo":"x","payTo":')],
    ['nested too deeply', 400, text.replace('{', `{"deep":${'['.repeat(200)}${']'.repeat(200)},`)],
    ['a bomb of brackets', 400, '['.repeat(60_000)],
    ['too long', 413, text.replace('{', `{"long":"${'x'.repeat(70_000)}",`)],
  ];
}

const bearer = text => ({ Authorization: `Bearer ${text}` });

/** Rows of `[name, headers]`; the one account has the key `known` and the secret `secret`. */
export const BAD_CREDENTIALS = [
  ['a junk key', { 'X-API-Key': 'junk' }], ['a junk pair', { 'X-API-Key': 'junk', 'X-API-Secret': 'junk' }],
  ['the right key alone', { 'X-API-Key': 'known' }], ['a wrong secret', { 'X-API-Key': 'known', 'X-API-Secret': 'Secret' }],
  ['an empty secret', { 'X-API-Key': 'known', 'X-API-Secret': '' }],
  ['two keys', { 'X-API-Key': ['known', 'known'], 'X-API-Secret': 'secret' }],
  ['a huge key', { 'X-API-Key': 'k'.repeat(10_000), 'X-API-Secret': 'secret' }],
  ['junk bearer', bearer('junk')], ['bearer with a wrong secret', bearer('known:x')], ['an empty bearer', bearer('')],
  ['basic', { Authorization: `Basic ${encode('known:secret')}` }], ['a cookie', { Cookie: 'session=known:secret' }],
  ['a payment identifier alone', { 'payment-identifier': 'known' }], ['a trusting proxy', { 'X-Forwarded-For': '127.0.0.1', 'X-Paid': 'true' }],
];
