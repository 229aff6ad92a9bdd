const sale = JSON.parse(document.getElementById('sale').textContent);
const $ = id => document.getElementById(id);
const say = text => { $('said').textContent = text; };
const read = text => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text), c => c.charCodeAt(0))));
const write = value => base64(utf8(JSON.stringify(value)));
const typed = () => (sale.takesBody ? $('body').value : undefined);
const pause = seconds => new Promise(resolve => { setTimeout(resolve, seconds * 1000); });
const TRIES_MAX = 60;
const PAUSE_SECONDS_MAX = 30;

/** Asks this host, for this very path: a payment goes nowhere else, and follows no redirect. */
function ask(body, payment) {
  const headers = { Accept: '*/*' };
  if (sale.takesBody) headers['Content-Type'] = 'application/json';
  if (payment) headers['PAYMENT-SIGNATURE'] = payment;
  return fetch(location.pathname + location.search, { method: sale.method, headers, body, cache: 'no-store', redirect: 'manual' });
}

// A payment that was signed for a request is sent again, never signed anew, until it is known how it ended; also by
// the page that this one is reloaded to. Its body is kept with it: what is typed meanwhile is another request.
const place = `quittance ${sale.method} ${location.pathname}${location.search}`;
let open = attempt(() => JSON.parse(sessionStorage.getItem(place))) ?? undefined;
function attempt(action) {
  try { return action(); } catch { return undefined; }
}
function keep(payment, body) {
  open = { payment, body };
  attempt(() => sessionStorage.setItem(place, JSON.stringify(open)));
}
function drop() {
  open = undefined;
  attempt(() => sessionStorage.removeItem(place));
}

// ---- prices and buttons
const usdc = amount => `${String(BigInt(amount) / 1_000_000n)}.${String(BigInt(amount) % 1_000_000n).padStart(6, '0')} USDC`;
let shown = new Map(sale.offers.map(offer => [offer.network, offer]));

function priced(accepts) {
  const named = network => sale.names[network] ?? network;
  const amounts = accepts.filter(one => one.scheme === 'exact').map(one => ({ network: one.network, name: named(one.network), amount: one.amount, gas: one.extra?.breakdown?.gas_usdc }));
  shown = new Map(amounts.map(offer => [offer.network, offer]));
  const cell = (text, detail) => {
    const made = document.createElement('td');
    made.textContent = text;
    if (detail && detail !== text) made.append(' ', Object.assign(document.createElement('code'), { textContent: detail }));
    return made;
  };
  $('rows').replaceChildren(...amounts.map(({ network, name, amount, gas }) => {
    const row = document.createElement('tr');
    row.append(cell(name, network), cell(usdc(amount)), cell(gas ? `${gas} USDC` : ''));
    return row;
  }));
  buttons();
}

let busy = false;
function buttons() {
  const button = (text, action) => {
    const made = Object.assign(document.createElement('button'), { type: 'button', textContent: text, disabled: busy });
    made.addEventListener('click', () => guarded(action));
    return made;
  };
  const all = [];
  if (open) all.push(button('Send the payment that was signed before', insist));
  else {
    for (const { network, name, amount } of shown.values()) {
      for (const wallet of wallets.filter(one => one.pays(network))) {
        all.push(button(`Pay ${usdc(amount)} on ${name} with ${wallet.name}`, () => buy(wallet, network)));
      }
    }
  }
  if (sale.takesBody && !open) all.push(button('Show the price', look));
  if (sale.takesBody) $('body').readOnly = busy || Boolean(open);
  $('pay').replaceChildren(...all);
  $('none').hidden = wallets.length > 0 || Boolean(open);
}

async function guarded(action) {
  if (busy) return;
  busy = true;
  buttons();
  try {
    await action();
  } catch (error) {
    say(error?.message ?? String(error));
  } finally {
    busy = false;
    buttons();
  }
}

// ---- paying
async function unpaid(body) {
  const answer = await ask(body);
  const offer = answer.headers.get('PAYMENT-REQUIRED');
  if (answer.status === 402 && offer) return { required: read(offer), now: Math.floor((Date.parse(answer.headers.get('Date')) || Date.now()) / 1000) };
  say(`answered with ${answer.status}, and asks for no payment`);
  await show(answer);
  return undefined;
}

async function look() {
  const { required } = await unpaid(typed()) ?? {};
  if (!required) return;
  priced(required.accepts);
  say('');
}

async function buy(wallet, network) {
  // Taken once: what is signed is for what was priced, and that is what is sent.
  const body = typed();
  const { required, now } = await unpaid(body) ?? {};
  if (!required) return undefined;
  const offer = required.accepts.find(one => one.network === network && one.scheme === 'exact');
  const before = shown.get(network)?.amount;
  priced(required.accepts);
  if (!offer) return say('this network cannot be paid on right now; try another one, or again later');
  // Nobody signs more than what the button said.
  if (before === undefined || BigInt(offer.amount) > BigInt(before)) return say(`it costs ${usdc(offer.amount)} now: press the button again to pay that`);
  say(`${usdc(offer.amount)} on ${sale.names[network] ?? network}: confirm in your wallet`);
  const payload = await wallet.sign(offer, now);
  const { resource, extensions } = required;
  const payment = write({ x402Version: 2, resource, accepted: offer, payload, extensions });
  keep(payment, body);
  return insist();
}

const receiptOf = answer => attempt(() => read(answer.headers.get('PAYMENT-RESPONSE'))) ?? undefined;

