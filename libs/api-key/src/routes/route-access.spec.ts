import { UseGuards } from '@nestjs/common';
import { classContradiction } from './public-contradiction';
import { asksForScopes, guardsAdded, RouteAccesses, routeAccess, scopesAskedFor } from './route-access';
import { AnyScope, declaredAccess, NeedsKey, Public, Scopes } from './scopes.decorator';

/** The access of the method `handle` of a class. */
function accessOf(controller: new () => { handle(): void }) {
  return routeAccess({ getClass: () => controller, getHandler: () => controller.prototype.handle });
}

/** Copies all metadata, inherited ones as well, as wrappers do. */
function copyOf<T extends object>(from: object, to: T): T {
  for (const key of Reflect.getMetadataKeys(from))
    Reflect.defineMetadata(key, Reflect.getMetadata(key, from), to);
  return to;
}

describe('a route that declares nothing', () => {
  it('is not public and requires no scope, so that it needs a valid key', () => {
    class Orders {
      handle() {}
    }
    expect(accessOf(Orders)).toEqual({ isPublic: false, all: [], any: [], environments: [] });
  });
});

describe('@Scopes', () => {
  it('requires all of its scopes', () => {
    class Orders {
      @Scopes('orders:read', 'orders:write')
      handle() {}
    }
    expect(accessOf(Orders)).toEqual({
      isPublic: false,
      all: ['orders:read', 'orders:write'],
      any: [],
      environments: [],
    });
  });

  it('on class and method adds up, the class first', () => {
    @Scopes('orders:read')
    class Orders {
      @Scopes('orders:write')
      handle() {}
    }
    expect(accessOf(Orders).all).toEqual(['orders:read', 'orders:write']);
  });

  it('twice on one method adds up', () => {
    class Orders {
      @Scopes('orders:read')
      @Scopes('orders:write')
      handle() {}
    }
    expect(new Set(accessOf(Orders).all)).toEqual(new Set(['orders:read', 'orders:write']));
  });

  it('lists a scope once, however often it is declared', () => {
    @Scopes('orders:read', 'orders:read')
    class Orders {
      @Scopes('orders:read')
      handle() {}
    }
    expect(accessOf(Orders).all).toEqual(['orders:read']);
  });

  it('on one method does not affect other methods', () => {
    class Orders {
      @Scopes('orders:write')
      create() {}
      handle() {}
    }
    expect(accessOf(Orders).all).toEqual([]);
  });

  it('on a class applies to its subclasses, which may require more', () => {
    @Scopes('orders:read')
    class Base {
      handle() {}
    }
    class Heir extends Base {}
    @Scopes('orders:write')
    class DemandingHeir extends Base {}
    expect(accessOf(Heir).all).toEqual(['orders:read']);
    expect(accessOf(DemandingHeir).all).toEqual(['orders:read', 'orders:write']);
    expect(accessOf(Base).all).toEqual(['orders:read']);
  });

  it('on a method applies to inherited methods', () => {
    class Base {
      @Scopes('orders:read')
      handle() {}
    }
    class Heir extends Base {}
    expect(accessOf(Heir).all).toEqual(['orders:read']);
  });
});

describe('@AnyScope', () => {
  it('requires one of its scopes', () => {
    class Orders {
      @AnyScope('orders:read', 'orders:write')
      handle() {}
    }
    expect(accessOf(Orders)).toEqual({
      isPublic: false,
      all: [],
      any: [['orders:read', 'orders:write']],
      environments: [],
    });
  });

  it('on class and method requires one scope of each group', () => {
    @AnyScope('orders:read', 'orders:write')
    class Orders {
      @AnyScope('api-keys:read', 'api-keys:write')
      handle() {}
    }
    expect(accessOf(Orders).any).toEqual([
      ['orders:read', 'orders:write'],
      ['api-keys:read', 'api-keys:write'],
    ]);
  });

  it('twice on one method requires one scope of each group', () => {
    class Orders {
      @AnyScope('orders:read')
      @AnyScope('api-keys:read', 'api-keys:write')
      handle() {}
    }
    expect(new Set(accessOf(Orders).any)).toEqual(
      new Set([['orders:read'], ['api-keys:read', 'api-keys:write']]),
    );
  });

  it('together with @Scopes requires both', () => {
    class Orders {
      @AnyScope('api-keys:read', 'api-keys:write')
      @Scopes('orders:read')
      handle() {}
    }
    expect(accessOf(Orders)).toEqual({
      isPublic: false,
      all: ['orders:read'],
      any: [['api-keys:read', 'api-keys:write']],
      environments: [],
    });
  });
});

