import { createHash } from 'node:crypto';
import { type Lot, SharedThrottlerStorage, type Taken } from './shared-storage';
import type { LimitPolicy } from './sliding-window';

/** What we use of a client of ioredis. */
export interface IoredisClient {
  evalsha(sha: string, keys: number, ...args: (string | number)[]): Promise<unknown>;
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>;
}

/** What we use of a client of node-redis, 4 and later. */
export interface NodeRedisClient {
  evalSha(sha: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/**
 * The log of `SlidingWindow`, in microseconds of the server's clock, which is the same for all instances. Entries are flat:
 * since, until, cost; what it is asked for: limit, window, then cost and count of each lot. A clock that was set back does not make
 * it forget.
 */
const SCRIPT = `
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local packed = redis.call('GET', KEYS[1])
local old = packed and cmsgpack.unpack(packed) or {}
if #old > 0 and old[#old - 1] > now then now = old[#old - 1] end
local log, used = {}, 0
for i = 1, #old, 3 do
  if old[i + 1] > now - window then
    log[#log + 1], log[#log + 2], log[#log + 3] = old[i], old[i + 1], old[i + 2]
    used = used + old[i + 2]
  end
end
local granted, spent = {}, 0
for i = 3, #ARGV, 2 do
  local cost, count = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local fit = math.max(0, math.min(count, math.floor((limit - used - spent) / cost)))
  granted[#granted + 1] = fit
  spent = spent + fit * cost
end
if spent > 0 then
  local together = limit > 256 and window / 256 or 0
  if #log > 0 and now - log[#log - 2] <= together then
    log[#log - 1], log[#log] = now, log[#log] + spent
  else
    log[#log + 1], log[#log + 2], log[#log + 3] = now, now, spent
  end
  used = used + spent
  redis.call('SET', KEYS[1], cmsgpack.pack(log), 'PX', math.ceil(window / 1000) + 1)
end
local answer = {math.max(0, limit - used), log[2] and log[2] + window - now or 0}
for at, fit in ipairs(granted) do
  local cost, retry, left = tonumber(ARGV[2 * at + 1]), 0, used
  if fit < tonumber(ARGV[2 * at + 2]) then
    retry = window
    for i = 1, #log, 3 do
      left = left - log[i + 2]
      if left + cost <= limit then retry = log[i + 1] + window - now break end
    end
  end
  answer[#answer + 1], answer[#answer + 2] = fit, retry
end
return answer`;

const SHA = createHash('sha1').update(SCRIPT).digest('hex');

/**
 * Counts in Redis 6 or later (or Valkey), one script a hit, through the client that the application has: of ioredis or of
 * node-redis. Without a queue for commands while it is away (`enableOfflineQueue: false`, `disableOfflineQueue: true`) a client
 * fails at once instead of late.
 */
export class RedisThrottlerStorage extends SharedThrottlerStorage {
  /** @param prefix of the keys in Redis. Default `nestjs-api-key:rate:` */
  constructor(
    private readonly client: IoredisClient | NodeRedisClient,
    private readonly prefix = 'nestjs-api-key:rate:',
  ) {
    super();
  }

  protected override async take(
    key: string,
    { limit, windowMs }: LimitPolicy,
    lots: readonly Lot[],
  ): Promise<Taken> {
    const args = [limit, windowMs * 1_000, ...lots.flatMap(({ cost, count }) => [cost, count])];
    const answer = (await this.run(`${this.prefix}${key}`, args.map(String))) as number[];
    const [remaining = 0, reset = 0, ...ofLots] = answer.map(Number);
    const granted = ofLots.filter((_, i) => i % 2 === 0);
    const retryAfterMs = ofLots.filter((_, i) => i % 2 === 1).map((retry) => retry / 1_000);
    return { granted, remaining, resetMs: reset / 1_000, retryAfterMs };
  }

  private async run(key: string, args: string[]): Promise<unknown> {
    try {
      return await this.evaluate('evalsha', key, args);
    } catch (error) {
      if (!String((error as Error).message).startsWith('NOSCRIPT')) throw error;
      return this.evaluate('eval', key, args);
    }
  }

  private evaluate(how: 'evalsha' | 'eval', key: string, args: string[]): Promise<unknown> {
    const script = how === 'eval' ? SCRIPT : SHA;
    if ('evalsha' in this.client) return this.client[how](script, 1, key, ...args);
    const options = { keys: [key], arguments: args };
    return how === 'eval' ? this.client.eval(script, options) : this.client.evalSha(script, options);
  }
}
