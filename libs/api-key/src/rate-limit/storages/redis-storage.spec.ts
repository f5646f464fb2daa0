import { type IoredisClient, RedisThrottlerStorage } from './redis-storage';

const POLICY = { limit: 1, windowMs: 1_000 };

it('the error names the prefix that a Redis Cluster needs if buckets of one request are in several slots', async () => {
  const refuse = () => Promise.reject(new Error("CROSSSLOT Keys in request don't hash to the same slot"));
  const client: IoredisClient = { evalsha: refuse, eval: refuse };
  const storage = new RedisThrottlerStorage(client);
  const buckets = ['a', 'b'].map((key) => ({ key, policy: POLICY }));
  await expect(storage.hitAll(buckets, 1)).rejects.toThrow('"{nestjs-api-key}:rate:"');
});

it('an answer that is too short is a failure of the storage, and not a limit of which nothing is left', async () => {
  const answer = () => Promise.resolve([1, 0]);
  const storage = new RedisThrottlerStorage({ evalsha: answer, eval: answer });
  await expect(storage.hit('a', POLICY, 1)).rejects.toThrow('the database returned too few numbers');
});
