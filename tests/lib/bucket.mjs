// An S3-compatible service with one bucket, in memory: objects, ranges, listings and
// deletions, each request's signature checked by the secret key, as a service does.
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

const sha = bytes => createHash('sha256').update(bytes).digest('hex');
const mac = (key, text) => createHmac('sha256', key).update(text).digest();
const escaped = text => encodeURIComponent(text).replace(/[!'()*]/g, one => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

/** AWS Signature Version 4, as its documentation says. */
function isSigned({ id, secret }, request, url, body) {
  const said = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)$/.exec(request.headers.authorization ?? '');
  if (!said || said[1] !== id) return false;
  const [, , day, region, names, signature] = said;
  const hash = request.headers['x-amz-content-sha256'];
  if (hash !== 'UNSIGNED-PAYLOAD' && hash !== sha(body)) return false;
  const query = [...url.searchParams].map(([name, value]) => `${escaped(name)}=${escaped(value)}`).sort().join('&');
  const headers = names.split(';').map(name => `${name}:${(request.headers[name] ?? '').trim()}\n`).join('');
  const canonical = [request.method, url.pathname, query, headers, names, hash].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha(canonical)].join('\n');
  const key = [day, region, 's3', 'aws4_request'].reduce(mac, `AWS4${secret}`);
  return mac(key, text).toString('hex') === signature;
}

function answer(objects, bucket, { method, headers }, url, body) {
  const key = decodeURIComponent(url.pathname.slice(bucket.length + 2));
  if (method === 'PUT') {
    objects.set(key, body);
    return [200, '', { ETag: `"${sha(body).slice(0, 32)}"` }];
  }
  if (method === 'GET' && url.searchParams.get('list-type') === '2') {
    const prefix = url.searchParams.get('prefix') ?? '';
    const listed = [...objects.keys()].filter(name => name.startsWith(prefix)).sort().map(name =>
      `<Contents><Key>${name}</Key><Size>${objects.get(name).length}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"1"</ETag></Contents>`);
    return [200, `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${listed.join('')}</ListBucketResult>`];
  }
  if (method === 'POST' && url.searchParams.has('delete')) {
    const gone = [...body.toString().matchAll(/<Key>([^<]+)<\/Key>/g)].map(match => match[1]);
    for (const name of gone) objects.delete(name);
    return [200, `<?xml version="1.0"?><DeleteResult>${gone.map(name => `<Deleted><Key>${name}</Key></Deleted>`).join('')}</DeleteResult>`];
  }
  if (method === 'DELETE') {
    objects.delete(key);
    return [204, ''];
  }
  const object = objects.get(key);
  if (method !== 'GET' || !object) return [404, '<Error><Code>NoSuchKey</Code></Error>'];
  const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
  const more = { ETag: '"1"', 'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT' };
  if (!range) return [200, object, more];
  const [from, to] = [Number(range[1]), Math.min(Number(range[2]), object.length - 1)];
  return [206, object.subarray(from, to + 1), { ...more, 'Content-Range': `bytes ${from}-${to}/${object.length}` }];
}

/** `objects` is what it holds; `full` makes it refuse what is new; `refused` counts bad signatures. */
export async function bucketService(bucket, keys) {
  const service = { objects: new Map(), full: false, refused: 0 };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const [body, url] = [Buffer.concat(chunks), new URL(request.url, 'http://bucket')];
    const say = (status, text, headers = {}) => response.writeHead(status, { 'Content-Length': Buffer.byteLength(text), ...headers }).end(text);
    if (!isSigned(keys, request, url, body)) {
      service.refused += 1;
      return say(403, '<Error><Code>SignatureDoesNotMatch</Code></Error>');
    }
    if (!url.pathname.startsWith(`/${bucket}`)) return say(404, '<Error><Code>NoSuchBucket</Code></Error>');
    if (service.full && request.method === 'PUT') return say(403, '<Error><Code>QuotaExceeded</Code></Error>');
    return say(...answer(service.objects, bucket, request, url, body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  service.url = `http://127.0.0.1:${server.address().port}`;
  service.close = () => server.close();
  return service;
}
