import { GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants';
import { ApiKeyAuth, ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard } from '../index';
import { ApiKeyManagementModule } from '../management';
import { optionalSwagger } from './open-api';
import { routeAccess } from './route-access';

jest.mock('@nestjs/swagger', () => {
  throw new Error(`Cannot find module '@nestjs/swagger'`);
});

describe('an application without @nestjs/swagger', () => {
  it('starts without loading it', () => {
    expect(optionalSwagger()).toBeNull();
  });

  it('still guards its routes', () => {
    class Orders {
      @ApiKeyAuth('orders:read')
      list() {}
    }
    const handler = Orders.prototype.list;
    expect(Reflect.getMetadata(GUARDS_METADATA, handler)).toEqual([
      ApiKeyGuard,
      ApiKeyThrottlerGuard,
      ScopesGuard,
    ]);
    expect(routeAccess({ getClass: () => Orders, getHandler: () => handler }).all).toEqual(['orders:read']);
  });

  it('still manages keys over REST', () => {
    const { controllers = [] } = ApiKeyManagementModule.forRoot({ guards: 'open', path: 'keys' });
    expect(controllers.map((controller) => Reflect.getMetadata(PATH_METADATA, controller))).toEqual(['keys']);
  });
});
