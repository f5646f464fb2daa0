import type { ServerResponse } from 'node:http';
import { Controller, Get, Res } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import {
  type ApiKey,
  ApiKeyAuth,
  ApiKeyRefusal,
  ApiKeyRefusalFilter,
  CurrentApiKey,
  type IssuedApiKey,
  Public,
  type Scope,
} from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { type RawResponse, rawGet } from './support/raw-http';

const MANY_SCOPES = Array.from({ length: 100 }, (_, i) => `orders:${i}:`.padEnd(255, 'x')) as Scope[];

@Controller()
@ApiKeyAuth()
class Routes {
  @Get('any')
  any() {
    return { ok: true };
  }

  @Get('owner')
  owner(@CurrentApiKey() { id, userId }: ApiKey) {
    return { id, userId };
  }

  @Get('write')
  @ApiKeyAuth('orders:write')
  write() {
    return { ok: true };
  }

  @Get('all')
  @ApiKeyAuth(...MANY_SCOPES)
  all() {
    return { ok: true };
  }

  @Get('by-hand')
  @Public()
  byHand() {
    throw new ApiKeyRefusal('INVALID_API_KEY');
  }

  @Get('begun')
  @Public()
  begun(@Res() response: { readonly raw?: ServerResponse } & ServerResponse) {
    const node = response.raw ?? response;
    node.write('begun');
    node.end();
    throw new ApiKeyRefusal('INVALID_API_KEY');
  }

  @Get('open')
  @Public()
  open() {
    return { ok: true };
  }
}

const MISSING = { status: 401, error: 'MISSING_API_KEY', challenge: 'Bearer realm="acme"' };
const INVALID = {
  status: 401,
  error: 'INVALID_API_KEY',
  challenge: 'Bearer realm="acme", error="invalid_token"',
};

