// Payment headers that are none. `good` is a payment that would be taken: each
// row spoils its spelling only, so that nothing but the reader can refuse it.
import { encode } from './http.mjs';

const doubled = (text, name, value) => text.replace(`"${name}":`, `"${name}":${value},"${name}":`);

/** Rows of `{ name, header | headers, code }`. */
export function badHeaders(good) {
  const json = JSON.stringify(good);
  const header = encode(json);
  const change = fields => encode({ ...good, ...fields });
  const accepted = fields => change({ accepted: { ...good.accepted, ...fields } });
  const without = name => { const { [name]: _, ...rest } = good; return encode(rest); };
  const unpadded = () => {
    for (let filler = ''; ; filler += ' ') {
      const text = encode(json + filler);
      if (text.endsWith('=')) return text.replace(/=+$/, '');
    }
  };
  const urlSafe = () => {
    // "?>" in a field that nobody reads, so that the two alphabets differ.
    for (let filler = '?>?>'; ; filler += '~') {
      const text = encode({ ...good, trace: filler });
      if (/[+/]/.test(text)) return text.replaceAll('+', '-').replaceAll('/', '_');
    }
  };
  const deep = `${'['.repeat(100)}${']'.repeat(100)}`;
  const payload = 'invalid_payload';
  const version = 'invalid_x402_version';
  return [
    { name: 'empty', header: '', code: payload },
    { name: 'not base64', header: '%%% not base64 %%%', code: payload },
    { name: 'JSON without base64', header: json, code: payload },
    { name: 'unpadded base64', header: unpadded(), code: payload },
    { name: 'padding in the middle', header: `${encode('{')}${header}`, code: payload },
    { name: 'url-safe base64', header: urlSafe(), code: payload },
    { name: 'space inside', header: `${header.slice(0, 40)} ${header.slice(40)}`, code: payload },
    { name: 'tab inside', header: `${header.slice(0, 40)}\t${header.slice(40)}`, code: payload },
    { name: 'bytes above ASCII', header: `${header.slice(0, 40)}\u00e9${header.slice(41)}`, code: payload },
    { name: 'base64 twice', header: encode(header), code: payload },
    { name: 'a payment and something else in a list', header: `${header}, e30=`, code: payload },
    { name: 'not JSON', header: encode('payment please'), code: payload },
    { name: 'JSON cut off', header: encode(json.slice(0, -1)), code: payload },
    { name: 'JSON with more behind it', header: encode(`${json}{}`), code: payload },
    { name: 'byte order mark', header: encode(`\ufeff${json}`), code: payload },
    { name: 'not UTF-8', header: Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]).toString('base64'), code: payload },
    { name: 'null', header: encode('null'), code: payload },
    { name: 'an array', header: encode([good]), code: payload },
    { name: 'a number too large for JSON readers', header: encode('1e999'), code: payload },
    { name: 'nested too deeply', header: encode(json.replace('{', `{"deep":${deep},`)), code: payload },
    { name: 'the version twice', header: encode(doubled(json, 'x402Version', '2')), code: payload },
    { name: 'the amount twice', header: encode(doubled(json, 'amount', '"1"')), code: payload },
    { name: 'the payload twice', header: encode(doubled(json, 'payload', '{}')), code: payload },
    { name: 'the amount twice, one escaped', header: encode(json.replace('"amount":', '"\\u0061mount":"1","amount":')), code: payload },
    { name: 'longer than 16 KiB', header: change({ trace: 'x'.repeat(13_000) }), code: payload },
    { name: 'two different headers', headers: [header, 'e30='], code: payload },
    { name: 'two headers, one empty', headers: ['', header], code: payload },
    { name: 'without version', header: without('x402Version'), code: payload },
    { name: 'without accepted', header: without('accepted'), code: payload },
    { name: 'without payload', header: without('payload'), code: payload },
    { name: 'accepted is text', header: change({ accepted: 'exact' }), code: payload },
    { name: 'amount is a number', header: accepted({ amount: Number(good.accepted.amount) }), code: payload },
    { name: 'network is null', header: accepted({ network: null }), code: payload },
    { name: 'timeout is negative', header: accepted({ maxTimeoutSeconds: -1 }), code: payload },
    { name: 'version 1', header: change({ x402Version: 1 }), code: version },
    { name: 'version 3', header: change({ x402Version: 3 }), code: version },
    { name: 'version as text', header: change({ x402Version: '2' }), code: version },
    { name: 'version 2.5', header: encode(json.replace('"x402Version":2', '"x402Version":2.5')), code: version },
    { name: 'version null', header: change({ x402Version: null }), code: version },
    { name: 'version above 64 bits', header: encode(json.replace('"x402Version":2', '"x402Version":36893488147419103234')), code: version },
    { name: 'unknown network', header: accepted({ network: 'eip155:1' }), code: 'invalid_network' },
    { name: 'network of version 1', header: accepted({ network: 'base' }), code: 'invalid_network' },
    { name: 'network is no network', header: accepted({ network: '../../etc/passwd' }), code: 'invalid_network' },
  ];
}
