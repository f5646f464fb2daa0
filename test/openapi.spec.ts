import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, documentApiKeys, Public } from 'nestjs-api-key';
import { ADAPTERS, bootApp } from './support/app';
import { createEmptyDatabase, createMigratedDatabase } from './support/database';
import { type Sample, startSample } from './support/sample';

interface Operation {
  readonly security?: Record<string, string[]>[];
  readonly responses: Record<string, unknown>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly securitySchemes: object; readonly schemas: Record<string, unknown> };
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

  it('writes operations of guarded and public routes, and leaves those of other code as they are', async () => {
    const app = await bootApp({ database: await createMigratedDatabase(), controllers: [Orders, Status] });
    const others = { get: { operationId: 'Proxy_get' }, post: {}, summary: 'not an operation' };
    const orders: Partial<Operation> & { operationId: string } = { operationId: 'Orders_list' };
    const paths = {
      '/orders': { get: orders },
      '/status': { get: { operationId: 'Status_get' } },
      '/others': others,
    };
    const before = structuredClone(others);
    const document = documentApiKeys(app.app, { paths });
    await app.close();
    const scopes = ['orders:read'];
    expect(document.paths['/orders'].get.security).toEqual([{ bearer: scopes }, { apiKey: scopes }]);
    expect(Object.keys(orders.responses ?? {})).toEqual(ERRORS);
    expect(document.paths['/status'].get).toEqual({ operationId: 'Status_get', security: [] });
    expect(document.paths['/others']).toEqual(before);
    expect(document).toHaveProperty('components.securitySchemes.apiKey.name', 'X-API-Key');
  });

  it('keeps the components of the document, and names another header', async () => {
    const app = await bootApp({ database: await createMigratedDatabase() });
    const components = { securitySchemes: { cookie: {} }, schemas: { Order: {} }, links: {} };
    const document = documentApiKeys(app.app, { paths: {}, components }, 'X-Acme-Key');
    await app.close();
    expect(document.components).toMatchObject({ ...components, links: {} });
    expect(document).toHaveProperty('components.securitySchemes.apiKey.name', 'X-Acme-Key');
    expect(Object.keys(document.components.schemas)).toEqual(['Order', 'ApiKeyRefusal']);
  });
});
