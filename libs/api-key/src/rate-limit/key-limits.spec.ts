import type { ExecutionContext } from '@nestjs/common';
import { Throttle } from '@nestjs/throttler';
import type { ApiKey } from '../model/api-key.entity';
import type { SharedLimit } from '../model/limits';
import type { ResolvedRateLimitOptions } from '../options/rate-limit';
import type { RouteInventory } from '../routes/route-inventory';
import type { DefaultLimits } from './default-limits';
import { KeyLimits } from './key-limits';
import { Cost } from './route-limits';

class Orders {
  list() {}
}

const LIMITS = { limits: [{ name: 'default', policy: { limit: 9, windowMs: 60_000 } }] };

/** The limits of a request of key 7, which has none of its own. */
async function limitsOf(handler: object, sharedLimits: SharedLimit[] | null = null) {
  const rateLimit = { windowSeconds: 60 } as ResolvedRateLimitOptions;
  const inventory = { classNames: () => new Map() } as unknown as RouteInventory;
  const limits = new KeyLimits({ rateLimit }, LIMITS as unknown as DefaultLimits, inventory);
  const apiKey = { id: '7', bucketId: null, rateLimit: null, quota: null, sharedLimits } as unknown as ApiKey;
  const context = { getClass: () => Orders, getHandler: () => handler } as unknown as ExecutionContext;
  const { rates, cost } = await limits.of(apiKey, context);
  return { cost, rates: rates.map(({ key, policy }) => [key, policy.limit]) };
}

it('a handler that is no method of its class has the cost and the limits that it declares itself', async () => {
  const rebound = () => {};
  const descriptor = { value: rebound };
  Cost(3)(Orders.prototype, 'rebound', descriptor);
  Throttle({ default: { limit: 5, ttl: 1_000 } })(Orders.prototype, 'rebound', descriptor);
  expect(await limitsOf(rebound)).toEqual({
    cost: 3,
    rates: [
      ['7', 9],
      ['7:Orders.rebound:default', 5],
    ],
  });
});

it('the default limit has its own bucket if the bucket of the key counts a shared limit', async () => {
  const shared = (rateLimit: SharedLimit['rateLimit']) => [{ id: '7', rateLimit, quota: null }];
  expect(await limitsOf(Orders.prototype.list, shared({ limit: 2, windowSeconds: 60 }))).toEqual({
    cost: 1,
    rates: [
      ['7:default', 9],
      ['7', 2],
    ],
  });
  expect(await limitsOf(Orders.prototype.list, shared(null))).toEqual({ cost: 1, rates: [['7', 9]] });
});
