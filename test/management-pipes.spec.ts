import {
  type CanActivate,
  type ExecutionContext,
  ForbiddenException,
  type INestApplication,
  ParseIntPipe,
  type PipeTransform,
  ValidationPipe,
} from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { type ApiKey, ApiKeyService, actingOf } from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { ADAPTERS, libraryModules } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';

/** Lets administrators in by a header, as a session of the application would. */
class AdminGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (context.switchToHttp().getRequest().headers['x-admin'] === 'yes') return true;
    throw new ForbiddenException();
  }
}

const trims: PipeTransform = {
  transform: (value) => (typeof value === 'string' ? value.trim() : JSON.parse(JSON.stringify(value))),
};

const PIPES: [string, PipeTransform[]][] = [
  ['none', []],
  ['whitelist', [new ValidationPipe({ whitelist: true })]],
  [
    'whitelist, forbidNonWhitelisted and transform',
    [new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, transform: true })],
  ],
  [
    'transform with enableImplicitConversion',
    [new ValidationPipe({ transform: true, transformOptions: { enableImplicitConversion: true } })],
  ],
  [
    'another status, another body and unknown values',
    [
      new ValidationPipe({
        transform: true,
        forbidUnknownValues: true,
        validateCustomDecorators: true,
        errorHttpStatusCode: 422,
        exceptionFactory: () => new ForbiddenException('theirs'),
      }),
    ],
  ],
  ['pipes that change or refuse every value', [trims, new ParseIntPipe({ optional: true })]],
];

let database: string;
let userId: string;
let otherId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  [userId, otherId] = [await createUser(database), await createUser(database)];
});