describe('@Public', () => {
  it('makes a route public', () => {
    class Orders {
      @Public()
      handle() {}
    }
    expect(accessOf(Orders).isPublic).toBe(true);
  });

  it('on a class makes its routes public, also those of its subclasses', () => {
    @Public()
    class Base {
      handle() {}
    }
    class Heir extends Base {}
    expect(accessOf(Base).isPublic).toBe(true);
    expect(accessOf(Heir).isPublic).toBe(true);
  });

  it('on one method does not make other methods public', () => {
    class Orders {
      @Public()
      health() {}
      handle() {}
    }
    expect(accessOf(Orders).isPublic).toBe(false);
  });

  it('on a class gives way to scopes on the method', () => {
    @Public()
    class Orders {
      @Scopes('orders:read')
      handle() {}
    }
    expect(accessOf(Orders)).toMatchObject({ isPublic: false, all: ['orders:read'] });
  });

  it('on a class gives way to @AnyScope on the method', () => {
    @Public()
    class Orders {
      @AnyScope('orders:read')
      handle() {}
    }
    expect(accessOf(Orders).isPublic).toBe(false);
  });

  it('on a method makes it public in a class that requires scopes', () => {
    @Scopes('orders:read')
    class Orders {
      @Public()
      handle() {}
    }
    expect(accessOf(Orders).isPublic).toBe(true);
  });

  it('on a method gives way to scopes on the same method, in either order', () => {
    class Above {
      @Public()
      @Scopes('orders:read')
      handle() {}
    }
    class Below {
      @Scopes('orders:read')
      @Public()
      handle() {}
    }
    expect(accessOf(Above).isPublic).toBe(false);
    expect(accessOf(Below).isPublic).toBe(false);
  });

  it('on a class gives way to scopes on the same class', () => {
    @Public()
    @Scopes('orders:read')
    class Orders {
      handle() {}
    }
    expect(accessOf(Orders).isPublic).toBe(false);
  });

  it('on a class gives way to scopes of its base class', () => {
    @Scopes('orders:read')
    class Base {
      handle() {}
    }
    @Public()
    class Heir extends Base {}
    expect(accessOf(Heir)).toMatchObject({ isPublic: false, all: ['orders:read'] });
  });

  it('on a class gives way to scopes of a subclass', () => {
    @Public()
    class Base {
      handle() {}
    }
    @Scopes('orders:read')
    class Heir extends Base {}
    expect(accessOf(Heir).isPublic).toBe(false);
    expect(accessOf(Base).isPublic).toBe(true);
  });
});

