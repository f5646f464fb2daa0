import type { Verification } from '../lookup/verification';
import type { BootCheck } from './boot-check';
import { BootChecks } from './boot-checks';

function boot(...checks: BootCheck[]): Promise<void> {
  const verification = { start: async () => {} } as Verification;
  return new BootChecks(checks, verification).onApplicationBootstrap();
}

const failing = (message: string): BootCheck => ({
  problems: () => {
    throw new Error(message);
  },
});

it('the boot stops with the problems of all checks, whether they are found or thrown', async () => {
  const found: BootCheck = { problems: () => ['a is wrong', 'b is wrong'] };
  await expect(boot(found, failing('ApiKeyModule: c'), failing('the database is away'))).rejects.toThrow(
    /^ApiKeyModule: a is wrong; b is wrong; c; the database is away$/,
  );
});

it('an error of one check stops the boot unchanged', async () => {
  await expect(boot(failing('the database is away'))).rejects.toThrow(/^the database is away$/);
});