function leavesItOpen(answer, receipt) {
  if ([408, 425, 429, 503].includes(answer.status)) return true;
  // What failed behind the payment is for the person to send again.
  return !answer.ok && answer.status < 500 && (receipt?.retry_action === 'retry_same_payment' || receipt?.errorReason === 'settlement_pending');
}

/** Sends the same payment until its outcome is known. */
async function insist() {
  const { payment, body } = open;
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    say(tries === 0 ? 'paying …' : 'not settled yet: the same payment is sent again …');
    const answer = await ask(body, payment).catch(() => undefined);
    const receipt = answer && receiptOf(answer);
    if (answer && !leavesItOpen(answer, receipt)) return outcome(answer, receipt);
    // Beside a receipt the body is the service's own, whatever it says.
    const { retry_action: advice, message } = (answer && !receipt && await answer.json().catch(() => undefined)) || {};
    if (advice && advice !== 'retry_same_payment') {
      drop();
      return say(`not paid: ${message}`);
    }
    await pause(Math.min(Number(answer?.headers.get('Retry-After')) || 2, PAUSE_SECONDS_MAX));
  }
  throw new Error('the outcome is not known yet; the button sends the same payment again');
}

async function outcome(answer, receipt) {
  const isPaid = receipt?.success === true;
  const paid = receipt?.transaction ? `; transaction ${receipt.transaction}` : '';
  // Its headers cannot be read: nobody knows whether a receipt was among them.
  if (answer.type === 'opaqueredirect') return say('answered with a redirect; see whether it was paid: the button sends the same payment again');
  // What failed behind the payment is run again for the same one.
  if (answer.status >= 500) {
    say(receipt ? `the service failed (${answer.status})${paid}; the payment is not used up: the button sends it again`
      : `answered with ${answer.status}, and nobody said what became of the payment: the button sends it again`);
    return show(answer);
  }
  // Whatever stands before the service may have said the rest.
  if (answer.ok || answer.status === 402 || receipt) drop();
  if (answer.status === 402 && !isPaid) {
    const { code, message } = await answer.json().catch(() => undefined) ?? {};
    return say(`the payment was refused (${code}): ${message}`);
  }
  if (answer.ok) say(`paid${paid}`);
  else if (isPaid) say(`paid${paid}; answered with ${answer.status}`);
  else say(`answered with ${answer.status}${open ? ' without a receipt; see whether it was paid: the button sends the same payment again' : paid}`);
  return show(answer);
}

// ---- the answer, as data: nothing of it becomes markup
const add = (name, facts) => {
  const made = Object.assign(document.createElement(name), facts);
  $('answer').append(made);
  return made;
};

const MEDIA = { iVBORw0KGgo: 'image/png', '/9j/': 'image/jpeg', R0lGOD: 'image/gif', UklGR: 'image/webp' };
const ENDINGS = { png: 'img', jpg: 'img', jpeg: 'img', gif: 'img', webp: 'img', avif: 'img', mp4: 'video', webm: 'video', mp3: 'audio', wav: 'audio' };

/** Pictures, films and links in a JSON answer: `[element, source]`. */
function media(value) {
  if (value && typeof value === 'object') return Object.values(value).flatMap(media);
  if (typeof value !== 'string') return [];
  const data = /^data:(image|video|audio)\/[\w.+-]+;base64,/.exec(value);
  if (data) return [[data[1] === 'image' ? 'img' : data[1], value]];
  const start = value.length > 64 && Object.keys(MEDIA).find(one => value.startsWith(one));
  if (start) return [['img', `data:${MEDIA[start]};base64,${value}`]];
  if (!/^https?:\/\/\S+$/.test(value)) return [];
  return [[ENDINGS[/\.(\w+)(?:[?#]|$)/.exec(value.split('/').at(-1))?.[1].toLowerCase()] ?? 'a', value]];
}

function placed([name, source]) {
  if (name === 'a') return add('p', {}).append(Object.assign(document.createElement('a'), { href: source, textContent: source, target: '_blank', rel: 'noopener noreferrer' }));
  const facts = name === 'img' ? { alt: 'what you bought' } : { controls: true };
  return add(name, { ...facts, referrerPolicy: 'no-referrer', src: source });
}

async function show(answer) {
  const kind = (answer.headers.get('Content-Type') ?? '').split(';')[0].trim().toLowerCase();
  $('answer').replaceChildren();
  $('answer').focus();
  if (/^(image|video|audio)\//.test(kind)) return placed([kind.startsWith('image/') ? 'img' : kind.split('/')[0], URL.createObjectURL(await answer.blob())]);
  if (!/^text\/|json|xml|^$/.test(kind)) {
    return add('p', {}).append(Object.assign(document.createElement('a'), { href: URL.createObjectURL(await answer.blob()), download: 'answer', textContent: `save the answer (${kind})` }));
  }
  const written = add('pre', { textContent: '' });
  const pieces = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await pieces?.read(); piece && !piece.done; piece = await pieces.read()) written.append(piece.value);
  try {
    const value = JSON.parse(written.textContent);
    for (const one of media(value)) placed(one);
    written.textContent = JSON.stringify(value, (_, one) => (typeof one === 'string' && one.length > 400 ? `${one.slice(0, 60)}…` : one), 2);
    $('answer').append(written);
  } catch { /* no JSON: as it is */ }
  return undefined;
}

if (open && sale.takesBody) $('body').value = open.body;
lookForWallets(buttons);
buttons();
if (open) say('a payment for this was signed before, and nobody knows yet how it ended');
if (sale.takesBody) $('body').addEventListener('change', () => guarded(look));
