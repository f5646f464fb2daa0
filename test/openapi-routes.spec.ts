import {
  All,
  type CanActivate,
  Controller,
  Get,
  type INestApplication,
  Module,
  Post,
  RequestMethod,
  Search,
  type Type,
  UseGuards,
  VERSION_NEUTRAL,
  Version,
  VersioningType,
} from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import {
  ApiBearerAuth,
  ApiOperation,
  ApiSecurity,
  DocumentBuilder,
  type OpenAPIObject,
  type SwaggerDocumentOptions,
  SwaggerModule,
} from '@nestjs/swagger';
import { Test } from '@nestjs/testing';
import {
  AnyScope,
  ApiKeyAuth,
  ApiKeyGuard,
  type ApiKeyOptions,
  documentApiKeys,
  Environments,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { ADAPTERS, type Adapter, libraryModules } from './support/app';
import { createMigratedDatabase } from './support/database';

let database: string;
beforeAll(async () => (database = await createMigratedDatabase()));

interface Settings {
  readonly options?: ApiKeyOptions;
  readonly imports?: (Type | ReturnType<typeof RouterModule.register>)[];
  readonly prepare?: (app: INestApplication) => void;
  readonly adapter?: Adapter;
  readonly document?: SwaggerDocumentOptions;
  readonly config?: (builder: DocumentBuilder) => DocumentBuilder;
  readonly change?: (document: OpenAPIObject) => void;
}

async function createApp(controllers: Type[], { options, imports = [], prepare, adapter }: Settings) {
  const library = libraryModules(database, options);
  const module = await Test.createTestingModule({ imports: [...library, ...imports], controllers }).compile();
  const app =
    adapter === 'fastify'
      ? module.createNestApplication(new FastifyAdapter())
      : module.createNestApplication();
  prepare?.(app);
  return app;
}

/** The document of an application with some controllers, and the warnings about it. */
async function documentOf(controllers: Type[], settings: Settings = {}) {
  const { document: how, config = (builder) => builder, change } = settings;
  const app = await createApp(controllers, settings);
  const warnings: string[] = [];
  app.useLogger({ log() {}, error() {}, warn: (text: string) => warnings.push(text) });
  try {
    const created = SwaggerModule.createDocument(app, config(new DocumentBuilder()).build(), how);
    change?.(created);
    return { document: documentApiKeys(app, created), warnings };
  } finally {
    app.useLogger(false);
    await app.close();
  }
}

/** The security of each operation: its scopes, `open`, `nothing`, or the schemes of others. */
function securityOf({ paths }: OpenAPIObject): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [path, item] of Object.entries(paths))
    for (const [method, operation] of Object.entries(item)) found[`${method} ${path}`] = shortened(operation);
  return found;
}

function shortened({ security }: { security?: Record<string, string[]>[] }): unknown {
  const [first, second] = security ?? [];
  if (security === undefined) return 'nothing';
  if (security.length === 0) return 'open';
  return first?.bearer && second?.apiKey ? first.bearer.join(' ') : security;
}

const READ = 'orders:read';
const responsesOf = (document: OpenAPIObject, path: string) =>
  Object.keys(document.paths[path]?.get?.responses ?? {}).sort();

@Controller('items')
@UseGuards(ApiKeyGuard, ScopesGuard)
@Scopes(READ)
class Items {
  @Get()
  list() {}
}

@Controller({ path: 'versioned', version: ['1', '2'] })
@UseGuards(ApiKeyGuard, ScopesGuard)
@Scopes(READ)
class Versioned {
  @Get()
  list() {}

  @Get('neutral')
  @Version([VERSION_NEUTRAL, '3'])
  neutral() {}
}

@Controller(['aliased', 'other'])
@UseGuards(ApiKeyGuard, ScopesGuard)
@Scopes(READ)
class Aliased {
  @Get(['a', 'b'])
  aliases() {}

  @All('any')
  any() {}

  @Search('found')
  search() {}
}

