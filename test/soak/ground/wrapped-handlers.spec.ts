import {
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  Post,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { RouterExecutionContext } from '@nestjs/core/router/router-execution-context';
import { SkipThrottle, Throttle } from '@nestjs/throttler';
import {
  ApiKeyAuth,
  type ApiKeyEvent,
  type ApiKeyEventSink,
  ApiKeyGuard,
  ApiKeyThrottlerGuard,
  Cost,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp, type TestAppSettings } from '../../support/app';
import { createMigratedDatabase, createUser } from '../../support/database';

type Handler = (this: unknown, ...args: unknown[]) => unknown;
type Wrap = (handler: Handler) => Handler;

let database: string;
let userId: string;
let running: TestApp | undefined;
const { create } = RouterExecutionContext.prototype;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await running?.close();
  running = undefined;
  RouterExecutionContext.prototype.create = create;
});

/** Wraps every handler as tracing agents do: they patch Nest before the application is loaded. */
function instrument(wrap: Wrap): void {
  const patched = function (this: object, ...args: Parameters<typeof create>) {
    args[1] = wrap(args[1] as Handler) as (typeof args)[1];
    return create.apply(this as RouterExecutionContext, args);
  };
  RouterExecutionContext.prototype.create = patched as typeof create;
}

function copyMetadata(from: object, to: object): void {
  for (const key of Reflect.getMetadataKeys(from))
    Reflect.defineMetadata(key, Reflect.getMetadata(key, from), to);
}

/**
 * `createWrapHandler` of `@opentelemetry/instrumentation-nestjs-core` 0.70.0; that of
 * `@sentry/nestjs` 10.75.3 does the same.
 */
const byOpenTelemetry: Wrap = (handler) => {
  const wrapped = async function (this: unknown, ...args: unknown[]) {
    return await handler.apply(this, args);
  };
  if (handler.name) Object.defineProperty(wrapped, 'name', { value: handler.name });
  copyMetadata(handler, wrapped);
  return wrapped;
};

const anonymous = (handler: Handler): Handler =>
  (() =>
    function (this: unknown, ...args: unknown[]) {
      return handler.apply(this, args);
    })();

const withMetadataAlone: Wrap = (handler) => {
  const wrapped = anonymous(handler);
  copyMetadata(handler, wrapped);
  return wrapped;
};

/** The aspects of `@toss/nestjs-aop`: metadata are found through the prototype of the function. */
const withMetadataOfItsPrototype: Wrap = (handler) =>
  Object.setPrototypeOf(anonymous(handler), handler) as Handler;

/** A Proxy has the name of its target, and no metadata, because these hang on the target itself. */
const byProxy: Wrap = (handler) =>
  new Proxy(handler, { apply: (target, self, args) => Reflect.apply(target, self, args) });

const bound: Wrap = (handler) => {
  const wrapped = handler.bind(undefined) as Handler;
  copyMetadata(handler, wrapped);
  return wrapped;
};

const AGENTS: [string, Wrap][] = [
  ['OpenTelemetry or Sentry', byOpenTelemetry],
  ['a wrapper that copies metadata and has no name', withMetadataAlone],
  ['a wrapper whose prototype is the handler', withMetadataOfItsPrototype],
  ['a bound copy of the handler with its metadata', bound],
];

const routeOf = (event: ApiKeyEvent) => (event.details as { readonly route?: unknown }).route;

async function boot(settings: Omit<TestAppSettings, 'database'>): Promise<TestApp> {
  running = await bootApp({ database, ...settings });
  return running;
}

async function bootError(...controllers: Type[]): Promise<string> {
  return boot({ controllers }).then(
    () => 'booted',
    (error: Error) => error.message,
  );
}

async function keyWith(app: TestApp, ...scopes: string[]): Promise<{ authorization: string }> {
  const { key } = await app.keys.create({ userId, name: 'ci', scopes: scopes as never });
  return { authorization: `Bearer ${key}` };
}

async function statusOf(app: TestApp, path: string, headers = {}, method = 'GET'): Promise<number> {
  const answer = await fetch(app.url + path, { headers, method });
  await answer.text();
  return answer.status;
}

