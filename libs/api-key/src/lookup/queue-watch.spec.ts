import { Logger } from '@nestjs/common';
import { QueueWatch } from './queue-watch';

it('a warning is logged when the queue is a quarter full, once until it falls below a quarter again', () => {
  const logger = new Logger();
  const warned = jest.spyOn(logger, 'warn').mockImplementation();
  const queue = new QueueWatch(logger);
  const warnings = [0, 0.249, 0.25, 0.9, 1, 0.3, 0.2, 0.25].map((usage) => {
    queue.observe(usage);
    return warned.mock.calls.length;
  });
  expect(warnings).toEqual([0, 0, 1, 1, 1, 1, 1, 2]);
  expect(warned.mock.calls[0]?.[0]).toMatch(/^The notification queue of PostgreSQL is 25 % full;/);
});

it('the usage is that of the last check, and unknown while the feed does not listen, which causes no new warning', () => {
  const logger = new Logger();
  const warned = jest.spyOn(logger, 'warn').mockImplementation();
  const queue = new QueueWatch(logger);
  const usages = [null, 0.5, null, 0.5].map((usage) => {
    queue.observe(usage);
    return queue.usage;
  });
  expect([usages, warned.mock.calls.length]).toEqual([[null, 0.5, null, 0.5], 1]);
});
