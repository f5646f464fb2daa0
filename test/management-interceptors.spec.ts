import {
  type ArgumentsHost,
  type CallHandler,
  Catch,
  ClassSerializerInterceptor,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  HttpException,
  Logger,
  type NestInterceptor,
  VersioningType,
} from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, HttpAdapterHost, Reflector } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { ApiKeyAuth, ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard } from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { lastValueFrom, map, type Observable, of, tap } from 'rxjs';
import { ADAPTERS, bootApp, libraryModules, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';

/** What an interceptor that logs answers has seen. */
const logged: string[] = [];

function interceptor(change: (answer: Observable<unknown>) => Observable<unknown>): NestInterceptor {
  return { intercept: (_, next) => change(next.handle()) };
}

/** Repeats the answer to a GET of the same URL, as `CacheInterceptor` of Nest does. */
class CacheByUrl implements NestInterceptor {
  private readonly answers = new Map<string, unknown>();

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { method, url } = context.switchToHttp().getRequest();
    if (method !== 'GET') return next.handle();
    const known = this.answers.get(url);
    return known === undefined
      ? next.handle().pipe(tap((answer) => this.answers.set(url, answer)))
      : of(known);
  }
}

/** Interceptors of applications, in the order in which Nest runs them. */
const INTERCEPTORS: (() => NestInterceptor)[] = [
  () => ({ intercept: async (_, next) => of(await lastValueFrom(next.handle())) }),
  () => interceptor(map((answer) => (answer as string[]).at(0))),
  () => interceptor(tap((answer) => logged.push(JSON.stringify(answer) ?? ''))),
  () => new CacheByUrl(),
  () => interceptor(map((data) => ({ data }))),
  () => new ClassSerializerInterceptor(new Reflector(), { strategy: 'excludeAll' }),
];

/** Answers instead of the handler if a header asks for it. */
const standIn: NestInterceptor = {
  intercept: (context, next) =>
    context.switchToHttp().getRequest().headers['x-closed'] ? of({ closed: true }) : next.handle(),
};

@Controller('orders')
@ApiKeyAuth()
class OrdersController {
  @Get()
  list(): string[] {
    return [];
  }
}

/** A filter for all errors, as many applications have. */
@Catch()
class EveryError implements ExceptionFilter {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const status = error instanceof HttpException ? error.getStatus() : 500;
    this.host.httpAdapter.reply(host.switchToHttp().getResponse(), { mine: status }, status);
  }
}

const running: TestApp[] = [];
let database: string;
let owners: [string, string];

beforeAll(async () => {
  database = await createMigratedDatabase();
  owners = [await createUser(database), await createUser(database)];
});

afterEach(() => Promise.all(running.splice(0).map((app) => app.close())));