@Injectable({ scope: Scope.REQUEST })
class PerRequest {}

class Base {
  @Get('inherited')
  @ApiKeyAuth('orders:read')
  inherited() {}
}

@Controller('orders')
class Orders extends Base {
  @Get()
  @ApiKeyAuth('orders:read')
  list() {}

  @Post()
  @ApiKeyAuth('orders:write')
  create() {}

  @Get('open')
  @Public()
  open() {}

  @Get('limited')
  @ApiKeyAuth()
  @Throttle({ default: { limit: 2, ttl: 60_000 } })
  limited() {}

  @Get('other')
  @ApiKeyAuth()
  @Throttle({ default: { limit: 2, ttl: 60_000 } })
  other() {}

  @Get('dear')
  @ApiKeyAuth()
  @Cost(7)
  dear() {}

  @Get('uncounted')
  @ApiKeyAuth()
  @SkipThrottle()
  uncounted() {}
}

@Controller('invoices')
@UseGuards(ApiKeyGuard, ScopesGuard)
@Scopes('api-keys:read')
class Invoices {
  @Get()
  list() {}
}

@Controller('scoped')
@ApiKeyAuth()
class PerRequestOrders {
  constructor(readonly perRequest: PerRequest) {}

  @Get()
  @Scopes('orders:read')
  list() {}

  @Get('open')
  @Public()
  open() {}
}

describe.each(ADAPTERS)('on %s, requests to handlers that are wrapped by', (adapter) => {
  it.each(AGENTS)('%s are answered as without it', async (_, wrap) => {
    instrument(wrap);
    const app = await boot({
      adapter,
      controllers: [Orders, Invoices, PerRequestOrders],
      providers: [PerRequest],
      options: { rateLimit: { limit: 100, windowSeconds: 3600 } },
    });
    const reader = await keyWith(app, 'orders:read');
    expect(await statusOf(app, '/orders')).toBe(401);
    expect(await statusOf(app, '/orders', reader)).toBe(200);
    expect(await statusOf(app, '/orders', reader, 'POST')).toBe(403);
    expect(await statusOf(app, '/orders/open')).toBe(200);
    expect(await statusOf(app, '/orders/inherited')).toBe(401);
    expect(await statusOf(app, '/orders/inherited', reader)).toBe(200);
    expect(await statusOf(app, '/orders/inherited', await keyWith(app))).toBe(403);
    expect(await statusOf(app, '/invoices', reader)).toBe(403);
    expect(await statusOf(app, '/invoices', await keyWith(app, 'api-keys:read'))).toBe(200);
    for (let i = 0; i < 2; i++) {
      expect(await statusOf(app, '/scoped')).toBe(401);
      expect(await statusOf(app, '/scoped/open')).toBe(200);
      expect(await statusOf(app, '/scoped', reader)).toBe(200);
      expect(await statusOf(app, '/scoped', await keyWith(app))).toBe(403);
    }
  });

  it.each(AGENTS)('%s count on the limits that their routes declare', async (_, wrap) => {
    instrument(wrap);
    const rateLimit = { limit: 100, windowSeconds: 3600 };
    const app = await boot({ adapter, controllers: [Orders], options: { rateLimit } });
    const key = await keyWith(app);
    const remaining = async (path: string) => {
      const { headers } = await fetch(app.url + path, { headers: key });
      return Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]);
    };
    const limited = [];
    for (let i = 0; i < 3; i++) limited.push(await statusOf(app, '/orders/limited', key));
    expect(limited).toEqual([200, 200, 429]);
    expect(await statusOf(app, '/orders/other', key)).toBe(200);
    const before = await remaining('/orders/dear');
    expect(before - (await remaining('/orders/dear'))).toBe(7);
    expect(await remaining('/orders/uncounted')).toBeNaN();
  });
});

it('a wrapper without a name does not hide the requested route from the audit trail', async () => {
  instrument(withMetadataAlone);
  const routes: unknown[] = [];
  const refused: ApiKeyEventSink = { record: async (events) => void routes.push(...events.map(routeOf)) };
  const app = await boot({ controllers: [Orders], options: { audit: { refused } } });
  expect(await statusOf(app, '/orders', await keyWith(app))).toBe(403);
  await app.close();
  expect(routes).toEqual(['Orders.list']);
});

