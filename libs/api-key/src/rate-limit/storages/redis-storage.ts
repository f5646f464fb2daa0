import { createHash } from 'node:crypto';
import { numberAt } from './number-at';
import { type BucketState, SharedThrottlerStorage, type Taken } from './shared-storage';
import { KEEP_MS } from './sliding-window';
import type { Bucket } from './storage';

const KEEP_US = KEEP_MS * 1_000;

/** The methods of an ioredis client that this storage calls. */
export interface IoredisClient {
  evalsha(sha: string, keys: number, ...args: (string | number)[]): Promise<unknown>;
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>;
}

/** The methods of a node-redis client, version 4 or later, that this storage calls. */
export interface NodeRedisClient {
  evalSha(sha: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/**
 * The log of `SlidingWindow`, in microseconds of the clock of Redis, which all instances share.
 * Arguments: cost and count, then limit and window of each bucket. Stored value: entries of three
 * numbers, and how long entries are kept. Only an older version reads the first number of an entry.
 * Instances of that version may count at the same time. If the clock is set back, no entry is lost.
 */
const SCRIPT = `
local cost, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local logs, kept = {}, {}
for i, key in ipairs(KEYS) do
  local packed = redis.call('GET', key)
  if packed then logs[i], kept[i] = cmsgpack.unpack(packed) else logs[i] = {} end
  if #logs[i] > 0 then now = math.max(now, logs[i][#logs[i] - 1]) end
end
local granted, used = count, {}
for i = 1, #KEYS do
  local limit, begin, log = tonumber(ARGV[2 * i + 1]), now - tonumber(ARGV[2 * i + 2]), logs[i]
  local sum, at = 0, #log - 1
  while at > 0 and log[at] > begin do
    sum = sum + log[at + 1]
    at = at - 3
  end
  used[i] = sum
  granted = math.max(0, math.min(granted, math.floor((limit - sum) / cost)))
end
local function fold(log, begin, over, tail, window)
  local folded, size = {}, 0
  for i = 1, #log, 3 do
    local till = log[i + 1]
    if till > over then
      local cell = till > begin and window or tail
      local last = folded[size - 1]
      if last and cell > 0 and (last > begin) == (till > begin) and math.floor(last / cell) == math.floor(till / cell) then
        folded[size - 1], folded[size] = till, folded[size] + log[i + 2]
      else
        folded[size + 1], folded[size + 2], folded[size + 3] = 0, till, log[i + 2]
        size = size + 3
      end
    end
  end
  return folded
end
local answer = {granted}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local keep = math.max(kept[i] or ${KEEP_US}, window)
  local begin, log = now - window, logs[i]
  if granted > 0 then
    log[#log + 1], log[#log + 2], log[#log + 3] = 0, now, granted * cost
    used[i] = used[i] + granted * cost
  end
  if granted > 0 or (#log > 0 and keep ~= kept[i]) then
    log = fold(log, begin, now - keep, keep / 64, (limit > 256 or #log > 1536) and window / 256 or 0)
    redis.call('SET', key, cmsgpack.pack(log, keep), 'PX', math.ceil(keep / 1000) + 1)
  end
  local reset, retry, left = 0, 0, used[i]
  if granted < count and left + cost > limit then retry = window end
  for at = 2, #log, 3 do
    if log[at] > begin then
      if reset == 0 then reset = log[at] + window - now end
      if retry < window then break end
      left = left - log[at + 1]
      if left + cost <= limit then retry = log[at] + window - now break end
    end
  end
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = math.max(0, limit - used[i]), reset, retry
end
return answer`;

const SHA = createHash('sha1').update(SCRIPT).digest('hex');

/**
 * Counts in Redis 6 or later, or in Valkey, with one script for each request. Uses the client of
 * the application, from ioredis or node-redis. Disable the queue for commands of a disconnected
 * client (`enableOfflineQueue: false` in ioredis, `disableOfflineQueue: true` in node-redis), so
 * that hits fail at once instead of after the deadline.
 */
export class RedisThrottlerStorage extends SharedThrottlerStorage {
  /**
   * @param prefix prefix of the keys in Redis. Default `nestjs-api-key:rate:`. A Redis Cluster
   *   needs a prefix with a hash tag, such as `{nestjs-api-key}:rate:`, because one script counts
   *   all limits that keys share, and so these limits must be in one slot
   */
  constructor(
    private readonly client: IoredisClient | NodeRedisClient,
    private readonly prefix = 'nestjs-api-key:rate:',
  ) {
    super();
  }

  protected override async take(buckets: readonly Bucket[], cost: number, count: number): Promise<Taken> {
    const keys = buckets.map(({ key }) => `${this.prefix}${key}`);
    const policies = buckets.flatMap(({ policy: { limit, windowMs } }) => [limit, windowMs * 1_000]);
    const answer = (await this.run(keys, [cost, count, ...policies].map(String))) as unknown[];
    const numbers = answer.map(Number);
    return { granted: numberAt(numbers, 0), buckets: buckets.map((_, at) => stateIn(numbers, 1 + 3 * at)) };
  }

  private async run(keys: string[], args: string[]): Promise<unknown> {
    try {
      return await this.evaluate('evalsha', keys, args);
    } catch (error) {
      const message = String((error as Error).message);
      if (message.startsWith('CROSSSLOT')) throw inSeveralSlots(this.prefix, error);
      if (!message.startsWith('NOSCRIPT')) throw error;
      return this.evaluate('eval', keys, args);
    }
  }

  private evaluate(how: 'evalsha' | 'eval', keys: string[], args: string[]): Promise<unknown> {
    const script = how === 'eval' ? SCRIPT : SHA;
    if ('evalsha' in this.client) return this.client[how](script, keys.length, ...keys, ...args);
    const options = { keys, arguments: args };
    return how === 'eval' ? this.client.eval(script, options) : this.client.evalSha(script, options);
  }
}

/** The state of one bucket: three numbers, the last two in microseconds. */
function stateIn(numbers: readonly number[], from: number): BucketState {
  return {
    remaining: numberAt(numbers, from),
    resetMs: numberAt(numbers, from + 1) / 1_000,
    retryAfterMs: numberAt(numbers, from + 2) / 1_000,
  };
}

function inSeveralSlots(prefix: string, cause: unknown): Error {
  return new Error(
    `the keys of "${prefix}" are in several slots of the Redis Cluster, but shared limits must be in one slot: ` +
      'give RedisThrottlerStorage a prefix with a hash tag, such as "{nestjs-api-key}:rate:"',
    { cause },
  );
}
