import type { Provider } from '@nestjs/common';
import { GlobalGuards } from './global-guards';
import { OpenApiRoutes } from './open-api-routes';
import { RouteInventory } from './route-inventory';

export const ROUTES_PROVIDERS: readonly Provider[] = [GlobalGuards, RouteInventory, OpenApiRoutes];