it('a handler that is wrapped for each request is logged once', async () => {
  instrument(byOpenTelemetry);

  @Controller()
  @UseGuards({ canActivate: () => true }, ScopesGuard)
  class Routes {
    constructor(readonly perRequest: PerRequest) {}

    @Get()
    get() {}
  }
  const app = await boot({ controllers: [Routes], providers: [PerRequest] });
  const lines: string[] = [];
  app.app.useLogger({ log() {}, warn() {}, error: (message: string) => lines.push(message) });
  for (let i = 0; i < 3; i++) expect(await statusOf(app, '/')).toBe(401);
  expect(lines).toEqual([expect.stringMatching(/^Routes\.get refuses every request/)]);
});

describe('a wrapper that keeps the name of the handler alone, as a Proxy does,', () => {
  it('does not change routes with guards on their class', async () => {
    instrument(byProxy);

    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get('read')
      @Scopes('orders:read')
      read() {}

      @Get('open')
      @Public()
      open() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/open')).toBe(200);
    expect(await statusOf(app, '/read')).toBe(401);
    expect(await statusOf(app, '/read', await keyWith(app))).toBe(403);
    expect(await statusOf(app, '/read', await keyWith(app, 'orders:read'))).toBe(200);
  });

  it('stops the boot if a route has its guards on the method, because Nest would not run them', async () => {
    instrument(byProxy);
    expect(await bootError(Orders)).toMatch(/Orders\.list is wrapped and loses its guards/);
  });

  it('stops the boot if a route loses one guard of two', async () => {
    instrument(byProxy);

    @Controller()
    @UseGuards(ApiKeyGuard)
    class Routes {
      @Get()
      @UseGuards(ScopesGuard)
      @Scopes('orders:read')
      get() {}
    }
    expect(await bootError(Routes)).toMatch(/Routes\.get is wrapped and loses its guards/);
  });

  it('does not change routes with guards of the whole application', async () => {
    instrument(byProxy);

    @Controller()
    class Routes {
      @Get()
      @Scopes('orders:read')
      get() {}
    }
    const guards = [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard];
    const providers = guards.map((useClass) => ({ provide: APP_GUARD, useClass }));
    const app = await boot({ controllers: [Routes], providers });
    expect(await statusOf(app, '/')).toBe(401);
    expect(await statusOf(app, '/', await keyWith(app))).toBe(403);
  });
});

describe('a wrapper that keeps neither name nor metadata of the handler', () => {
  @Controller()
  @ApiKeyAuth()
  class Routes {
    constructor(readonly perRequest: PerRequest) {}

    @Get('write')
    @Scopes('orders:write')
    write() {}

    @Get('open')
    @Public()
    open() {}
  }

  it('stops the boot', async () => {
    instrument(anonymous);

    @Controller()
    @ApiKeyAuth()
    class Static {
      @Get()
      get() {}
    }
    expect(await bootError(Static)).toMatch(
      /Static\.get is wrapped, and cannot be identified by name or metadata/,
    );
  });

  it('stops the boot if all wrappers have the name of one public method', async () => {
    instrument((handler) => Object.defineProperty(anonymous(handler), 'name', { value: 'open' }));
    const booted = boot({ controllers: [Routes], providers: [PerRequest] });
    await expect(booted).rejects.toThrow(
      /Routes\.write is wrapped, and cannot be identified by name or metadata/,
    );
  });

  it('accepts no request if it wraps after the boot', async () => {
    const app = await boot({ controllers: [Routes], providers: [PerRequest] });
    instrument(anonymous);
    const key = await keyWith(app, '*');
    expect(await statusOf(app, '/open')).toBe(500);
    expect(await statusOf(app, '/write')).toBe(500);
    expect(await statusOf(app, '/write', key)).toBe(500);
    instrument(byOpenTelemetry);
    expect(await statusOf(app, '/open')).toBe(200);
    expect(await statusOf(app, '/write')).toBe(401);
    expect(await statusOf(app, '/write', key)).toBe(200);
  });
});

