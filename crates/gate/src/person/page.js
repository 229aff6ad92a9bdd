'use strict';
const sale = JSON.parse(document.getElementById('sale').textContent);
const $ = id => document.getElementById(id);
const say = text => { $('said').textContent = text; };
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const read = text => JSON.parse(new TextDecoder().decode(bytes(text)));
const write = value => btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value))));
const body = () => (sale.takesBody ? $('body').value : undefined);
const pause = seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000));
// A payment that was signed for this request is sent again, never signed anew, until somebody says how it ended.
const place = () => `quittance ${sale.method} ${location.pathname}${location.search} ${body() ?? ''}`;

function ask(payment) {
  const headers = { Accept: '*/*' };
  if (sale.takesBody) headers['Content-Type'] = 'application/json';
  if (payment) headers['PAYMENT-SIGNATURE'] = payment;
  return fetch(location.pathname + location.search, { method: sale.method, headers, body: body(), cache: 'no-store' });
}

const usdc = offer => offer.extra?.breakdown?.total_usdc ?? `${offer.amount} units`;

async function sign(required) {
  const offer = required.accepts.find(one => one.network.startsWith('eip155:') && one.scheme === 'exact');
  if (!offer) throw new Error('no network of this wallet is open now; try again later');
  const wallet = window.ethereum;
  const [from] = await wallet.request({ method: 'eth_requestAccounts' });
  const chainId = Number(offer.network.split(':')[1]);
  say(`${usdc(offer)} USDC on ${offer.network}: confirm in your wallet`);
  try {
    await wallet.request({ method: 'wallet_switchEthereumChain', params: [{ chainId: `0x${chainId.toString(16)}` }] });
  } catch (error) {
    // Many wallets sign for any chain; those that do not say so when they are asked to.
    if (error.code === 4001) throw error;
  }
  const now = Math.floor(Date.now() / 1000);
  const nonce = [...crypto.getRandomValues(new Uint8Array(32))].map(n => n.toString(16).padStart(2, '0')).join('');
  const authorization = {
    from, to: offer.payTo, value: offer.amount, validAfter: String(now - 600),
    validBefore: String(now + offer.maxTimeoutSeconds), nonce: `0x${nonce}`,
  };
  const field = (name, type) => ({ name, type });
  const typed = {
    domain: { name: offer.extra.name, version: offer.extra.version, chainId, verifyingContract: offer.asset },
    primaryType: 'TransferWithAuthorization',
    types: {
      EIP712Domain: [field('name', 'string'), field('version', 'string'), field('chainId', 'uint256'), field('verifyingContract', 'address')],
      TransferWithAuthorization: [
        field('from', 'address'), field('to', 'address'), field('value', 'uint256'), field('validAfter', 'uint256'),
        field('validBefore', 'uint256'), field('nonce', 'bytes32'),
      ],
    },
    message: authorization,
  };
  const signature = await wallet.request({ method: 'eth_signTypedData_v4', params: [from, JSON.stringify(typed)] });
  const { resource, extensions } = required;
  return write({ x402Version: 2, resource, accepted: offer, payload: { signature, authorization }, extensions });
}

/** Sends the same payment until its outcome is known. */
async function insist(payment) {
  for (let times = 0; times < 60; times += 1) {
    let answer;
    try {
      answer = await ask(payment);
    } catch {
      say('no answer: sending the same payment again');
    }
    if (answer && answer.status < 500 && answer.status !== 429 && answer.status !== 408) return answer;
    if (answer) say(`not settled yet (${answer.status}): sending the same payment again`);
    await pause(Math.min(Number(answer?.headers.get('Retry-After')) || 2, 30));
  }
  throw new Error('the outcome is still unknown; the button sends the same payment again');
}

function pictures(value) {
  if (typeof value === 'string') return /^data:image\/[a-z+]+;base64,/.test(value) ? [value] : [];
  return value && typeof value === 'object' ? Object.values(value).flatMap(pictures) : [];
}

const add = (name, facts) => $('answer').append(Object.assign(document.createElement(name), facts));

async function show(answer) {
  const kind = (answer.headers.get('Content-Type') ?? '').split(';')[0];
  $('answer').replaceChildren();
  if (/^(image|video|audio)\//.test(kind)) {
    const src = URL.createObjectURL(await answer.blob());
    return kind.startsWith('image/') ? add('img', { src, alt: 'what you bought' }) : add(kind.split('/')[0], { src, controls: true });
  }
  const text = await answer.text();
  let shown = text;
  try {
    const value = JSON.parse(text);
    for (const src of pictures(value)) add('img', { src, alt: 'what you bought' });
    shown = JSON.stringify(value, (_, one) => (typeof one === 'string' && one.length > 400 ? `${one.slice(0, 60)}…` : one), 2);
  } catch { /* no JSON: as it is */ }
  return add('pre', { textContent: shown });
}

async function buy() {
  const kept = sessionStorage.getItem(place());
  let payment = kept;
  if (!payment) {
    const unpaid = await ask();
    if (unpaid.status !== 402) {
      say(`answered with ${unpaid.status}, without a payment`);
      return show(unpaid);
    }
    payment = await sign(read(unpaid.headers.get('PAYMENT-REQUIRED')));
    sessionStorage.setItem(place(), payment);
  }
  say('paying …');
  const answer = await insist(payment);
  sessionStorage.removeItem(place());
  const receipt = answer.headers.get('PAYMENT-RESPONSE');
  const { transaction } = receipt ? read(receipt) : {};
  if (answer.status === 402) {
    const { code, message } = await answer.json();
    return say(`the payment was refused (${code}): ${message}`);
  }
  say(answer.ok ? `paid; transaction ${transaction}` : `answered with ${answer.status}${transaction ? `; transaction ${transaction}` : ''}`);
  return show(answer);
}

$('pay').addEventListener('click', async () => {
  if (!window.ethereum) return say('no wallet found in this browser: install one, or use one of the other ways below');
  $('pay').disabled = true;
  try {
    await buy();
  } catch (error) {
    say(error.message ?? String(error));
  } finally {
    $('pay').disabled = false;
  }
});