describe('@Public on a class, with a guard of this library', () => {
  @NeedsKey()
  class Guard {
    canActivate() {
      return true;
    }
  }
  class OtherGuard {
    canActivate() {
      return true;
    }
  }

  const isPublic = (controller: new () => { handle(): void }) => accessOf(controller).isPublic;

  it('on the method needs a key, also if a wrapper copies the metadata of the method', () => {
    const wrapped: MethodDecorator = (_target, _key, descriptor) => {
      descriptor.value = Object.setPrototypeOf(() => {}, descriptor.value as object);
    };

    @Public()
    class Orders {
      @wrapped
      @UseGuards(Guard)
      handle() {}
    }
    expect(isPublic(Orders)).toBe(false);
  });

  @Public()
  class Open {
    handle() {}
  }

  @UseGuards(Guard)
  class GuardedHeir extends Open {}

  it.each<[string, () => new () => { handle(): void }]>([
    ['itself', () => GuardedHeir],
    ['extended by another', () => class extends GuardedHeir {}],
    [
      'extended by one that has copies of its metadata',
      () => copyOf(GuardedHeir, class extends GuardedHeir {}),
    ],
    ['as a Proxy that has copies of its metadata', () => copyOf(GuardedHeir, new Proxy(GuardedHeir, {}))],
  ])('on a subclass needs a key, %s', (_, controller) => {
    expect(isPublic(controller())).toBe(false);
  });

  @Public()
  @UseGuards(Guard)
  class OpenWithGuard {
    handle() {}
  }

  @UseGuards(OtherGuard)
  class HeirWithOtherGuard extends OpenWithGuard {}

  @UseGuards(Guard)
  class HeirWithGuard extends OpenWithGuard {}

  it.each<[string, () => new () => { handle(): void }]>([
    ['itself', () => OpenWithGuard],
    ['extended by another', () => class extends OpenWithGuard {}],
    ['extended by one that adds a guard that is not ours', () => HeirWithOtherGuard],
    ['as a copy', () => copyOf(OpenWithGuard, class extends OpenWithGuard {})],
    ['extended by one that sets the guard again', () => HeirWithGuard],
  ])('on the same class needs a key, %s', (_, controller) => {
    expect(isPublic(controller())).toBe(false);
  });

  @UseGuards(Guard)
  class Guarded {
    handle() {}
  }

  @Public()
  class OpenHeir extends Guarded {}

  @UseGuards(OtherGuard)
  class OpenHeirWithOtherGuard extends OpenHeir {}

  it.each<[string, () => new () => { handle(): void }]>([
    ['itself', () => OpenHeir],
    ['extended by another', () => class extends OpenHeir {}],
    ['extended by one that adds a guard that is not ours', () => OpenHeirWithOtherGuard],
    ['as a copy', () => copyOf(OpenHeir, class extends OpenHeir {})],
  ])('on its superclass is public, %s', (_, controller) => {
    expect(isPublic(controller())).toBe(true);
  });

  it('on the same method needs a key', () => {
    class Orders {
      @Public()
      @UseGuards(Guard)
      handle() {}
    }
    expect(isPublic(Orders)).toBe(false);
  });

  it('is a contradiction on the class that has both, and on no class that extends it', () => {
    expect([Open, GuardedHeir, Guarded, OpenHeir, OpenHeirWithOtherGuard].map(classContradiction)).toEqual(
      Array(5).fill(null),
    );
    for (const found of [
      OpenWithGuard,
      HeirWithOtherGuard,
      copyOf(OpenWithGuard, class extends OpenWithGuard {}),
    ])
      expect(classContradiction(found)).toEqual({ type: OpenWithGuard, isInherited: false });
  });

  it('is a contradiction on a class that extends one with scopes, and not on one that only copies its metadata', () => {
    @Scopes('orders:read')
    class Scoped {}
    @Public()
    class OpenHeirOfScoped extends Scoped {}
    const found = { type: OpenHeirOfScoped, isInherited: true };
    for (const heir of [OpenHeirOfScoped, copyOf(OpenHeirOfScoped, class extends OpenHeirOfScoped {})])
      expect(classContradiction(heir)).toEqual(found);
    expect(classContradiction(Scoped)).toBeNull();
  });
});