it('a wrapper that throws before it calls Nest stops the boot, because its effect on handlers is unknown', async () => {
  const patched = function (this: object, ...[instance, handler, ...rest]: Parameters<typeof create>) {
    Reflect.get(this, 'responseController').toString();
    const wrapped = anonymous(handler as Handler) as typeof handler;
    return create.call(this as RouterExecutionContext, instance, wrapped, ...rest);
  };
  RouterExecutionContext.prototype.create = patched as typeof create;
  expect(await bootError(Orders)).toMatch(
    /Orders\.list is wrapped, and cannot be identified by name or metadata/,
  );
});

describe('a request-scoped controller accepts no request if its constructor', () => {
  const bootWith = async (controller: Type) => {
    const app = await boot({ controllers: [controller, Orders], providers: [PerRequest] });
    return { app, key: await keyWith(app, '*') };
  };

  it('binds a method whose guards stand on the method', async () => {
    @Controller('bound')
    class Routes {
      constructor(readonly perRequest: PerRequest) {
        this.get = this.get.bind(this);
      }

      @Get()
      @ApiKeyAuth('orders:write')
      get() {}

      @Get('kept')
      @ApiKeyAuth('orders:write')
      kept() {}
    }
    const { app, key } = await bootWith(Routes);
    expect(await statusOf(app, '/bound')).toBe(500);
    expect(await statusOf(app, '/bound', key)).toBe(500);
    expect(await statusOf(app, '/bound/kept')).toBe(401);
    expect(await statusOf(app, '/bound/kept', key)).toBe(200);
  });

  it('replaces a method by a function of its own', async () => {
    class Guarded {
      @Get()
      @ApiKeyAuth('orders:write')
      get(): unknown {
        return 'declared';
      }
    }

    @Controller('replaced')
    class Routes extends Guarded {
      constructor(readonly perRequest: PerRequest) {
        super();
        this.get = function get() {
          return 'replaced';
        };
      }
    }
    const { app, key } = await bootWith(Routes);
    const errors: string[] = [];
    app.app.useLogger({ log() {}, warn() {}, error: (error: unknown) => errors.push(String(error)) });
    expect(await statusOf(app, '/replaced')).toBe(500);
    expect(errors).toEqual([expect.stringMatching(/Routes\.get loses its guards/)]);
    expect(await statusOf(app, '/replaced', key)).toBe(500);
    expect(await statusOf(app, '/orders')).toBe(401);
  });
});

describe('a request-scoped controller accepts keys if its constructor', () => {
  it('wraps a method and copies its metadata', async () => {
    @Controller('wrapped')
    class Routes {
      constructor(readonly perRequest: PerRequest) {
        this.get = withMetadataAlone(this.get) as typeof this.get;
      }

      @Get()
      @ApiKeyAuth('orders:write')
      get() {}
    }
    const app = await boot({ controllers: [Routes], providers: [PerRequest] });
    expect(await statusOf(app, '/wrapped')).toBe(401);
    expect(await statusOf(app, '/wrapped', await keyWith(app, '*'))).toBe(200);
  });
});