describe.each(ADAPTERS)('over a raw socket, on %s,', (adapter) => {
  let database: string;
  let app: TestApp;
  let issued: IssuedApiKey;
  let key: string;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    const userId = await createUser(database);
    app = await bootApp({
      database,
      adapter,
      controllers: [Routes],
      providers: [{ provide: APP_FILTER, useClass: ApiKeyRefusalFilter }],
      options: { realm: 'acme', https: { trustProxy: ['127.0.0.0/8'] } },
    });
    issued = await app.keys.create({ userId, name: 'ci', scopes: ['orders:read'] });
    key = issued.key;
  });

  afterAll(() => app.close());

  const get = (path: string, ...lines: (string | Buffer)[]) => rawGet(app.port, path, lines);

  function expectRefused(response: RawResponse, { status, error, challenge }: typeof MISSING): void {
    expect(response.status).toBe(status);
    expect(response.headers['www-authenticate']).toBe(challenge);
    expect(response.headers['content-type']).toMatch(/^application\/json/);
    expect(response.headers.vary).toBe('Accept');
    expect(Object.keys(response.json)).toEqual(['statusCode', 'error', 'message']);
    expect(response.json).toMatchObject({ statusCode: status, error, message: expect.any(String) });
  }

  /** A key that was valid, changed in the table. */
  async function keyAfter(change: string): Promise<string> {
    const { key: other, apiKey } = await app.keys.create({ userId: issued.apiKey.userId, name: 'other' });
    await sql(database, `${change} WHERE id = ${apiKey.id}`);
    return other;
  }

  describe('to a caller that accepts problem details (RFC 9457)', () => {
    const PROBLEM = 'application/problem+json';

    it('a refusal is a problem document with the same status, challenge and code', async () => {
      const response = await get('/any', `Accept: ${PROBLEM}`);
      expect(response.status).toBe(401);
      expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(response.headers['www-authenticate']).toBe(MISSING.challenge);
      expect(response.json).toEqual({
        type: 'about:blank',
        title: 'Unauthorized',
        status: 401,
        detail: expect.stringContaining('Authorization: Bearer'),
        error: 'MISSING_API_KEY',
      });
    });

    it('a problem document lists the missing scopes and the ways to use HTTPS', async () => {
      const accept = `Accept: ${PROBLEM}`;
      const scope = await get('/write', `Authorization: Bearer ${key}`, accept);
      expect(scope.json).toMatchObject({ title: 'Forbidden', status: 403, missing: ['orders:write'] });
      const plaintext = await get('/any', `Authorization: Bearer ${key}`, 'X-Forwarded-Proto: http', accept);
      expect(plaintext.json).toMatchObject({
        error: 'HTTPS_REQUIRED',
        detail: expect.stringContaining('https.trustProxy'),
      });
    });

    it('an accepted request is answered as usual', async () => {
      const response = await get('/any', `Authorization: Bearer ${key}`, `Accept: ${PROBLEM}`);
      expect([response.status, response.json]).toEqual([200, { ok: true }]);
      expect(response.headers['content-type']).toMatch(/^application\/json/);
    });

    it.each([
      [`${PROBLEM}, application/json`, true],
      [`${PROBLEM}, */*`, true],
      ['Application/Problem+JSON', true],
      [`${PROBLEM};q=0.5, text/html`, true],
      [`application/json, ${PROBLEM};q=0.9`, false],
      [`${PROBLEM};q=0, */*`, false],
      ['application/json', false],
      ['*/*', false],
      ['text/html', false],
      ['', false],
      [`"${PROBLEM}`, false],
      [`${PROBLEM};q=nonsense;;=,,`, false],
    ])('Accept: %s: %s', async (accept, isProblem) => {
      const { headers, json } = await get('/any', `Accept: ${accept}`);
      expect(headers['content-type']?.startsWith(PROBLEM)).toBe(isProblem);
      expect(json.error).toBe('MISSING_API_KEY');
      expect('detail' in json).toBe(isProblem);
    });
  });

  describe('the error table:', () => {
    it('no key is MISSING_API_KEY, with a bare challenge', async () => {
      expectRefused(await get('/any'), MISSING);
    });

    it('malformed, unknown, expired, disabled and revoked keys and wrong checksums get the same answer, byte for byte', async () => {
      const wrongChecksum = key.slice(0, -1) + (key.endsWith('a') ? 'b' : 'a');
      const presented = [
        'not-a-key',
        wrongChecksum,
        await keyAfter('DELETE FROM api_keys'),
        await keyAfter(`UPDATE api_keys SET expires_at = now() - interval '1 second'`),
        await keyAfter('UPDATE api_keys SET revoked_at = now(), expires_at = now()'),
        await keyAfter('UPDATE api_keys SET disabled_at = now(), expires_at = now()'),
      ];
      const responses: RawResponse[] = [];
      for (const one of presented) responses.push(await get('/any', `Authorization: Bearer ${one}`));
      for (const response of responses) expectRefused(response, INVALID);
      expect(new Set(responses.map(({ body }) => body)).size).toBe(1);
      expect(new Set(responses.map(({ headers }) => JSON.stringify({ ...headers, date: '' }))).size).toBe(1);
    });

    it('a missing scope is INSUFFICIENT_SCOPE, with the required scopes in the challenge and the missing ones in the body', async () => {
      const response = await get('/write', `Authorization: Bearer ${key}`);
      expect(response.status).toBe(403);
      expect(response.headers['www-authenticate']).toBe(
        'Bearer realm="acme", error="insufficient_scope", scope="orders:write"',
      );
      expect(response.json).toMatchObject({
        statusCode: 403,
        error: 'INSUFFICIENT_SCOPE',
        missing: ['orders:write'],
      });
    });

    it('scopes that are too long for a header are listed only in the body', async () => {
      const response = await get('/all', `Authorization: Bearer ${key}`);
      expect(response.status).toBe(403);
      expect(response.headers['www-authenticate']).toBe('Bearer realm="acme", error="insufficient_scope"');
      expect(response.json.missing).toEqual(MANY_SCOPES);
    });

    it('plaintext behind a proxy is HTTPS_REQUIRED, with the ways to use HTTPS and without a challenge', async () => {
      const response = await get('/any', `Authorization: Bearer ${key}`, 'X-Forwarded-Proto: http');
      expect(response.status).toBe(403);
      expect(response.json).toMatchObject({ statusCode: 403, error: 'HTTPS_REQUIRED' });
      expect(response.json.message).toMatch(/https:\/\/.*https\.trustProxy.*https\.allowInsecureHttpFrom/);
      expect(response.headers['www-authenticate']).toBeUndefined();
    });

    it('a table that cannot be read is KEY_STORE_UNAVAILABLE, with Retry-After, and recovers', async () => {
      const { key: cold } = await app.keys.create({ userId: issued.apiKey.userId, name: 'not seen yet' });
      await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
      const response = await get('/any', `Authorization: Bearer ${cold}`);
      await sql(database, 'ALTER TABLE elsewhere RENAME TO api_keys');
      expect(response.status).toBe(503);
      expect(response.json).toMatchObject({ statusCode: 503, error: 'KEY_STORE_UNAVAILABLE' });
      expect(Number(response.headers['retry-after'])).toBeGreaterThan(0);
      expect((await get('/any', `Authorization: Bearer ${cold}`)).status).toBe(200);
    });
  });

  describe('accepted is', () => {
    it.each([
      ['the Bearer token', (k: string) => [`Authorization: Bearer ${k}`]],
      ['the scheme in lower case', (k: string) => [`Authorization: bearer ${k}`]],
      ['the scheme in upper case', (k: string) => [`AUTHORIZATION: BEARER ${k}`]],
      ['several spaces', (k: string) => [`Authorization:   Bearer    ${k}  `]],
      ['X-API-Key', (k: string) => [`X-API-Key: ${k}`]],
      ['x-api-key', (k: string) => [`x-api-key:${k}`]],
      ['X-API-Key beside an empty Authorization', (k: string) => ['Authorization:', `X-API-Key: ${k}`]],
      ['X-API-Key beside Bearer alone', (k: string) => ['Authorization: Bearer', `X-API-Key: ${k}`]],
      ['X-API-Key beside another scheme', (k: string) => ['Authorization: Basic eDp5', `X-API-Key: ${k}`]],
      [
        'the Bearer token beside an invalid X-API-Key',
        (k: string) => [`Authorization: Bearer ${k}`, 'X-API-Key: x'],
      ],
    ])('%s', async (_, lines) => {
      expect((await get('/any', ...lines(key))).status).toBe(200);
    });
  });

  describe('two different valid keys', () => {
    let other: IssuedApiKey;

    beforeAll(async () => {
      other = await app.keys.create({ userId: await createUser(database), name: 'other' });
    });

    const bearer = ({ key: sent }: IssuedApiKey) => `Authorization: Bearer ${sent}`;
    const header = ({ key: sent }: IssuedApiKey) => `X-API-Key: ${sent}`;

    it('the owner of the Bearer credential is used if X-API-Key has another valid key', async () => {
      for (const [first, second] of [
        [issued, other],
        [other, issued],
      ] as const) {
        const { id, userId } = first.apiKey;
        for (const lines of [
          [bearer(first), header(second)],
          [header(second), bearer(first)],
        ])
          expect(await get('/owner', ...lines)).toMatchObject({ status: 200, json: { id, userId } });
      }
    });

    it('a revoked Bearer credential is INVALID_API_KEY beside a valid X-API-Key', async () => {
      const revoked = await keyAfter('UPDATE api_keys SET revoked_at = now()');
      expectRefused(await get('/owner', `Authorization: Bearer ${revoked}`, header(other)), INVALID);
    });

    it.each([
      ['Authorization', bearer],
      ['X-API-Key', header],
    ])('%s sent twice is INVALID_API_KEY, whichever key comes first', async (_, line) => {
      expectRefused(await get('/owner', line(issued), line(other)), INVALID);
      expectRefused(await get('/owner', line(other), line(issued)), INVALID);
    });
  });

  describe('MISSING_API_KEY is', () => {
    it.each([
      ['an empty Authorization', ['Authorization:']],
      ['Bearer alone', ['Authorization: Bearer']],
      ['Bearer and blanks', ['Authorization: Bearer    ']],
      ['Bearer and a tab', ['Authorization: Bearer\t']],
      ['another scheme', ['Authorization: Basic eDp5']],
      ['a scheme that begins like Bearer', ['Authorization: BearerToken abc']],
      ['an empty X-API-Key', ['X-API-Key:']],
      ['a blank X-API-Key', ['X-API-Key:  \t ']],
    ])('%s', async (_, lines) => {
      expectRefused(await get('/any', ...lines), MISSING);
    });

    it('a key in the query, which is never read', async () => {
      expectRefused(await get(`/any?api_key=${key}&access_token=${key}&key=${key}`), MISSING);
    });
  });

  describe('INVALID_API_KEY is', () => {
    it.each([
      [
        'the same Authorization twice',
        (k: string) => [`Authorization: Bearer ${k}`, `Authorization: Bearer ${k}`],
      ],
      [
        'two Authorizations in different case',
        (k: string) => [`Authorization: Bearer ${k}`, 'authorization: Basic x'],
      ],
      ['the same X-API-Key twice', (k: string) => [`X-API-Key: ${k}`, `X-API-Key: ${k}`]],
      ['a second, empty X-API-Key', (k: string) => [`X-API-Key: ${k}`, 'X-API-Key:']],
      [
        'a good Bearer token beside two X-API-Keys',
        (k: string) => [`Authorization: Bearer ${k}`, 'X-API-Key: a', 'X-API-Key: b'],
      ],
      [
        'a foreign Bearer token beside a good X-API-Key',
        (k: string) => ['Authorization: Bearer eyJhbGciOi', `X-API-Key: ${k}`],
      ],
      ['a tab after the scheme', (k: string) => [`Authorization: Bearer\t${k}`]],
      ['a tab after spaces', (k: string) => [`Authorization: Bearer  \t${k}`]],
      ['a comma after the scheme', (k: string) => [`Authorization: Bearer,${k}`]],
      ['two tokens', (k: string) => [`Authorization: Bearer ${k} ${k}`]],
      ['two schemes', (k: string) => [`Authorization: Bearer Bearer ${k}`]],
      ['a quoted key', (k: string) => [`Authorization: Bearer "${k}"`]],
      ['two keys in one X-API-Key', (k: string) => [`X-API-Key: ${k}, ${k}`]],
      ['a key in another case', (k: string) => [`X-API-Key: ${k.toUpperCase()}`]],
      ['a key without its end', (k: string) => [`X-API-Key: ${k.slice(0, -1)}`]],
      ['a key with more at its end', (k: string) => [`X-API-Key: ${k}0`]],
      ['a byte order mark before the key', (k: string) => [`X-API-Key: \ufeff${k}`]],
      ['a non-breaking space before the key', (k: string) => [`Authorization: Bearer \u00a0${k}`]],
      [
        'bytes that are not UTF-8',
        () => [Buffer.from([...Buffer.from('X-API-Key: '), 0xff, 0xfe, 0xc3, 0x28])],
      ],
      ['12 KB', () => [`X-API-Key: ${'x'.repeat(12_000)}`]],
      ['a digest instead of a key', () => [`X-API-Key: ${'a'.repeat(64)}`]],
    ])('%s', async (_, lines) => {
      expectRefused(await get('/any', ...lines(key)), INVALID);
    });
  });

  it.each([
    ['NUL in a header', Buffer.from('X-API-Key: a\0b'), 400],
    ['a header of 17 KB', Buffer.from(`X-API-Key: ${'x'.repeat(17_000)}`), 431],
  ])('%s is refused by Node itself', async (_, line, status) => {
    expect((await get('/any', line)).status).toBe(status);
  });

  it('@Public ignores credentials, also in plaintext behind a proxy', async () => {
    expect((await get('/open', 'X-API-Key: a', 'X-API-Key: b', 'X-Forwarded-For: 1.2.3.4')).status).toBe(200);
  });

  it('no refusal repeats the presented text', async () => {
    for (const presented of ['canary-7731', `${key}canary-7731`]) {
      const { body, headers } = await get('/any', `Authorization: Bearer ${presented}`);
      expect(body + JSON.stringify(headers)).not.toContain('canary-7731');
    }
  });

  it('a refusal that a handler throws is answered by the filter like one of a guard', async () => {
    expectRefused(await get('/by-hand'), INVALID);
    const problem = await get('/by-hand', 'Accept: application/problem+json');
    expect(problem.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(problem.json).toMatchObject({ status: 401, error: 'INVALID_API_KEY' });
  });

  it('a refusal after the answer has started does not change the answer', async () => {
    const response = await fetch(`${app.url}/begun`, { headers: { accept: 'application/problem+json' } });
    expect([response.status, await response.text()]).toEqual([200, 'begun']);
    expectRefused(await get('/by-hand'), INVALID);
  });
});
