import { Get, Post } from '@nestjs/common';
import { Public, Scopes } from '../routes/scopes.decorator';
import { carriesMetadata, type RouteHandler, type RouteOwner, routeMethod, routeName } from './route-method';

const KEY = Symbol('a route without a name');

class Base {
  @Get('inherited')
  inherited() {}

  @Get('overridden')
  overridden() {}
}

class Orders extends Base {
  @Get()
  @Scopes('orders:read')
  list() {}

  @Post()
  @Scopes('orders:write')
  create() {}

  @Get('overridden')
  override overridden() {}

  @Get('symbol')
  [KEY]() {}

  helper() {}

  get list2() {
    throw new Error('a getter of the application ran');
  }
}

const named = (name: string, from?: object) => {
  const handler = Object.defineProperty(() => {}, 'name', { value: name });
  if (from)
    for (const key of Reflect.getMetadataKeys(from))
      Reflect.defineMetadata(key, Reflect.getMetadata(key, from), handler);
  return handler;
};

const { prototype } = Orders;
const contextOf = (handler: RouteHandler, owner: RouteOwner = Orders) => ({
  getClass: () => owner,
  getHandler: () => handler,
});
const told = (handler: RouteHandler, owner?: RouteOwner) => routeMethod(contextOf(handler, owner))?.name;

it.each<[string, RouteHandler, string | undefined]>([
  ['a method itself', prototype.list, 'list'],
  ['an inherited method', prototype.inherited, 'inherited'],
  ['a method that is overridden', Base.prototype.overridden, 'overridden'],
  ['a method whose name is a symbol', prototype[KEY], String(KEY)],
  ['a method without metadata', prototype.helper, 'helper'],
  ['a wrapper with the name and the metadata', named('create', prototype.create), 'create'],
  ['a wrapper with the name alone', named('create'), 'create'],
  ['a Proxy', new Proxy(prototype.create, {}), 'create'],
  ['a wrapper with the metadata alone', named('', prototype.create), 'create'],
  ['a wrapper with a name of its own and the metadata', named('traced', prototype.create), 'create'],
  ['a wrapper of a method whose name is a symbol', named('[a]', prototype[KEY]), String(KEY)],
  ['a wrapper with the name of another method than its metadata', named('list', prototype.create), 'create'],
  ['a function with neither name nor metadata', named('traced'), undefined],
  ['a function without a name', named(''), undefined],
  ['a function with the name of a getter', named('list2'), undefined],
  ['a bound method', prototype.list.bind(null), undefined],
  ['a function named after the constructor', named('constructor'), undefined],
  ['a function with the name of a property of all objects', named('toString'), undefined],
])('%s is recognised as the method %s', (_, handler, method) => {
  expect(told(handler)).toBe(method);
});

it('a wrapper that is public is not recognised as a method that is not public', () => {
  const handler = named('helper');
  Public()(class {}, 'helper', { value: handler } as never);
  expect(told(handler)).toBeUndefined();
});

it('a wrapper with the metadata of two methods is recognised as neither', () => {
  class Routes {
    @Get()
    first() {}

    @Get()
    second() {}
  }
  expect(told(named('traced', Routes.prototype.first), Routes)).toBeUndefined();
  expect(told(named('second', Routes.prototype.first), Routes)).toBe('second');
});

it('a wrapper is recognised only as a method of the class that the request reached', () => {
  class Invoices {
    @Get('invoices')
    list() {}
  }
  const handler = named('list', Invoices.prototype.list);
  expect(told(handler, Invoices)).toBe('list');
  expect(told(handler, Orders)).toBeUndefined();
});

it('the name of a route is its class and method, or the handler if the method is unknown', () => {
  expect(routeName(contextOf(named('', prototype.create)))).toBe('Orders.create');
  expect(routeName(contextOf(named('traced')))).toBe('Orders.traced');
});

it('a function carries the metadata of a method only if it has each of them with the same value', () => {
  const handler = named('traced', prototype.create);
  expect(carriesMetadata(handler, prototype.create)).toBe(true);
  Reflect.defineMetadata('path', 'elsewhere', handler);
  expect(carriesMetadata(handler, prototype.create)).toBe(false);
  expect(carriesMetadata(named('create'), prototype.create)).toBe(false);
});
