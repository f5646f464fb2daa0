import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, documentApiKeys, Public } from 'nestjs-api-key';
import { ADAPTERS, bootApp } from './support/app';
import { createEmptyDatabase, createMigratedDatabase } from './support/database';
import { demoKey, type Sample, startSample } from './support/sample';

interface Operation {
  readonly security?: Record<string, string[]>[];
  readonly description?: string;
  readonly responses: Record<string, Response>;
}

interface Response {
  readonly description: string;
  readonly headers?: object;
  readonly content?: Record<string, { readonly schema: { readonly $ref: string } }>;
}

interface Schema {
  readonly properties: Record<string, unknown>;
  readonly required: string[];
}

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly securitySchemes: object; readonly schemas: Record<string, Schema> };
}

describe.each(ADAPTERS)('the OpenAPI document of the sample app, on %s,', (adapter) => {
  let sample: Sample;
  let document: Document;

  beforeAll(async () => {
    sample = await startSample({ DATABASE_URL: await createEmptyDatabase(), HTTP_ADAPTER: adapter });
    document = (await (await fetch(`${sample.url}/openapi.json`)).json()) as Document;
  });

  afterAll(() => sample.stop());

  it('has both ways to send a key, and the body of a refusal', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(document.components.securitySchemes).toMatchObject({
      bearer: { type: 'http', scheme: 'bearer' },
      apiKey: {
        type: 'apiKey',
        in: 'header',
        name: 'X-API-Key',
        description: expect.stringContaining('Bearer'),
      },
    });
    expect(document.components.schemas.ApiKeyRefusal).toMatchObject({
      required: ['statusCode', 'error', 'message'],
    });
  });

  it.each<[string, string, string[] | null]>([
    ['get', '/health', null],
    ['get', '/me', []],
    ['get', '/orders', ['orders:read']],
    ['get', '/orders/{id}', ['orders:read']],
    ['post', '/orders', ['orders:write']],
    ['get', '/api-keys', ['api-keys:read']],
    ['post', '/api-keys', ['api-keys:write']],
    ['patch', '/api-keys/{id}', ['api-keys:write']],
    ['delete', '/api-keys/{id}', ['api-keys:write']],
    ['post', '/api-keys/{id}/rotate', ['api-keys:write']],
    ['post', '/api-keys/{id}/disable', ['api-keys:write']],
    ['post', '/api-keys/{id}/enable', ['api-keys:write']],
    ['get', '/api-keys/{id}/events', ['api-keys:read']],
  ])('describes the parameters of %s %s', (method, path, scopes) => {
    const operation = document.paths[path]?.[method];
    expect(operation?.security).toEqual(scopes === null ? [] : [{ bearer: scopes }, { apiKey: scopes }]);
    expect(Object.keys(operation?.responses ?? {})).toEqual(
      expect.arrayContaining(scopes === null ? ['200'] : ['401', '403', '503']),
    );
  });

  it.each<[string, string, string]>([
    ['get', '/api-keys', '200 400'],
    ['post', '/api-keys', '201 400 409'],
    ['get', '/api-keys/{id}', '200 404'],
    ['patch', '/api-keys/{id}', '200 400 404 409'],
    ['delete', '/api-keys/{id}', '204 400 404'],
    ['post', '/api-keys/{id}/rotate', '201 400 404 409'],
    ['post', '/api-keys/{id}/disable', '200 400 404 409'],
    ['post', '/api-keys/{id}/enable', '200 400 404 409'],
    ['get', '/api-keys/{id}/events', '200 400 404'],
    ['get', '/api-keys/{id}/usage', '200 404'],
  ])('describes the answers of %s %s beside the refusals', (method, path, statuses) => {
    const { responses } = document.paths[path]?.[method] as Operation;
    const own = Object.keys(responses).filter((status) => !['401', '403', '429', '503'].includes(status));
    expect(own.join(' ')).toBe(statuses);
    expect(responses['403']?.description).toMatch(
      method === 'get' ? /^INSUFF/ : /^EXCEEDS_API_KEY.*; INSUFF/,
    );
    expect(Object.keys(responses['429']?.headers ?? {})).toEqual([
      'Retry-After',
      'RateLimit-Policy',
      'RateLimit',
    ]);
    for (const [status, { content }] of Object.entries(responses))
      expect(content?.['application/json']?.schema.$ref === undefined).toBe(status === '204');
  });

  it('names TOO_MANY_KEYS and the rule of a policy', () => {
    const { responses } = document.paths['/api-keys']?.post as Operation;
    expect(responses['409']?.description).toMatch(/TOO_MANY_KEYS/);
    expect(document.components.schemas.InvalidApiKeyRequest?.properties).toHaveProperty('rule');
    expect(document.components.schemas.ApiKeyManagementError?.properties).toHaveProperty('rule');
  });

  it.each([
    ['get', '/orders'],
    ['get', '/me'],
    ['get', '/api-keys'],
    ['post', '/api-keys'],
    ['get', '/api-keys/1/usage'],
    ['get', '/api-keys/1/events'],
  ])('names each field of the answer to %s %s', async (method, path) => {
    const headers = { 'X-API-Key': await demoKey(sample), 'Content-Type': 'application/json' };
    const body = method === 'post' ? JSON.stringify({ name: 'ci' }) : undefined;
    const response = await fetch(sample.url + path, { method: method.toUpperCase(), headers, body });
    const answer = (await response.json()) as { readonly items?: readonly object[] };
    const { responses } = document.paths[path.replace('1', '{id}')]?.[method] as Operation;
    const schema = schemaOf(responses[response.status]);
    const documented = Object.keys(schema?.properties ?? {}).filter((name) => name !== 'userId');
    expect([schema?.required, documented].map(sorted)).toEqual(Array(2).fill(sorted(Object.keys(answer))));
    const items = schema?.properties.items as { readonly items: { readonly $ref: string } } | undefined;
    if (items)
      expect(sorted(schemaAt(items.items.$ref)?.required)).toEqual(
        sorted(Object.keys(answer.items?.[0] ?? {})),
      );
  });

  const schemaAt = (reference = '') => document.components.schemas[reference.replace(/^.*\//, '')];
  const schemaOf = (response?: Response) => schemaAt(response?.content?.['application/json']?.schema.$ref);
  const sorted = (names: readonly string[] = []) => [...names].sort();

  it('shows the scopes of a route in its description', () => {
    expect(document.paths['/orders']?.get?.description).toBe('Needs an API key. Scopes: `orders:read`.');
  });

  it('describes the body that issues a key', () => {
    expect(document.components.schemas.CreateApiKeyBody).toMatchObject({
      required: ['name'],
      properties: { name: { type: 'string' }, scopes: { type: 'array' }, metadata: { type: 'object' } },
    });
  });

  it('has a page to try it, with all that the page needs', async () => {
    const page = await (await fetch(`${sample.url}/docs`)).text();
    expect(page).toMatch(/swagger-ui/);
    for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-init.js'])
      expect((await fetch(`${sample.url}/docs/${file}`)).status).toBe(200);
  });
});

@Controller('orders')
@ApiKeyAuth('orders:read')
class Orders {
  @Get()
  list() {}
}

@Controller('status')
@Public()
class Status {
  @Get()
  get() {}
}

describe('documentApiKeys', () => {
  const ERRORS = ['401', '403', '429', '503'];

  it('writes the operations of guarded and public routes', async () => {
    const app = await bootApp({ database: await createMigratedDatabase(), controllers: [Orders, Status] });
    const orders: Partial<Operation> = {};
    const paths = { '/orders': { get: orders }, '/status': { get: {}, summary: 'not an operation' } };
    const document = documentApiKeys(app.app, { paths });
    await app.close();
    const scopes = ['orders:read'];
    expect(document.paths['/orders'].get.security).toEqual([{ bearer: scopes }, { apiKey: scopes }]);
    expect(Object.keys(orders.responses ?? {})).toEqual(ERRORS);
    expect(document.paths['/status']).toEqual({ get: { security: [] }, summary: 'not an operation' });
    expect(document).toHaveProperty('components.securitySchemes.apiKey.name', 'X-API-Key');
  });

  it('names the headers of each refusal, and keeps what the application says about a status', async () => {
    const app = await bootApp({ database: await createMigratedDatabase(), controllers: [Orders] });
    const own = {
      403: { description: 'FROZEN', headers: { 'X-Own': {} }, content: {} },
      429: { $ref: '#/x' },
    };
    const { paths } = documentApiKeys(app.app, { paths: { '/orders': { get: { responses: own } } } });
    await app.close();
    const responses = paths['/orders'].get.responses as unknown as Record<string, Record<string, object>>;
    const headersOf = (status: number) => Object.keys(responses[status]?.headers ?? {});
    expect(headersOf(401)).toEqual(['WWW-Authenticate']);
    expect(headersOf(503)).toEqual(['Retry-After']);
    expect(responses[403]).toMatchObject({
      description: expect.stringMatching(/^FROZEN; INSUFFICIENT_SCOPE.*WRONG_ENVIRONMENT/),
      content: {},
    });
    expect(headersOf(403)).toEqual(['WWW-Authenticate', 'X-Own']);
    expect(responses[429]).toEqual({ $ref: '#/x' });
  });

  it('keeps the components of the document', async () => {
    const app = await bootApp({ database: await createMigratedDatabase() });
    const components = { securitySchemes: { cookie: {} }, schemas: { Order: {} }, links: {} };
    const document = documentApiKeys(app.app, { paths: {}, components });
    await app.close();
    expect(document.components).toMatchObject({ ...components, links: {} });
    expect(Object.keys(document.components.schemas)).toEqual(['Order', 'ApiKeyRefusal']);
  });
});