describe('documentApiKeys finds the route of an operation', () => {
  it('with versions in the path, also neutral ones and the default version', async () => {
    const { document, warnings } = await documentOf([Versioned, Items], {
      prepare: (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: ['7', '8'] }),
    });
    expect(securityOf(document)).toEqual({
      'get /v1/versioned': READ,
      'get /v2/versioned': READ,
      'get /versioned/neutral': READ,
      'get /v3/versioned/neutral': READ,
      'get /v7/items': READ,
      'get /v8/items': READ,
    });
    expect(responsesOf(document, '/v2/versioned')).toEqual(['200', '401', '403', '429', '503']);
    expect(warnings).toEqual([]);
  });

  it('with aliases, and with @All or a method that OpenAPI does not know', async () => {
    const { document } = await documentOf([Aliased]);
    const security = securityOf(document);
    expect(Object.keys(security)).toEqual(
      expect.arrayContaining([
        'get /aliased/a',
        'get /other/b',
        'post /other/any',
        'search /aliased/any',
        'search /other/found',
      ]),
    );
    expect(new Set(Object.values(security))).toEqual(new Set([READ]));
  });

  it.each<[string, SwaggerDocumentOptions]>([
    ['that a factory makes', { operationIdFactory: (_, method) => method }],
    ['that are all the same', { operationIdFactory: () => 'same' }],
  ])('whatever the operation ids, such as ids %s', async (_, how) => {
    const { document } = await documentOf([Items, Status], { document: how });
    expect(securityOf(document)).toEqual({ 'get /items': READ, 'get /status': 'open' });
  });

  it('with @ApiOperation({ operationId })', async () => {
    @Controller('named')
    @UseGuards(ApiKeyGuard, ScopesGuard)
    class Named {
      @Get()
      @Scopes(READ)
      @ApiOperation({ operationId: 'Status_get', description: 'Lists the names.' })
      list() {}
    }
    const { document } = await documentOf([Named, Status]);
    expect(securityOf(document)).toEqual({ 'get /named': READ, 'get /status': 'open' });
    expect(document.paths['/named']?.get?.description).toBe(
      'Lists the names.\n\nNeeds an API key. Scopes: `orders:read`.',
    );
  });

  it('of controllers with one name, of which one is public', async () => {
    const guarded = namesake('billing/items', UseGuards(ApiKeyGuard, ScopesGuard), Scopes(READ));
    const open = namesake('shop/items', Public());
    for (const order of [
      [guarded, open],
      [open, guarded],
    ]) {
      const { document } = await documentOf(order);
      expect(securityOf(document)).toEqual({ 'get /billing/items': READ, 'get /shop/items': 'open' });
    }
  });

  it('with a global prefix, its exceptions, and paths of RouterModule', async () => {
    @Module({ controllers: [Items] })
    class Shop {}
    const settings: Settings = {
      imports: [Shop, RouterModule.register([{ path: 'shop/:tenant', module: Shop }])],
      prepare: (app) => {
        app.setGlobalPrefix('api/', {
          exclude: ['status', { path: 'versioned/neutral', method: RequestMethod.GET }],
        });
        app.enableVersioning({ type: VersioningType.URI, prefix: 'version-' });
      },
    };
    const expected = {
      'get /status': 'open',
      'get /api/shop/{tenant}/items': READ,
      'get /api/version-1/versioned': READ,
      'get /api/version-2/versioned': READ,
      'get /version-3/versioned/neutral': READ,
      'get /versioned/neutral': READ,
    };
    const { document, warnings } = await documentOf([Status, Versioned], settings);
    expect(securityOf(document)).toEqual(expected);
    expect(warnings).toEqual([]);
  });

  it('in a document that ignores the global prefix', async () => {
    const { document } = await documentOf([Status, Items], {
      prepare: (app) => app.setGlobalPrefix('api', { exclude: ['status'] }),
      document: { ignoreGlobalPrefix: true },
    });
    expect(securityOf(document)).toEqual({ 'get /status': 'open', 'get /items': READ });
  });

  it.each([
    'files/*',
    'files/*path',
    'files/{*path}',
    'files/*/parts',
    'files/:id',
    'files/:"a-b"/c',
    'files/:id{.:format}',
    'files/v1::act',
    'files[:]act',
    'files/:id-:part',
    'files/:größe',
  ])('with the path %s', async (path) => {
    const { document, warnings } = await documentOf([namesake(path, ApiKeyAuth(READ))]);
    expect(Object.values(securityOf(document))).toEqual([READ]);
    expect(warnings.filter((warning) => warning.includes('OpenAPI'))).toEqual([]);
  });

  it('with a handler that two classes inherit', async () => {
    class Base {
      @Get()
      list() {}
    }
    @Controller('guarded')
    @UseGuards(ApiKeyGuard)
    class Guarded extends Base {}
    @Controller('open')
    @Public()
    class Open extends Base {}
    const { document } = await documentOf([Guarded, Open]);
    expect(securityOf(document)).toEqual({ 'get /guarded': '', 'get /open': 'open' });
  });
});