/** An application with the endpoints, and a caller for a key of each of two owners. */
async function boot(adapter: (typeof ADAPTERS)[number], providers: object[]) {
  const guards = [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard];
  const imports = [ApiKeyManagementModule.forRoot({ guards })];
  const app = await bootApp({
    database,
    adapter,
    imports,
    controllers: [OrdersController],
    providers: providers as never[],
  });
  running.push(app);
  const callWith =
    (key: string) =>
    async (method: string, path: string, body?: unknown, headers = {}) => {
      const response = await fetch(app.url + path, {
        method,
        headers: {
          ...headers,
          'x-api-key': key,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        json: text === '' ? null : JSON.parse(text),
      };
    };
  const [mine, theirs] = await Promise.all(
    owners.map((userId) => app.keys.create({ userId, name: 'admin', scopes: ['api-keys:*'] })),
  );
  if (!mine || !theirs) throw new Error('no keys');
  return { mine: { ...mine, call: callWith(mine.key) }, theirs: { ...theirs, call: callWith(theirs.key) } };
}

describe.each(ADAPTERS)('on %s, global interceptors', (adapter) => {
  it('that log, cache, wrap, strip or misread answers change, see and repeat none of the endpoints', async () => {
    const failed = jest.spyOn(Logger.prototype, 'error').mockImplementation();
    const providers = INTERCEPTORS.map((useFactory) => ({ provide: APP_INTERCEPTOR, useFactory }));
    const { mine, theirs } = await boot(adapter, providers);
    logged.length = 0;
    const made = await mine.call('POST', '/api-keys', { name: 'made' });
    expect(made).toMatchObject({ status: 201, json: { name: 'made', key: expect.stringMatching(/^key_/) } });
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect(made.headers.get('content-type')).toMatch(/^application\/json/);
    for (const { call, apiKey } of [mine, theirs, mine, theirs]) {
      const { status, json } = await call('GET', '/api-keys?state=active&limit=100');
      const ids = json.items.map(({ id }: { id: string }) => id);
      const isMine = call === mine.call;
      expect([status, ids.includes(apiKey.id), ids.includes(made.json.id)]).toEqual([200, true, isMine]);
    }
    const path = `/api-keys/${made.json.id}`;
    const renamed = await mine.call('PATCH', path, { name: 'named' });
    expect(renamed).toMatchObject({ status: 200, json: { name: 'named' } });
    expect(await mine.call('POST', `${path}/disable`, {})).toMatchObject({ json: { state: 'disabled' } });
    expect(await mine.call('DELETE', path)).toMatchObject({ status: 204, json: null });
    expect(await mine.call('GET', path)).toMatchObject({ status: 200, json: { state: 'revoked' } });
    expect([logged, failed.mock.calls]).toEqual([[], []]);
    failed.mockRestore();
  });

  it('may answer instead of the endpoints', async () => {
    const { mine } = await boot(adapter, [{ provide: APP_INTERCEPTOR, useValue: standIn }]);
    const closed = await mine.call('GET', '/api-keys', undefined, { 'x-closed': 'yes' });
    expect(closed).toMatchObject({ status: 200, json: { closed: true } });
    expect(await mine.call('GET', '/api-keys')).toMatchObject({
      status: 200,
      json: { items: expect.any(Array) },
    });
  });
});

describe.each(ADAPTERS)('on %s, a global filter for all errors', (adapter) => {
  it('changes no error of the endpoints, and keeps status and headers of a refusal elsewhere', async () => {
    const { mine, theirs } = await boot(adapter, [{ provide: APP_FILTER, useClass: EveryError }]);
    expect(await mine.call('POST', '/api-keys', { name: 1 })).toMatchObject({
      status: 400,
      json: { error: 'INVALID_REQUEST' },
    });
    expect(await mine.call('GET', `/api-keys/${theirs.apiKey.id}`)).toMatchObject({
      status: 404,
      json: { error: 'NOT_FOUND' },
    });
    expect(await mine.call('DELETE', `/api-keys/${mine.apiKey.id}`)).toMatchObject({ status: 204 });
    expect(await mine.call('GET', '/api-keys')).toMatchObject({
      status: 401,
      json: { error: 'INVALID_API_KEY' },
    });
    const refused = await mine.call('GET', '/orders');
    expect(refused).toMatchObject({ status: 401, json: { mine: 401 } });
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"');
    expect(refused.headers.get('cache-control')).toBe('private, no-store');
  });
});

it('global prefix and versions of the application apply to the endpoints as to its own routes', async () => {
  const module = await Test.createTestingModule({
    imports: [
      ...libraryModules(database),
      ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ScopesGuard] }),
    ],
    controllers: [OrdersController],
  }).compile();
  const app = module.createNestApplication();
  app.setGlobalPrefix('api');
  app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const statuses = ['/api/v1/orders', '/api/v1/api-keys', '/api/v1/api-keys/1', '/api-keys'].map(
    async (path) => (await fetch(url + path)).status,
  );
  expect(await Promise.all(statuses)).toEqual([401, 401, 401, 404]);
  await app.close();
});
