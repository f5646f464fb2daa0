import {
  applyDecorators,
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  Logger,
  Module,
  mixin,
  type OnModuleInit,
  Scope,
  SetMetadata,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD, ApplicationConfig, NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import {
  AnyScope,
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyThrottlerGuard,
  Environments,
  Public,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { ADAPTERS, bootApp, libraryModules, type TestApp, type TestAppSettings } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';

type Guards = (Type<CanActivate> | CanActivate)[];
type Settings = Omit<TestAppSettings, 'database'>;

let database: string;
let running: TestApp | undefined;
let warned: jest.SpyInstance;

beforeAll(async () => {
  database = await createMigratedDatabase();
});

beforeEach(() => {
  warned = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
});

afterEach(async () => {
  warned.mockRestore();
  await running?.close();
  running = undefined;
});

async function boot(settings: Settings): Promise<TestApp> {
  running = await bootApp({ database, ...settings });
  return running;
}

async function bootError(settings: Settings): Promise<string> {
  return boot(settings).then(
    () => 'booted',
    (error: Error) => error.message,
  );
}

/** Warnings about guards, not about timeouts or limits. */
function warnings(): string[] {
  return warned.mock.calls.map(([text]) => String(text)).filter((text) => /Guard runs|guard runs/.test(text));
}

/** A controller with guards on its class, and on its method. */
function routesWith(onClass: Guards, onMethod: Guards = []): Type {
  @Controller()
  @UseGuards(...onClass)
  class Routes {
    @Get()
    @UseGuards(...onMethod)
    get() {}
  }
  return Routes;
}

const OURS = [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard];
const undecorated = () => {};
const globally = (...guards: Type[]) => guards.map((useClass) => ({ provide: APP_GUARD, useClass }));

@Injectable()
class LoggedIn implements CanActivate {
  canActivate() {
    return true;
  }
}

/** Accepts a key, as a guard does that accepts other credentials too. */
@Injectable()
class AnyCredential implements CanActivate {
  constructor(private readonly apiKeys: ApiKeyGuard) {}
  canActivate(context: ExecutionContext) {
    return this.apiKeys.canActivate(context);
  }
}

@Injectable()
class MyKeys extends ApiKeyGuard {}

@Injectable()
class MyScopes extends ScopesGuard {}

@Injectable()
class MyChangedScopes extends ScopesGuard {
  override canActivate(context: ExecutionContext) {
    return super.canActivate(context);
  }
}

const instance = Object.create(ApiKeyGuard.prototype) as ApiKeyGuard;
const CLOSING: [string, () => MethodDecorator & ClassDecorator][] = [
  ['@UseGuards(ApiKeyGuard)', () => UseGuards(ApiKeyGuard)],
  ['@UseGuards with another guard before', () => UseGuards(LoggedIn, ApiKeyGuard)],
  ['@UseGuards with a guard that extends ApiKeyGuard', () => UseGuards(MyKeys)],
  ['@UseGuards with an instance', () => UseGuards(instance)],
  ['@UseGuards(ScopesGuard)', () => UseGuards(ScopesGuard)],
  ['@ApiKeyAuth()', () => ApiKeyAuth()],
  ["@Scopes('orders:read')", () => Scopes('orders:read')],
  ["@AnyScope('orders:read')", () => AnyScope('orders:read')],
  ['a composed decorator', () => applyDecorators(UseGuards(ApiKeyGuard), SetMetadata('role', 'any'))],
];

describe('the boot stops if @Public stands', () => {
  it.each(CLOSING)('on a method beside %s', async (_, closing) => {
    @Controller()
    class Routes {
      @Get('above')
      @Public()
      @closing()
      above() {}

      @Get('below')
      @closing()
      @Public()
      below() {}
    }
    const message = await bootError({ controllers: [Routes], providers: globally(ApiKeyGuard, ScopesGuard) });
    expect(message).toMatch(/Routes\.above has @Public beside a guard .*: remove one of them/);
    expect(message).toMatch(/Routes\.below has @Public beside/);
  });

  it.each(CLOSING)('on a class beside %s', async (_, closing) => {
    @Controller('above')
    @Public()
    @closing()
    class Above {
      @Get()
      get() {}
      @Get('other')
      other() {}
    }

    @Controller('below')
    @closing()
    @Public()
    class Below {
      @Get()
      get() {}
    }
    const message = await bootError({
      controllers: [Above, Below],
      providers: globally(ApiKeyGuard, ScopesGuard),
    });
    expect(message.match(/Above has @Public/g)).toHaveLength(1);
    expect(message).toMatch(/Below has @Public/);
  });

  it('on a class beside guards, and only its subclass is a controller', async () => {
    @Public()
    @UseGuards(ApiKeyGuard)
    abstract class Base {
      @Get()
      get() {}
    }

    @Controller()
    class Routes extends Base {}
    expect(await bootError({ controllers: [Routes] })).toMatch(/Base has @Public beside/);
  });

  it.each<[string, ClassDecorator]>([
    ['@ApiKeyAuth()', ApiKeyAuth()],
    ['@Scopes', Scopes('orders:read')],
  ])('on a class that extends a class with %s, because it would open nothing', async (_, closing) => {
    @closing
    abstract class Base {
      @Get()
      get() {}
    }

    @Public()
    abstract class Middle extends Base {}

    @Controller()
    class Routes extends Middle {}
    const providers = globally(...OURS);
    expect(await bootError({ controllers: [Routes], providers })).toMatch(
      /Middle has @Public, but extends a class with @Scopes, .*, which has priority: put @Public on methods/,
    );
  });

  it.each(
    CLOSING,
  )('again on a subclass beside %s, although its superclass is @Public too', async (_, closing) => {
    @Public()
    abstract class Base {
      @Get()
      get() {}
    }

    @Controller()
    @Public()
    @closing()
    class Routes extends Base {}
    const providers = globally(ApiKeyGuard, ScopesGuard);
    expect(await bootError({ controllers: [Routes], providers })).toMatch(/Routes has @Public beside/);
  });
});

describe('the boot stops if guards are in an order in which no key is accepted:', () => {
  const scopesFirst = /ScopesGuard runs before ApiKeyGuard on Routes\.get, so that no key is accepted there/;
  const limitsFirst = /ApiKeyThrottlerGuard runs before ApiKeyGuard on Routes\.get/;

  it.each<[string, Settings, RegExp]>([
    ['ScopesGuard first', { controllers: [routesWith([ScopesGuard, ApiKeyGuard])] }, scopesFirst],
    [
      'ApiKeyThrottlerGuard first',
      { controllers: [routesWith([ApiKeyThrottlerGuard, ApiKeyGuard, ScopesGuard])] },
      limitsFirst,
    ],
    [
      'ScopesGuard on the class and ApiKeyGuard on the method',
      { controllers: [routesWith([ScopesGuard], [ApiKeyGuard])] },
      scopesFirst,
    ],
    [
      'ScopesGuard for the application and ApiKeyGuard on the class',
      { controllers: [routesWith([ApiKeyGuard])], providers: globally(ScopesGuard) },
      scopesFirst,
    ],
    [
      'two APP_GUARDs in the wrong order',
      { controllers: [routesWith([])], providers: globally(ApiKeyThrottlerGuard, ApiKeyGuard) },
      limitsFirst,
    ],
    [
      'an APP_GUARD before a request-scoped one, although it is provided later',
      {
        controllers: [routesWith([])],
        providers: [
          { provide: APP_GUARD, useClass: MyKeys, scope: Scope.REQUEST },
          { provide: APP_GUARD, useClass: ScopesGuard },
        ],
      },
      /ScopesGuard runs before MyKeys on Routes\.get/,
    ],
    [
      'guards that extend those of the library',
      { controllers: [routesWith([MyScopes, MyKeys])] },
      /MyScopes runs before MyKeys on Routes\.get/,
    ],
    [
      'one that extends ScopesGuard and overrides canActivate, in the same list',
      { controllers: [routesWith([MyChangedScopes, ApiKeyGuard])] },
      /MyChangedScopes runs before ApiKeyGuard on Routes\.get/,
    ],
    [
      'a guard of the application before the wrong order in one list',
      { controllers: [routesWith([LoggedIn, ScopesGuard, ApiKeyGuard])] },
      scopesFirst,
    ],
    [
      'a guard of the application, and the wrong order in the list of the class',
      { controllers: [routesWith([ScopesGuard, ApiKeyGuard])], providers: globally(LoggedIn) },
      scopesFirst,
    ],
    [
      'only ThrottlerGuard before the wrong order',
      {
        controllers: [routesWith([ScopesGuard], [ApiKeyGuard])],
        providers: globally(ThrottlerGuard),
        imports: [ThrottlerModule.forRoot([{ limit: 100, ttl: 60_000 }])],
      },
      scopesFirst,
    ],
    [
      'ScopesGuard alone',
      { controllers: [routesWith([ScopesGuard])] },
      /ScopesGuard runs without ApiKeyGuard on Routes\.get, so that no key is accepted there/,
    ],
    [
      'ApiKeyThrottlerGuard alone',
      { controllers: [routesWith([ApiKeyThrottlerGuard])] },
      /ApiKeyThrottlerGuard runs without ApiKeyGuard on Routes\.get/,
    ],
  ])('%s', async (_, settings, message) => {
    expect(await bootError(settings)).toMatch(message);
  });

  it('a mixin that extends ScopesGuard and has no name, or the random one that Nest gives it', async () => {
    const nameless = () => class extends ScopesGuard {};
    for (const guard of [nameless(), mixin(nameless())])
      expect(await bootError({ controllers: [routesWith([guard, ApiKeyGuard])] })).toMatch(
        /a class that extends ScopesGuard runs before ApiKeyGuard on Routes\.get/,
      );
  });

  it('two @UseGuards of which the lower one has ScopesGuard, because Nest runs the lower one first', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard)
    @UseGuards(ScopesGuard)
    class Routes {
      @Get()
      get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toMatch(scopesFirst);
  });

  it('@ApiKeyAuth on a class that extends a class with ScopesGuard', async () => {
    @UseGuards(ScopesGuard)
    abstract class Base {}

    @Controller()
    @ApiKeyAuth()
    class Routes extends Base {
      @Get()
      get() {}
    }
    expect(await bootError({ controllers: [Routes] })).toMatch(scopesFirst);
  });

  it('a controller of two modules, which is named once', async () => {
    const controllers = [routesWith([ScopesGuard, ApiKeyGuard])];
    @Module({ controllers })
    class One {}
    @Module({ controllers })
    class Other {}
    expect(await bootError({ imports: [One, Other] })).toMatch(/on Routes\.get, so that no key/);
  });

  it('all routes with the same order are in one message', async () => {
    @Controller()
    @UseGuards(ScopesGuard, ApiKeyGuard)
    class Routes {
      @Get('a')
      a() {}
      @Get('b')
      b() {}
      @Get('open')
      @Public()
      open() {}
    }
    const message = await bootError({ controllers: [Routes] });
    expect(message).toMatch(/ScopesGuard runs before ApiKeyGuard on Routes\.a, Routes\.b, so that/);
    expect(message).not.toMatch(/Routes\.open/);
  });

  it('a guard of a handler of messages', async () => {
    @Controller()
    class Messages {
      @SetMetadata('microservices:pattern', ['orders'])
      @UseGuards(ScopesGuard, ApiKeyGuard)
      orders() {}
    }

    @Injectable()
    class Gateway {
      @SetMetadata('websockets:message_mapping', true)
      @UseGuards(ScopesGuard, ApiKeyGuard)
      joined() {}
    }
    expect(await bootError({ controllers: [Messages], providers: [Gateway] })).toMatch(
      /ScopesGuard runs before ApiKeyGuard on Messages\.orders, Gateway\.joined/,
    );
  });
});

it.each<[string, MethodDecorator, ClassDecorator]>([
  ['the method', Scopes('orders:read'), undecorated],
  ['the class', undecorated, Scopes('orders:read')],
])('the boot stops if %s of a handler of messages has scopes, and only guards of the application would check them, because Nest does not run those', async (_, onMethod, onClass) => {
  @Controller()
  @onClass
  class Messages {
    @SetMetadata('microservices:pattern', ['orders'])
    @onMethod
    orders() {}
  }
  const providers = globally(ApiKeyGuard, ScopesGuard);
  expect(await bootError({ controllers: [Messages], providers })).toMatch(
    /Messages\.orders requires scopes that no guard checks/,
  );
});

it.each<[string, string, ClassDecorator, MethodDecorator, RegExp]>([
  ['the class', 'scopes', Scopes('orders:read'), undecorated, /requires scopes that no guard/],
  ['the method', 'scopes', undecorated, Scopes('orders:read'), /requires scopes that no guard/],
  ['the class', 'environments', Environments('live'), undecorated, /@Environments that no guard/],
  ['the method', 'environments', undecorated, Environments('live'), /@Environments that no guard/],
])('the boot stops if %s of a gateway has %s, and only guards of the application would check them', async (_, __, onClass, onMethod, problem) => {
  @Injectable()
  @onClass
  class Gateway {
    @SetMetadata('websockets:message_mapping', true)
    @onMethod
    joined() {}
    helper() {}
  }
  const providers = [...globally(ApiKeyGuard, ScopesGuard), Gateway];
  const message = await bootError({ providers, options: { prefix: { live: 'acme_live' } } });
  expect(message).toMatch(/Gateway\.joined/);
  expect(message).toMatch(problem);
  expect(message).not.toMatch(/Gateway\.helper/);
});

it('the boot stops if the class of a resolver has scopes, and no guard checks them', async () => {
  @Injectable()
  @Scopes('orders:read')
  class Resolver {
    @SetMetadata('graphql:resolver_type', 'Query')
    orders() {}
    helper() {}
  }
  expect(await bootError({ providers: [Resolver] })).toMatch(
    /^ApiKeyModule: Resolver\.orders requires scopes that no guard checks[^;]*; [^;]*$/,
  );
  expect(await bootError({ providers: [...globally(ApiKeyGuard, ScopesGuard), Resolver] })).toBe('booted');
});

it.each<[string, ClassDecorator]>([
  ['@UseGuards(ApiKeyGuard)', UseGuards(ApiKeyGuard)],
  ['@ApiKeyAuth()', ApiKeyAuth()],
  ['@Scopes', Scopes('orders:read')],
])('the boot stops if %s stands on a module, where Nest reads no guards', async (_, guarded) => {
  @guarded
  @Module({ controllers: [routesWith([])] })
  class OrdersModule {}
  expect(await bootError({ imports: [OrdersModule] })).toMatch(/OrdersModule is a module, where guards/);
});

it('the boot stops and says why if only a factory that is called for each request creates the guard that checks scopes', async () => {
  @Controller()
  class Routes {
    @Get()
    @Scopes('orders:read')
    get() {}
  }
  const useFactory = (made: CanActivate) => made;
  const providers = OURS.map((guard) => ({
    provide: APP_GUARD,
    useFactory,
    inject: [guard],
    scope: Scope.REQUEST,
  }));
  expect(await bootError({ controllers: [Routes], providers })).toMatch(
    /Routes\.get requires scopes that no guard checks: .* a request-scoped APP_GUARD needs useClass or useExisting/,
  );
});

describe.each(ADAPTERS)('on %s, a guard that is added after Nest registered the routes', (adapter) => {
  it('throws after init()', async () => {
    const { app } = await boot({ adapter, controllers: [routesWith([])] });
    expect(() => app.useGlobalGuards(app.get(ApiKeyGuard))).toThrow(
      /ApiKeyGuard was added to the global guards after the routes were registered, so that it would guard no route/,
    );
    expect(() => app.useGlobalGuards(new LoggedIn(), app.get(ScopesGuard))).toThrow(/ScopesGuard was added/);
  });

  it('stops the boot if a module adds it in onModuleInit', async () => {
    @Module({})
    class GuardsModule implements OnModuleInit {
      constructor(
        private readonly application: ApplicationConfig,
        private readonly guard: ApiKeyGuard,
      ) {}
      onModuleInit() {
        this.application.useGlobalGuards(this.guard);
      }
    }
    const settings = { adapter, controllers: [routesWith([])], imports: [GuardsModule] };
    expect(await bootError(settings)).toMatch(/ApiKeyGuard was added to the global guards after/);
  });

  it('is accepted if it is not one of this library', async () => {
    const { app } = await boot({ adapter, controllers: [routesWith([])] });
    expect(() => app.useGlobalGuards(new LoggedIn())).not.toThrow();
  });

  it('protects all routes if it is added before init()', async () => {
    const module = await Test.createTestingModule({
      imports: libraryModules(database),
      controllers: [routesWith([], [ScopesGuard])],
    }).compile();
    const app = module.createNestApplication();
    app.useGlobalGuards(app.get(ApiKeyGuard));
    await app.listen(0, '127.0.0.1');
    expect((await fetch(await app.getUrl())).status).toBe(401);
    await app.close();
  });
});

describe('the boot succeeds without a warning if', () => {
  it('a controller with scopes has a method that a timer calls', async () => {
    @Controller()
    @Scopes('orders:read')
    class Routes {
      @Get()
      get() {}
      @SetMetadata('SCHEDULE_CRON_OPTIONS', { cronTime: '* * * * *' })
      sweep() {}
      helper() {}
    }
    const providers = globally(ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard);
    expect(await bootError({ controllers: [Routes], providers })).toBe('booted');
    expect(warnings()).toEqual([]);
  });

  it('@Public opens a method of a guarded class, and a class under guards of the application', async () => {
    @Controller('guarded')
    @ApiKeyAuth('orders:read')
    class Guarded {
      @Get()
      @Public()
      open() {}
    }

    @Controller('open')
    @Public()
    class Open {
      @Get()
      get() {}
      @Get('closed')
      @ApiKeyAuth()
      closed() {}
      @Get('other')
      @UseGuards(LoggedIn)
      other() {}
    }

    @UseGuards(ApiKeyGuard)
    abstract class Base {}

    @Controller('heir')
    @Public()
    class Heir extends Base {
      @Get()
      get() {}
    }
    const { url } = await boot({
      controllers: [Guarded, Open, Heir],
      providers: globally(ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard),
    });
    const paths = ['/guarded', '/open', '/open/other', '/heir', '/open/closed'];
    const answers = await Promise.all(paths.map((path) => fetch(url + path)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 401]);
    expect(warnings()).toEqual([]);
  });

  it('APP_GUARDs are request-scoped and name existing guards', async () => {
    const scope = Scope.REQUEST;
    const { url } = await boot({
      controllers: [routesWith([])],
      providers: OURS.map((useExisting) => ({ provide: APP_GUARD, useExisting, scope })),
      options: { strict: true },
    });
    expect((await fetch(url)).status).toBe(401);
    expect(warnings()).toEqual([]);
  });

  it.each<[string, TestAppSettings['providers']]>([
    [
      'other names of existing guards',
      OURS.flatMap((guard, at) => [
        { provide: `alias ${at}`, useExisting: guard },
        { provide: APP_GUARD, useExisting: `alias ${at}`, scope: Scope.REQUEST },
      ]),
    ],
    [
      'a value of a factory',
      OURS.flatMap((guard, at) => [
        { provide: `made ${at}`, useFactory: (made: CanActivate) => made, inject: [guard] },
        { provide: APP_GUARD, useExisting: `made ${at}`, scope: Scope.REQUEST },
      ]),
    ],
    [
      'guards that an imported module exports under another name',
      OURS.map((_, at) => ({ provide: APP_GUARD, useExisting: `exported ${at}`, scope: Scope.REQUEST })),
    ],
  ])('request-scoped APP_GUARDs name %s', async (_, providers) => {
    @Controller()
    class Routes {
      @Get()
      @Scopes('orders:read')
      get() {}
    }
    const names = OURS.map((_, at) => `exported ${at}`);
    @Module({
      providers: names.map((provide, at) => ({ provide, useExisting: OURS[at] as Type<CanActivate> })),
      exports: names,
    })
    class NamesModule {}
    @Module({ imports: [NamesModule], exports: [NamesModule] })
    class SharedModule {}
    const settings = { controllers: [Routes], imports: [SharedModule], providers };
    const { url } = await boot({ ...settings, options: { strict: true } });
    expect((await fetch(url)).status).toBe(401);
    expect(warnings()).toEqual([]);
  });

  it('a guard of the application has no prototype', async () => {
    const guard: CanActivate = Object.assign(Object.create(null), { canActivate: () => true });
    const { url } = await boot({ controllers: [routesWith([guard, ApiKeyGuard])] });
    expect((await fetch(url)).status).toBe(401);
    expect(warnings()).toEqual([]);
  });

  it('Nest only previews the application, and runs no constructor', async () => {
    @Module({ imports: libraryModules(database), controllers: [routesWith([ApiKeyGuard])] })
    class PreviewModule {}
    const options = { preview: true, logger: false, abortOnError: false } as const;
    const preview = await NestFactory.create(PreviewModule, options);
    await preview.init();
    await preview.close();
    expect(warned.mock.calls.flat().filter((text) => /configure/.test(String(text)))).toEqual([]);
  });

  it('a guard of the application authenticates the key before ScopesGuard', async () => {
    const app = await boot({ controllers: [routesWith([AnyCredential, ScopesGuard])] });
    const { key } = await app.keys.create({ userId: await createUser(database), name: 'ci' });
    expect((await fetch(app.url, { headers: { 'x-api-key': key } })).status).toBe(200);
    expect(warnings()).toEqual([]);
  });

  it('it has no HTTP, because the server may have global guards that a script has not', async () => {
    @Module({
      imports: libraryModules(database),
      controllers: [routesWith([ScopesGuard])],
    })
    class ScriptModule {}
    const script = await NestFactory.createApplicationContext(ScriptModule, {
      logger: false,
      abortOnError: false,
    });
    await script.close();
    expect(warnings()).toEqual([]);
  });
});

describe('the boot logs a warning with the names of the routes if', () => {
  it('ScopesGuard runs before ApiKeyGuard, but after a guard of the application that may authenticate', async () => {
    const providers = globally(AnyCredential, ScopesGuard);
    const app = await boot({ controllers: [routesWith([ApiKeyGuard])], providers });
    expect(warnings()).toEqual([
      expect.stringMatching(
        /^ScopesGuard runs before ApiKeyGuard on Routes\.get, so that no key .* unless another guard/,
      ),
    ]);
    const { key } = await app.keys.create({ userId: await createUser(database), name: 'ci' });
    expect((await fetch(app.url, { headers: { 'x-api-key': key } })).status).toBe(200);
  });

  it('ApiKeyThrottlerGuard runs after ScopesGuard, because then refusals for scopes are not limited', async () => {
    @Controller()
    @UseGuards(ApiKeyGuard, ScopesGuard, ApiKeyThrottlerGuard)
    class Routes {
      @Get('scoped')
      @Scopes('orders:read')
      scoped() {}
      @Get('any')
      any() {}
    }
    await boot({ controllers: [Routes] });
    expect(warnings()).toEqual([
      expect.stringMatching(
        /^ApiKeyThrottlerGuard runs after ScopesGuard on Routes\.scoped, so that requests/,
      ),
    ]);
  });

  it('guards stand on a service, where none runs', async () => {
    @Injectable()
    class OrdersService {
      @ApiKeyAuth()
      remove() {}
      helper() {}
    }

    @Injectable()
    @UseGuards(ApiKeyGuard)
    class ReportsService {
      report() {}
    }

    @Injectable()
    @UseGuards(ApiKeyGuard)
    class Gateway {
      @SetMetadata('websockets:message_mapping', true)
      joined() {}
      helper() {}
    }
    await boot({ providers: [OrdersService, ReportsService, Gateway] });
    expect(warnings()).toEqual([
      expect.stringMatching(/^No guard runs on OrdersService\.remove, ReportsService, because no decorator/),
    ]);
  });
});

it.each([
  ['ScopesGuard', ScopesGuard],
  ['ApiKeyThrottlerGuard', ApiKeyThrottlerGuard],
])('a request that no ApiKeyGuard authenticated is refused by %s, which logs the route once', async (name, guard) => {
  const app = await boot({ controllers: [routesWith([LoggedIn, guard])] });
  const lines: string[] = [];
  app.app.useLogger({ log() {}, warn() {}, error: (line: string) => lines.push(line) });
  const { key } = await app.keys.create({ userId: await createUser(database), name: 'ci' });
  for (let i = 0; i < 3; i++)
    expect((await fetch(app.url, { headers: { 'x-api-key': key } })).status).toBe(401);
  expect(lines).toEqual([
    `Routes.get refuses every request, because no ApiKeyGuard ran before ${name}: put ApiKeyGuard first, or mark the route @Public()`,
  ]);
});