@Controller('status')
@Public()
class Status {
  @Get()
  get() {}
}

/** A class `ItemsController` with one GET route. */
function namesake(path: string, ...decorators: ClassDecorator[]): Type {
  class ItemsController {
    list() {}
  }
  const handler = Object.getOwnPropertyDescriptor(ItemsController.prototype, 'list') as PropertyDescriptor;
  Get()(ItemsController.prototype, 'list', handler);
  for (const decorator of [...decorators, Controller(path)]) decorator(ItemsController);
  return ItemsController;
}

describe('documentApiKeys documents no guarded route as open', () => {
  it.each([
    'guarded first',
    'public first',
  ])('if routes for several versions in a header share a path, %s', async (which) => {
    @Controller('echo')
    @UseGuards(ApiKeyGuard, ScopesGuard)
    class Guarded {
      @Get()
      @Version('1')
      @Scopes(READ)
      get() {}
    }
    @Controller('echo')
    class Open {
      @Get()
      @Public()
      @Version('2')
      get() {}
    }
    const controllers = which === 'guarded first' ? [Guarded, Open] : [Open, Guarded];
    const { document } = await documentOf(controllers, {
      prepare: (app) => app.enableVersioning({ type: VersioningType.HEADER, header: 'Version' }),
    });
    expect(securityOf(document)).toEqual({ 'get /echo': READ });
  });

  it('if routes for several hosts, or @All and @Get, share a path', async () => {
    @Controller({ path: 'users', host: 'mobile.example.com' })
    @ApiKeyAuth('orders:read')
    class Mobile {
      @Get()
      list() {}
    }
    @Controller({ path: 'users', host: 'web.example.com' })
    @ApiKeyAuth('orders:write')
    class Web {
      @Get()
      list() {}
    }
    @Controller('users')
    @Public()
    class Rest {
      @All()
      any() {}
    }
    const { document } = await documentOf([Mobile, Web, Rest]);
    const security = securityOf(document);
    expect(security['get /users']).toBe('orders:read orders:write');
    expect(security['post /users']).toBe('open');
    expect(document.paths['/users']?.get?.description).toBe(
      'Needs an API key. Scopes: `orders:read`.\n\nNeeds an API key. Scopes: `orders:write`.',
    );
  });

  it('if it knows no route for an operation, and says so in a warning', async () => {
    const { document, warnings } = await documentOf([Items], {
      change: ({ paths }) => {
        paths['/elsewhere'] = paths['/items'] as object;
        delete paths['/items'];
        paths['/metrics'] = { get: { responses: {} }, post: { responses: {}, security: [{ mine: [] }] } };
        paths['/optional'] = { summary: 'by hand', get: { responses: {}, security: [{}, { mine: [] }] } };
      },
    });
    expect(document.paths['/optional']).toHaveProperty('summary', 'by hand');
    delete document.paths['/optional']?.summary;
    expect(securityOf(document)).toEqual({
      'get /elsewhere': '',
      'get /metrics': '',
      'post /metrics': [{ mine: [] }],
      'get /optional': '',
    });
    expect(warnings).toEqual([
      'documentApiKeys knows no route for GET /elsewhere, GET /metrics, GET /optional, so the OpenAPI document says ' +
        'that they need a key: set "security" of other operations after this call',
    ]);
  });

  it('if another guard than ours protects it', async () => {
    class SessionGuard implements CanActivate {
      canActivate() {
        return true;
      }
    }
    @Controller('session')
    @UseGuards(SessionGuard)
    @ApiBearerAuth('jwt')
    class Session {
      @Get()
      get() {}

      @Get('public')
      @Public()
      open() {}
    }
    const { document } = await documentOf([Session]);
    expect(securityOf(document)).toEqual({
      'get /session': [{ jwt: [] }],
      'get /session/public': [{ jwt: [] }],
    });
  });

  it('if the document requires another scheme for all routes, except of @Public routes', async () => {
    @Controller('plain')
    class Plain {
      @Get()
      get() {}
    }
    const { document } = await documentOf([Plain, Status, Items], {
      config: (builder) => builder.addSecurityRequirements('jwt'),
    });
    expect(securityOf(document)).toEqual({
      'get /plain': 'nothing',
      'get /status': 'open',
      'get /items': READ,
    });
  });

  it('and documents a @Public method of a class with marks of keys as open', async () => {
    @Controller('mixed')
    @ApiKeyAuth(READ)
    class Mixed {
      @Post()
      create() {}

      @Get()
      @Public()
      open() {}

      @Get('other')
      @Public()
      @ApiSecurity('cookie')
      other() {}
    }
    const { document } = await documentOf([Mixed]);
    expect(securityOf(document)).toEqual({
      'post /mixed': READ,
      'get /mixed': 'open',
      'get /mixed/other': [{ cookie: [] }],
    });
  });
});