async function boot(adapter: (typeof ADAPTERS)[number], pipes: PipeTransform[], acting: object) {
  const management = ApiKeyManagementModule.forRoot({
    guards: [AdminGuard],
    scopes: null,
    acting: typeof acting === 'function' ? (acting as (context: ExecutionContext) => object) : () => acting,
  });
  const module = await Test.createTestingModule({
    imports: [...libraryModules(database), management],
  }).compile();
  const app: INestApplication =
    adapter === 'fastify'
      ? module.createNestApplication(new FastifyAdapter())
      : module.createNestApplication();
  app.useLogger(false);
  app.useGlobalPipes(...pipes);
  await app.listen(0, '127.0.0.1');
  const url = `http://127.0.0.1:${app.getHttpServer().address().port}/api-keys`;
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(url + path, {
      method,
      headers: { 'x-admin': 'yes', ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text === '' ? {} : JSON.parse(text) };
  };
  return { app, keys: app.get(ApiKeyService), call };
}

describe.each(ADAPTERS)('global pipes of the application change no answer, on %s:', (adapter) => {
  it.each(PIPES)('%s', async (_, pipes) => {
    const { app, keys, call } = await boot(adapter, pipes, { userId });
    const { apiKey } = await keys.create({ userId, name: 'old' });
    const refused = { status: 400, json: { statusCode: 400, error: 'INVALID_REQUEST' } };
    for (const body of [
      { name: 123 },
      { name: 'c', userId: '1' },
      { name: 'c', rateLimit: { limit: '5', windowSeconds: 60 } },
      { name: 'c', rateLimit: { limit: 5, windowSeconds: 60, more: 1 } },
      { name: 'c', expiresAt: 1 },
    ])
      expect(await call('POST', '', body)).toMatchObject(refused);
    expect(await call('PATCH', `/${apiKey.id}`, { scopes: 'orders:read' })).toMatchObject(refused);
    expect(await call('GET', '?limit=x')).toMatchObject(refused);
    expect(await call('GET', '?unknown=1')).toMatchObject(refused);
    expect(await call('GET', '/x')).toMatchObject({ status: 404, json: { error: 'NOT_FOUND' } });
    const metadata = { at: ' 1 ', list: [1, '2', null], more: { a: true } };
    const made = await call('POST', '', { name: 'new', metadata, quota: { limit: 5, period: 'day' } });
    expect(made).toMatchObject({ status: 201, json: { name: 'new', metadata, quota: { limit: 5 } } });
    expect(await call('GET', '?limit=1')).toMatchObject({
      status: 200,
      json: { items: [{ id: made.json.id }] },
    });
    expect(await call('POST', `/${apiKey.id}/rotate`, { overlapSeconds: '5' })).toMatchObject(refused);
    expect(await call('DELETE', `/${apiKey.id}?descendants=yes`)).toMatchObject(refused);
    expect(await call('DELETE', `/${apiKey.id}?descendants=true&reason=over`)).toMatchObject({ status: 204 });
    await app.close();
  });
});

describe.each(ADAPTERS)('an administrator, whom a guard of the application lets in, on %s,', (adapter) => {
  let admin: Awaited<ReturnType<typeof boot>>;

  beforeAll(async () => {
    admin = await boot(adapter, [], { actor: { type: 'user', id: 'admin' } });
  });
  afterAll(() => admin.app.close());

  it('names the owner of a new key, and sees the owner in each answer', async () => {
    const made = await admin.call('POST', '', { name: 'given', userId: otherId });
    expect(made).toMatchObject({ status: 201, json: { userId: otherId, key: expect.any(String) } });
    const path = `/${made.json.id}`;
    expect(await admin.call('GET', path)).toMatchObject({ json: { userId: otherId } });
    expect(await admin.call('PATCH', path, { name: 'renamed' })).toMatchObject({ json: { userId: otherId } });
    expect(await admin.call('POST', `${path}/disable`, {})).toMatchObject({ json: { userId: otherId } });
    expect(await admin.call('POST', `${path}/enable`, {})).toMatchObject({ json: { userId: otherId } });
    const next = await admin.call('POST', `${path}/rotate`, {});
    expect(next).toMatchObject({ status: 201, json: { userId: otherId, replaces: made.json.id } });
    expect(await admin.call('DELETE', `/${next.json.id}`)).toMatchObject({ status: 204 });
  });

  it.each([
    ['without an owner', { name: 'x' }],
    ['with an owner of another type', { name: 'x', userId: 1 }],
    ['with an owner that does not exist', { name: 'x', userId: '999999' }],
    ['with an owner that does not fit the column', { name: 'x', userId: 'x' }],
  ])('gets 400 for a new key %s', async (_, body) => {
    expect(await admin.call('POST', '', body)).toMatchObject({
      status: 400,
      json: { error: 'INVALID_REQUEST' },
    });
  });

  it('lists the keys of all owners or of one, and searches by name, start, masked form and metadata', async () => {
    const name = `searched on ${adapter}`;
    const metadata = { team: adapter };
    const [mine, theirs] = [
      (await admin.keys.create({ userId, name, metadata })).apiKey,
      (await admin.keys.create({ userId: otherId, name })).apiKey,
    ];
    const ids = async (query: Record<string, string>) => {
      const { json } = await admin.call('GET', `?${new URLSearchParams(query)}`);
      if (!json.items) throw new Error(JSON.stringify(json));
      return json.items.map(({ id }: { id: string }) => id);
    };
    expect(await ids({ search: name.toUpperCase() })).toEqual([theirs.id, mine.id]);
    expect(await ids({ search: name, userId })).toEqual([mine.id]);
    expect(await ids({ search: theirs.masked })).toEqual([theirs.id]);
    expect(await ids({ search: theirs.keyPrefix })).toEqual([theirs.id]);
    expect(await ids({ metadata: JSON.stringify(metadata) })).toEqual([mine.id]);
    for (const query of ['metadata=x', 'metadata=[]', 'metadata=', 'search=', 'search=%00'])
      expect(await admin.call('GET', `?${query}`)).toMatchObject({ status: 400 });
  });
});

it.each<[string, (context: ExecutionContext) => unknown]>([
  ['nothing', () => undefined],
  ['null', () => null],
  ['a text', () => 'admin'],
  ['a promise of nothing', async () => undefined],
  ['an empty object', () => ({})],
  ['a list', () => []],
  ['a user of the application, who has no userId', () => ({ id: userId, email: 'a@example.com' })],
  ['the principal of a request without a key', actingOf],
  [
    'an error',
    () => {
      throw new Error('no session');
    },
  ],
])('option acting that gives %s makes nobody an administrator', async (_, acting) => {
  const { app, keys, call } = await boot('express', [], acting);
  const before = await keys.list();
  for (const answer of [await call('GET', ''), await call('POST', '', { name: 'x', userId })])
    expect(answer).toMatchObject({ status: 500 });
  expect(await keys.list()).toEqual(before);
  await app.close();
});

it('option acting may be asynchronous, and then bounds the caller to its owner', async () => {
  const { app, keys, call } = await boot('express', [], async () => ({ userId }));
  const { apiKey } = await keys.create({ userId: otherId, name: 'of another owner' });
  expect(await call('GET', `/${apiKey.id}`)).toMatchObject({ status: 404 });
  expect(await call('POST', '', { name: 'x', userId: otherId })).toMatchObject({ status: 400 });
  expect(await call('POST', '', { name: 'mine' })).toMatchObject({ status: 201 });
  await app.close();
});

it('a principal whose owner is a getter is bounded to its owner in reads and in changes', async () => {
  class Principal {
    get userId() {
      return userId;
    }
  }
  const { app, keys, call } = await boot('express', [], () => new Principal());
  const { apiKey } = await keys.create({ userId: otherId, name: 'of another owner' });
  const path = `/${apiKey.id}`;
  for (const answer of [
    await call('GET', path),
    await call('PATCH', path, { name: 'taken' }),
    await call('POST', `${path}/rotate`, {}),
    await call('DELETE', path),
  ])
    expect(answer).toMatchObject({ status: 404 });
  expect(await call('POST', '', { name: 'x', userId: otherId })).toMatchObject({ status: 400 });
  expect(await call('POST', '', { name: 'mine' })).toMatchObject({ status: 201 });
  expect(await keys.get(apiKey.id)).toMatchObject({ name: 'of another owner', revokedAt: null });
  await app.close();
});

it('a change needs the scopes that option acting asks for', async () => {
  const maker = { key: undefined as ApiKey | undefined };
  const { app, keys, call } = await boot('express', [], () => ({
    apiKey: maker.key,
    needs: ['orders:write'],
  }));
  maker.key = (await keys.create({ userId, name: 'plain', scopes: ['orders:read'] })).apiKey;
  expect(await call('POST', '', { name: 'x' })).toMatchObject({ status: 403 });
  maker.key = (await keys.create({ userId, name: 'writes', scopes: ['orders:write'] })).apiKey;
  expect(await call('POST', '', { name: 'x' })).toMatchObject({ status: 201 });
  await app.close();
});

it('an acting owner that is missing by mistake is no administrator', async () => {
  const { app, keys, call } = await boot('express', [], { userId: undefined });
  await keys.create({ userId, name: 'secret' });
  for (const answer of [await call('GET', ''), await call('POST', '', { name: 'x', userId })])
    expect(answer).toMatchObject({ status: 400, json: { error: 'INVALID_REQUEST' } });
  await app.close();
});