describe('the boot stops if a controller really replaces a method:', () => {
  abstract class Guarded {
    @Get()
    @ApiKeyAuth('orders:write')
    get(): unknown {
      return 'declared';
    }
  }

  it('by a field of the same name', async () => {
    @Controller()
    class Routes extends Guarded {
      override get = () => 'replaced';
    }
    expect(await bootError(Routes)).toMatch(/Routes\.get loses its decorators/);
  });

  it('by a function of the same name in its constructor', async () => {
    @Controller()
    class Routes extends Guarded {
      constructor() {
        super();
        this.get = function get() {
          return 'replaced';
        };
      }
    }
    expect(await bootError(Routes)).toMatch(/Routes\.get loses its decorators/);
  });

  it('by another of its methods, which is public', async () => {
    @Controller()
    class Routes extends Guarded {
      constructor() {
        super();
        this.get = this.open;
      }

      @Get('open')
      @Public()
      open() {}
    }
    expect(await bootError(Routes)).toMatch(/Routes\.get loses its decorators/);
  });

  it('by a function with the metadata of another of its methods', async () => {
    @Controller()
    class Routes extends Guarded {
      constructor() {
        super();
        this.get = withMetadataAlone(this.open) as typeof this.get;
      }

      @Get('open')
      @Public()
      open() {}
    }
    expect(await bootError(Routes)).toMatch(/Routes\.get loses its decorators/);
  });

  it('by binding it, even if only guards of the whole application require a key', async () => {
    @Controller()
    class Routes {
      constructor() {
        this.get = this.get.bind(this);
      }

      @Get()
      get() {}
    }
    const providers = [{ provide: APP_GUARD, useClass: ApiKeyGuard }];
    await expect(boot({ controllers: [Routes], providers })).rejects.toThrow(
      /Routes\.get loses its decorators/,
    );
  });

  it('on its prototype, after the decorators', async () => {
    @Controller()
    class Routes {
      @Get()
      @ApiKeyAuth('orders:write')
      get() {}
    }
    const { get } = Routes.prototype;
    Routes.prototype.get = function replaced() {};
    Reflect.defineMetadata('path', Reflect.getMetadata('path', get), Routes.prototype.get);
    Reflect.defineMetadata('method', Reflect.getMetadata('method', get), Routes.prototype.get);
    expect(await bootError(Routes)).toMatch(/Routes\.get lost its @Scopes/);
  });

  it('through a Proxy of its instance whose functions have no metadata', async () => {
    @Controller()
    class Routes extends Guarded {
      constructor() {
        super();
        // biome-ignore lint/correctness/noConstructorReturn: some tracing agents return a Proxy
        return new Proxy(this, {
          get: (target, key, receiver) => {
            const value = Reflect.get(target, key, receiver);
            return key === 'get' ? byProxy(value as Handler) : value;
          },
        });
      }
    }
    expect(await bootError(Routes)).toMatch(/Routes\.get loses its decorators/);
  });

  it('through a Proxy of its class that has metadata which the class itself lacks', async () => {
    class Routes {
      @Get()
      get() {}
    }
    const Traced = new Proxy(Routes, {});
    Controller()(Traced);
    ApiKeyAuth()(Traced);
    expect(await bootError(Traced)).toMatch(/Routes\.get loses its decorators/);
  });
});

it('the boot stops if a mixin copies "constructor", so that a controller looks like a public class', async () => {
  @Public()
  class Mixin {
    @Get()
    get() {}
  }

  @Controller()
  class Routes {}
  for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(Mixin.prototype)))
    Object.defineProperty(Routes.prototype, name, descriptor);

  @Injectable()
  class AnyCredential {
    constructor(private readonly apiKeys: ApiKeyGuard) {}

    canActivate(context: ExecutionContext) {
      return this.apiKeys.canActivate(context);
    }
  }
  const providers = [{ provide: APP_GUARD, useClass: AnyCredential }];
  await expect(boot({ controllers: [Routes], providers })).rejects.toThrow(
    /Routes\.get loses its decorators, because its controller .* stands in for another class/,
  );
});

it('a guard of this library below a decorator whose function has the method as its prototype protects a public class', async () => {
  const aspect: MethodDecorator = (_target, _key, descriptor) => {
    descriptor.value = withMetadataOfItsPrototype(descriptor.value as never) as never;
  };

  @Controller()
  @Public()
  class Routes {
    @Get()
    @aspect
    @UseGuards(ApiKeyGuard)
    get() {}

    @Get('open')
    open() {}
  }
  const app = await boot({ controllers: [Routes] });
  expect(await statusOf(app, '/')).toBe(401);
  expect(await statusOf(app, '/', await keyWith(app))).toBe(200);
  expect(await statusOf(app, '/open')).toBe(200);
});