describe('documentApiKeys describes', () => {
  it('the header of option headerName', async () => {
    const { document } = await documentOf([Items], { options: { headerName: 'X-Acme-Key' } });
    expect(document.components?.securitySchemes).toMatchObject({
      apiKey: { in: 'header', name: 'X-Acme-Key' },
      bearer: { description: expect.stringContaining('X-Acme-Key') },
    });
  });

  it('the scopes and environments of a route in its text, for Swagger UI', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard, ScopesGuard)
    class Texts {
      @Get('any')
      @Scopes('orders:read', 'orders:write')
      @AnyScope('api-keys:read', 'api-keys:write')
      @Environments('live')
      any() {}

      @Get('key')
      key() {}
    }
    const { document } = await documentOf([Texts], { options: { prefix: { live: 'acme_live' } } });
    expect(document.paths['/any']?.get?.description).toBe(
      'Needs an API key. Scopes: `orders:read`, `orders:write`, one of (`api-keys:read`, `api-keys:write`). Environments: `live`.',
    );
    expect(document.paths['/key']?.get?.description).toBe('Needs an API key.');
  });
});

describe.each(
  ADAPTERS,
)('the document of an application with prefix, versions and modules, on %s,', (adapter) => {
  it('says of each operation whether a request without a key is refused', async () => {
    @Controller({ path: ['things', 'goods'], version: VERSION_NEUTRAL })
    class Things {
      @Get(['', ':id', 'files/*'])
      @ApiKeyAuth(READ)
      guarded() {}

      @Post(':id')
      @Public()
      @Version(['1', VERSION_NEUTRAL])
      open() {}

      @All('any')
      @UseGuards(ApiKeyGuard)
      @Version('9')
      any() {}
    }
    @Module({ controllers: [Things] })
    class Inner {}
    @Module({ controllers: [namesake(':kind/items', ApiKeyAuth(READ))] })
    class Outer {}
    const tree = { path: 'shop/:tenant', module: Outer, children: [{ path: 'inner', module: Inner }] };
    const app = await createApp([Status, Versioned, Things, namesake('items', Public())], {
      adapter,
      imports: [Outer, Inner, RouterModule.register([tree])],
      prepare: (created) => {
        created.useLogger(false);
        created.enableVersioning({
          type: VersioningType.URI,
          defaultVersion: ['5', VERSION_NEUTRAL],
          prefix: false,
        });
        created.setGlobalPrefix('/api/:region', { exclude: ['status', 'things/*path'] });
      },
    });
    const config = new DocumentBuilder().build();
    const document = documentApiKeys(app, SwaggerModule.createDocument(app, config));
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address();
    const wrong: string[] = [];
    const statuses = new Set<number>();
    for (const [operation, security] of Object.entries(securityOf(document))) {
      const [method = '', path = ''] = operation.split(' ');
      if (!['get', 'post', 'put', 'patch', 'delete'].includes(method)) continue;
      const url = `http://127.0.0.1:${port}${path.replace(/\{\w+\}/g, 'x')}`;
      const { status } = await fetch(url, { method: method.toUpperCase() });
      statuses.add(status);
      if ((status === 401) !== (security !== 'open') || status === 404)
        wrong.push(`${operation}: ${security}, ${status}`);
    }
    await app.close();
    expect(wrong).toEqual([]);
    expect([...statuses].sort()).toEqual([200, 201, 401]);
  });
});