describe.each([
  ['@Scopes', Scopes],
  ['@AnyScope', AnyScope],
])('%s', (name, decorator) => {
  const applyTo = (...scopes: unknown[]) => Reflect.apply(decorator, undefined, scopes);

  it('without a scope throws where it is written, and the message points to @Public', () => {
    expect(() => applyTo()).toThrow(
      new TypeError(`${name}() has no scopes; for a public route use @Public()`),
    );
  });

  it.each([
    ['nothing', ''],
    ['two words', 'orders:read orders:write'],
    ['a quotation mark', '"'],
    ['null', null],
    ['a list', ['orders:read']],
    ['a number', 1],
  ])('with %s throws where it is written', (_, scope) => {
    expect(() => applyTo('orders:read', scope)).toThrow(
      new TypeError(`${name}: ${JSON.stringify(scope)} is not a scope (RFC 6749 section 3.3)`),
    );
  });
});

describe('the declaration of a class or method', () => {
  it('is empty without a decorator', () => {
    expect(declaredAccess(class {})).toEqual({
      timesPublic: 0,
      needsKey: false,
      all: [],
      any: [],
      environments: [],
    });
  });

  it('is immutable: a declaration does not change an earlier one', () => {
    @Scopes('orders:read')
    class Base {}
    const earlier = declaredAccess(Base);
    @Scopes('orders:write')
    class Heir extends Base {}
    expect(declaredAccess(Heir).all).toEqual(['orders:read', 'orders:write']);
    expect(declaredAccess(Base)).toBe(earlier);
    expect(earlier.all).toEqual(['orders:read']);
  });
});

describe('a demand', () => {
  it.each([
    [false, { all: [], any: [] }],
    [true, { all: ['a'], any: [] }],
    [true, { all: [], any: [['a']] }],
    [true, { all: ['a'], any: [['b']] }],
  ])('requires scopes (%p) for %j', (asks, demand) => {
    expect(asksForScopes(demand)).toBe(asks);
  });

  it('lists each of its scopes once', () => {
    expect(
      scopesAskedFor({
        all: ['a', 'b'],
        any: [
          ['b', 'c'],
          ['d', 'a'],
        ],
      }),
    ).toEqual(['a', 'b', 'c', 'd']);
    expect(scopesAskedFor({ all: [], any: [] })).toEqual([]);
  });
});

it.each([
  ['@Scopes', Scopes],
  ['@AnyScope', AnyScope],
])('%s throws for an undefined scope, such as a mistyped property of a catalogue', (_, decorator) => {
  expect(() => Reflect.apply(decorator, undefined, ['orders:read', undefined])).toThrow(TypeError);
});

describe('the access of a handler', () => {
  class Base {
    @Scopes('orders:read')
    list() {}
  }
  @Scopes('orders:write')
  class First extends Base {}
  @Public()
  class Second extends Base {}
  const contextOf = (owner: typeof Base, handler: () => void) => ({
    getClass: () => owner,
    getHandler: () => handler,
  });

  it('is that of its class, if several classes inherit it', () => {
    const accesses = new RouteAccesses();
    const allOf = (owner: typeof Base) => accesses.of(contextOf(owner, Base.prototype.list)).all;
    for (const _ of ['learned', 'known'])
      expect([First, Second].map(allOf)).toEqual([['orders:write', 'orders:read'], ['orders:read']]);
  });

  it('is that of its method, if a wrapper with its name is made for each request', () => {
    const accesses = new RouteAccesses();
    const wrapped = () => Object.defineProperty(() => {}, 'name', { value: 'list' });
    const [first, second] = [wrapped(), wrapped()].map((handler) => accesses.of(contextOf(First, handler)));
    expect(first?.all).toEqual(['orders:write', 'orders:read']);
    expect(second).toBe(first);
  });

  it('is an error if the handler is no method of its class', () => {
    const rebound = () => {};
    expect(() => new RouteAccesses().of(contextOf(First, rebound))).toThrow(
      'A handler of First is not a method of that class',
    );
  });
});

it('guards that do not repeat those of the superclass are all guards of the class itself', () => {
  class Inherited {}
  class Own {}
  expect(guardsAdded([Inherited, Own], [Inherited])).toEqual([Own]);
  expect(guardsAdded([Own], [Inherited])).toEqual([Own]);
});