it('@ApiKeyAuth on a property that is not a method, for example after a binding decorator, throws', () => {
  const bind: MethodDecorator = (_target, _key, { value }) =>
    ({ configurable: true, get: () => value }) as never;
  expect(() => {
    class Routes {
      @Get()
      @ApiKeyAuth()
      @bind
      get() {}
    }
    return Routes;
  }).toThrow(
    /get is not a method: use @Scopes, @AnyScope, @Environments, @ApiKeyAuth and @Public only on classes and methods/,
  );
});

describe('the boot succeeds and all decorators work', () => {
  it.each(AGENTS)('if a controller wraps its methods by %s', async (_, wrap) => {
    @Controller()
    class Routes {
      constructor() {
        this.get = wrap(this.get) as typeof this.get;
      }

      @Get()
      @ApiKeyAuth('orders:read')
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/')).toBe(401);
    expect(await statusOf(app, '/', await keyWith(app))).toBe(403);
  });

  it.each(AGENTS)('if a decorator above or below ours wraps by %s', async (_, wrap) => {
    const traced: MethodDecorator = (_target, _key, descriptor) => {
      descriptor.value = wrap(descriptor.value as never) as never;
    };

    @Controller()
    class Routes {
      @Get('above')
      @traced
      @ApiKeyAuth('orders:read')
      above() {}

      @traced
      @Get('below')
      @ApiKeyAuth('orders:read')
      @traced
      below() {}
    }
    const app = await boot({ controllers: [Routes] });
    for (const path of ['/above', '/below']) {
      expect(await statusOf(app, path)).toBe(401);
      expect(await statusOf(app, path, await keyWith(app))).toBe(403);
      expect(await statusOf(app, path, await keyWith(app, 'orders:read'))).toBe(200);
    }
  });

  it('if a helper that is not a route is bound', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      constructor() {
        this.helper = this.helper.bind(this);
      }

      @Get()
      get() {
        return this.helper();
      }

      helper() {}
    }
    expect(await bootError(Routes)).toBe('booted');
  });

  it('if the class is a Proxy with the same metadata', async () => {
    @Controller()
    @ApiKeyAuth()
    class Routes {
      @Get()
      @Scopes('orders:read')
      get() {}
    }
    const Traced = new Proxy(Routes, {});
    copyMetadata(Routes, Traced);
    const app = await boot({ controllers: [Traced] });
    expect(await statusOf(app, '/')).toBe(401);
    expect(await statusOf(app, '/', await keyWith(app))).toBe(403);
  });

  it('if the instance is a Proxy that gives the methods themselves', async () => {
    @Controller()
    class Routes {
      constructor() {
        // biome-ignore lint/correctness/noConstructorReturn: some tracing agents return a Proxy
        return new Proxy(this, {});
      }

      @Get()
      @ApiKeyAuth('orders:read')
      get() {}
    }
    const app = await boot({ controllers: [Routes] });
    expect(await statusOf(app, '/')).toBe(401);
    expect(await statusOf(app, '/', await keyWith(app))).toBe(403);
  });

  it('if mixins create several classes with one name and different scopes', async () => {
    instrument(byOpenTelemetry);
    const mixin = (scope: string) => {
      class Resource {
        @Get()
        @ApiKeyAuth(scope as never)
        list() {}
      }
      return Resource;
    };

    @Controller('orders')
    class OrderRoutes extends mixin('orders:read') {}

    @Controller('invoices')
    class InvoiceRoutes extends mixin('api-keys:read') {}
    const app = await boot({ controllers: [OrderRoutes, InvoiceRoutes] });
    const key = await keyWith(app, 'orders:read');
    expect(await statusOf(app, '/orders', key)).toBe(200);
    expect(await statusOf(app, '/invoices', key)).toBe(403);
  });
});

it('the boot stops if another decorator replaced the function of @Cost', async () => {
  const traced: MethodDecorator = (_target, _key, descriptor) => {
    const inner = descriptor.value as unknown as Handler;
    descriptor.value = anonymous(inner) as never;
  };

  @Controller()
  class Routes {
    @Get()
    @ApiKeyAuth()
    @traced
    @Cost(5)
    get() {}
  }
  expect(await bootError(Routes)).toMatch(/Routes\.get lost its @Cost/);
});
