import { type CanActivate, Controller, type ExecutionContext, Get, UseGuards } from '@nestjs/common';
import { ReplacedMethodGuard } from './replaced-method.guard';

class Keeper implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

class SecondKeeper extends Keeper {}

@Controller()
class Orders {
  @Get()
  @UseGuards(Keeper)
  list(): void {}

  @Get('all')
  @UseGuards(Keeper, SecondKeeper)
  listAll(): void {}
}

class Other {
  list(): void {}
}

const contextOf = (owner: object, handler: object, type = 'http') =>
  ({ getType: () => type, getClass: () => owner, getHandler: () => handler }) as unknown as ExecutionContext;

const guard = new ReplacedMethodGuard(new Set([Orders.prototype]));
const bare = { list() {} }.list;

it('lets a request pass if its handler has the guards that were declared', () => {
  expect(guard.canActivate(contextOf(Orders, Orders.prototype.list))).toBe(true);
});

it('fails a request whose handler lost the guards that were declared', () => {
  expect(() => guard.canActivate(contextOf(Orders, bare))).toThrow(/^Orders\.list loses its guards/);
});

it('fails a request whose handler kept only one of the two guards that were declared', () => {
  const { listAll } = { listAll() {} };
  UseGuards(Keeper)(listAll);
  expect(() => guard.canActivate(contextOf(Orders, listAll))).toThrow(
    'Orders.listAll loses its guards, because its controller replaces the method: ' +
      'do not do that, or copy name and metadata',
  );
});

it('fails a request whose handler is not a method of its class', () => {
  expect(() => guard.canActivate(contextOf(Orders, () => {}))).toThrow('loses its guards');
});

it('ignores contexts other than HTTP and requests to other controllers', () => {
  expect(guard.canActivate(contextOf(Orders, bare, 'rpc'))).toBe(true);
  expect(guard.canActivate(contextOf(Other, bare))).toBe(true);
});
